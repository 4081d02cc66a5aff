//! Writes the command table from a `COMMAND` reply.

use meltemi_redis::command::{Flags, RequestPolicy, ResponsePolicy};

use crate::{
    overrides::{OVERRIDES, Override},
    server::{VERSION, Value},
};

/// The source of `src/command/table.rs`.
pub(crate) fn table(commands: &Value) -> String {
    let mut out = format!(
        "//! Generated from the COMMAND reply of redis-server {VERSION} and tests/support/overrides.rs:\n\
         //! `MELTEMI_BLESS=1 cargo test -p meltemi-redis --test command_table` writes it.\n\
         \n\
         use std::borrow::Cow;\n\
         \n\
         use super::{{\n    Access::{{self, Overwrite, ReadOnly, ReadWrite, Remove}},\n    \
         Begin, Command, Find, Flags as F, KeySpec, RequestPolicy as Ask, ResponsePolicy as Answer,\n}};\n\n{HELPERS}"
    );
    out.push_str("\npub(super) const COMMANDS: &[Command] = &[\n");
    for entry in sorted(commands) {
        command(entry, 1, &mut out);
    }
    out.push_str("];\n");
    if !out.contains("Remove)") {
        out = out.replace(", ReadWrite, Remove}", ", ReadWrite}");
    }
    out
}

const HELPERS: &str = "\
const fn key(begin: Begin, find: Find, access: Access) -> KeySpec {
    KeySpec { begin, find, access, not_key: false, incomplete: false }
}

const fn channel(begin: Begin, find: Find, access: Access) -> KeySpec {
    KeySpec { begin, find, access, not_key: true, incomplete: false }
}

const fn at(index: u16) -> Begin {
    Begin::Index(index)
}

const fn after(word: &'static str, from: i16) -> Begin {
    Begin::Keyword { word: Cow::Borrowed(word), from }
}

const fn range(last: i16, step: u16, limit: u16) -> Find {
    Find::Range { last, step, limit }
}

const fn counted(number: u16, first: u16, step: u16) -> Find {
    Find::Keynum { number, first, step }
}
";

fn sorted(commands: &Value) -> Vec<&Value> {
    let mut entries: Vec<&Value> = commands.list().iter().collect();
    entries.sort_by_key(|entry| entry.list()[0].text());
    entries
}

fn command(entry: &Value, depth: usize, out: &mut String) {
    let fields = entry.list();
    let name = fields[0].text();
    let own = OVERRIDES.iter().find(|own| own.name == name);
    let indent = "    ".repeat(depth);
    if let Some(own) = own {
        out.push_str(&format!("{indent}// Overridden: {}.\n", own.why));
    }
    let (request, response) = policies(&fields[7], own);
    let keys = match own.and_then(|own| own.keys) {
        Some(keys) => keys.to_owned(),
        None => fields[8]
            .list()
            .iter()
            .map(spec)
            .collect::<Vec<_>>()
            .join(", "),
    };
    out.push_str(&format!(
        "{indent}Command {{ name: {name:?}, arity: {}, flags: {}, keys: &[{keys}], \
         request: Ask::{request}, response: Answer::{response}, subcommands: &[",
        fields[1].integer(),
        flags(&fields[2]),
    ));
    let subcommands = sorted(&fields[9]);
    if !subcommands.is_empty() {
        out.push('\n');
        for entry in subcommands {
            command(entry, depth + 1, out);
        }
        out.push_str(&indent);
    }
    out.push_str("] },\n");
}

fn flags(flags: &Value) -> String {
    let mut code = String::new();
    for flag in flags.list() {
        let known = Flags::ALL.iter().find(|(_, _, wire)| *wire == flag.text());
        let (_, name, _) =
            known.unwrap_or_else(|| panic!("{flag:?} is not in src/command/flags.rs"));
        code = match code.as_str() {
            "" => format!("F::{name}"),
            before => format!("{before}.or(F::{name})"),
        };
    }
    if code.is_empty() {
        "F::NONE".to_owned()
    } else {
        code
    }
}

fn policies(tips: &Value, own: Option<&Override>) -> (&'static str, &'static str) {
    if let Some(policies) = own.and_then(|own| own.policies) {
        return policies;
    }
    let tip = |prefix: &str| {
        tips.list()
            .iter()
            .find_map(|tip| tip.text().strip_prefix(prefix))
    };
    let request = tip("request_policy:").map_or("Default", |tip| {
        let known = RequestPolicy::ALL.iter().find(|(_, _, wire)| *wire == tip);
        known
            .expect("a request policy that src/command/policy.rs has")
            .1
    });
    let response = tip("response_policy:").map_or("Default", |tip| {
        let known = ResponsePolicy::ALL.iter().find(|(_, _, wire)| *wire == tip);
        known
            .expect("a response policy that src/command/policy.rs has")
            .1
    });
    (request, response)
}

fn spec(spec: &Value) -> String {
    let flags: Vec<&str> = spec.field("flags").list().iter().map(Value::text).collect();
    assert!(
        !flags.contains(&"incomplete"),
        "wants an override: {spec:?}"
    );
    let access = match () {
        () if flags.contains(&"RO") => "ReadOnly",
        () if flags.contains(&"OW") => "Overwrite",
        () if flags.contains(&"RM") => "Remove",
        () => "ReadWrite",
    };
    let of = |search: &Value, field: &str| search.field("spec").field(field).clone();
    let begin = spec.field("begin_search");
    let begin = match begin.field("type").text() {
        "index" => format!("at({})", of(begin, "index").integer()),
        "keyword" => format!(
            "after({:?}, {})",
            of(begin, "keyword").text(),
            of(begin, "startfrom").integer()
        ),
        other => panic!("begin_search {other} wants an override"),
    };
    let find = spec.field("find_keys");
    let numbers = |fields: [&str; 3]| {
        fields
            .map(|field| of(find, field).integer().to_string())
            .join(", ")
    };
    let find = match find.field("type").text() {
        "range" => format!("range({})", numbers(["lastkey", "keystep", "limit"])),
        "keynum" => format!("counted({})", numbers(["keynumidx", "firstkey", "keystep"])),
        other => panic!("find_keys {other} wants an override"),
    };
    let kind = if flags.contains(&"not_key") {
        "channel"
    } else {
        "key"
    };
    format!("{kind}({begin}, {find}, {access})")
}
