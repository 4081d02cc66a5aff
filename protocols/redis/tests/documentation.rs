//! The command table of `docs/protocols/redis.md` is what the codec and the splitter do.
//! `MELTEMI_BLESS=1` writes it anew.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/requests.rs"]
mod requests;
#[path = "support/shards.rs"]
mod shards;

use std::{fs, path::Path};

use meltemi_codec::kit::{attribute_table, documented};
use meltemi_codec::{
    Constraint, Decoded, Frame, FromClient, Limits, Message, Pin, Plan, Protocol, Request, Role,
    Scatter,
};
use meltemi_redis::{
    cluster::{Splitter, Unit},
    command::{self, Begin, Command, Find, KeySpec, RequestPolicy},
    protocol,
    resp::write,
};
use shards::Shards;

#[test]
fn the_tables_are_current() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocols/redis.md");
    documented(&page, "attributes", &attribute_table(&protocol()));
    documented(&page, "commands", &table());
}

#[test]
fn the_page_has_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocols/redis.md");
    let page = fs::read_to_string(path).unwrap();
    // A refusal names them all.
    let refusal = protocol().configure(&[("nosuch", "")]).err().unwrap();
    let (_, names) = refusal.reason.split_once("there are ").unwrap();
    let (_, settings) = page.split_once("\n## Settings\n").unwrap();
    let (settings, _) = settings.split_once("\n## ").unwrap();
    for name in names.split(", ") {
        assert!(settings.contains(&format!("`{name}`")), "{name}");
    }
}

fn table() -> String {
    let mut table = "\n| command | keys | served |\n|---|---|---|\n".to_owned();
    for command in command::all().iter().flat_map(leaves) {
        let name = command.name.to_ascii_uppercase().replace('|', " ");
        let keys: Vec<String> = command.keys.iter().map(place).collect();
        let keys = keys.join(", ");
        table.push_str(&format!("| `{name}` | {keys} | {} |\n", served(command)));
    }
    table.push('\n');
    table
}

/// The command, or what it contains.
fn leaves(command: &'static Command) -> impl Iterator<Item = &'static Command> {
    let own = command.subcommands.is_empty().then_some(command);
    own.into_iter().chain(command.subcommands)
}

fn place(spec: &KeySpec) -> String {
    let begin = match &spec.begin {
        Begin::Index(index) | Begin::NonEmpty(index) => Ok(*index),
        Begin::Keyword { word, .. } => Err(word.to_string()),
        Begin::Option { word, .. } => Err((*word).to_owned()),
        Begin::Unknown => panic!("wants an override"),
    };
    match (begin, spec.find) {
        (Ok(at), Find::Range { last: 0, .. }) => format!("{at}"),
        (
            Ok(at),
            Find::Range {
                last: 1, step: 1, ..
            },
        ) => format!("{at} and {}", at + 1),
        (
            Ok(at),
            Find::Range {
                last: -1, step: 1, ..
            },
        ) => format!("{at} to the last"),
        (Ok(at), Find::Range { last: -1, step, .. }) => format!("every {step}nd from {at}"),
        (
            Ok(at),
            Find::Range {
                last: -2, step: 1, ..
            },
        ) => format!("{at} to the last but one"),
        (Ok(at), Find::Keynum { number, .. }) => format!("as many as {} says", at + number),
        (Err(word), Find::Range { last: 0, .. }) => format!("after `{word}`"),
        (Err(word), Find::Range { limit: 2, .. }) => format!("the first half after `{word}`"),
        (Err(word), Find::Range { last: -1, .. }) => format!("all after `{word}`"),
        other => panic!("{other:?} has no words here"),
    }
}

/// Requests of commands that would not block, or be complete, with any arguments.
const CALLS: &[&str] = &[
    "BLMOVE a b LEFT LEFT 1",
    "BLMPOP 1 1 a LEFT",
    "BLPOP a 1",
    "BRPOP a 1",
    "BRPOPLPUSH a b 1",
    "BZMPOP 1 1 a MIN",
    "BZPOPMAX a 1",
    "BZPOPMIN a 1",
    "CLIENT REPLY ON",
    "HELLO 3",
    "SCAN 0",
    "SELECT 1",
    "WAIT 1 1",
    "XREAD BLOCK 1 STREAMS a 0",
    "XREADGROUP GROUP g c BLOCK 1 STREAMS a >",
];

/// What a client says before commands that end something.
const BEFORE: &[(&str, &[&str])] = &[
    ("discard", &["WATCH a", "MULTI"]),
    ("exec", &["WATCH a", "MULTI"]),
    ("punsubscribe", &["PSUBSCRIBE a"]),
    ("sunsubscribe", &["SSUBSCRIBE a"]),
    ("unsubscribe", &["SUBSCRIBE a"]),
    ("unwatch", &["WATCH a"]),
];

fn served(command: &Command) -> &'static str {
    let calls = CALLS
        .iter()
        .map(|call| call.split(' ').map(str::to_owned).collect());
    let called = |words: &Vec<String>| command::find(words[0].as_bytes(), None) == Some(command);
    let sub = |words: &Vec<String>| {
        command::find(words[0].as_bytes(), Some(words[1].as_bytes())) == Some(command)
    };
    let call: Option<Vec<String>> = calls.into_iter().find(|words| called(words) || sub(words));
    let words = call.unwrap_or_else(|| requests::plain(command));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let bytes = bytes(&words);
    let limits = Limits {
        whole: Limits::WHOLE,
        frame: 1 << 20,
    };
    let mut client = protocol().downstream(limits);
    let before = BEFORE.iter().find(|(name, _)| *name == command.name);
    for request in before.map_or(&[][..], |(_, requests)| requests) {
        let words: Vec<&str> = request.split(' ').collect();
        client
            .decode(&self::bytes(&words), &mut Vec::new())
            .unwrap();
    }
    let event = client.decode(&bytes, &mut Vec::new());
    let Ok(Decoded::Message(Message { event, .. })) = event else {
        panic!("{}: {event:?}", command.name);
    };
    match event {
        FromClient::Request(request) => sent(command, &request, &bytes),
        FromClient::Ask(_) | FromClient::Answered | FromClient::Goodbye => "local",
        FromClient::Refused { .. } => "refused",
        other => panic!("{}: {other:?}", command.name),
    }
}

fn bytes(words: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    write::command(&words, &mut bytes);
    bytes
}

fn sent(command: &Command, request: &Request, bytes: &[u8]) -> &'static str {
    if request.constraint == Constraint::Planned {
        let splitter = Splitter::new(true, Role::Primary, Unit::Slot);
        let frame = Frame {
            bytes,
            whole: true,
            memo: &request.memo,
        };
        return match (
            splitter.plan(frame, &Shards::slotted(vec![8000])),
            command.request,
        ) {
            (Plan::One(Constraint::Endpoint(_)), _) => "first shard",
            (Plan::Many { .. }, RequestPolicy::AllNodes) => "all nodes",
            (Plan::Many { .. }, RequestPolicy::AllShards) => "all shards",
            (Plan::Many { .. }, RequestPolicy::MultiShard) => "per shard",
            (Plan::Many { .. }, RequestPolicy::Special) => "all shards in turn",
            _ => pinned(request),
        };
    }
    pinned(request)
}

fn pinned(request: &Request) -> &'static str {
    match request.pin {
        Pin::None | Pin::Aside => "shared",
        Pin::UntilReply => "pinned for the answer",
        Pin::UntilRelease | Pin::Release => "pinned",
        Pin::UntilClose => "pinned for good",
    }
}
