//! Which requests a route of a `MetaRouter` is for: its `match`, or the list `matches`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use meltemi_policy::route::{RegexRefusal, validate};
use meltemi_policy::{AttributeMatch, Condition, Locality, Text};

use super::Located;
use super::decode::{Decoder, Fields};
use super::shape::{Described, Literal, Shape, Takes};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::yaml::{Entry, Node, Value};

mod source;

pub(crate) use source::Source;

/// Conditions that all have to hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alternative {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) source: Option<Source>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) name: Located<String>,
    pub(crate) matching: AttributeMatch,
}

/// The field `match`, of whatever is for some requests.
pub(super) const fn match_field(meaning: &'static str, absent: &'static str) -> Described {
    Described::new("match", Takes::Mapping(&MATCH), meaning)
        .absent(absent)
        .example("match: {attributes: {method: {exact: sayHello}}}")
}

static ALTERNATIVES: Takes = Takes::Mapping(&ALTERNATIVE);

/// The field `matches`, beside it.
pub(super) const fn matches_field(absent: &'static str) -> Described {
    Described::new(
        "matches",
        Takes::List(&ALTERNATIVES),
        "our addition, in the place of `match`: alternatives, of which one has to hold; at least one",
    )
    .absent(absent)
    .example("matches: [{attributes: {method: {exact: sayHello}}}, {source: {namespace: default}}]")
}

pub(super) static MATCH: Shape = Shape {
    name: "Match",
    meaning: "Without a condition it takes every request, with a warning (`MatchesEverything`).",
    given: "",
    instead: &[(
        "source",
        "write `matches: [{attributes: …, source: …}]`: `match` is Aeraki's",
    )],
    fields: &[ATTRIBUTES],
};

pub(super) static ALTERNATIVE: Shape = Shape {
    name: "Alternative",
    meaning: "Both have to hold. Without a condition it takes every request, with a warning \
        (`MatchesEverything`).",
    given: "",
    instead: &[],
    fields: &[
        ATTRIBUTES,
        Described::new(
            "source",
            Takes::Mapping(&source::SOURCE),
            "where the request has to come from",
        )
        .absent("anywhere")
        .example("source: {gateway: edge}"),
    ],
};

const ATTRIBUTES: Described = Described::new(
    "attributes",
    Takes::Map(&A_CONDITION),
    "conditions by the name of an attribute; all have to hold. Which attributes there are the protocol \
     says",
)
.absent("whatever they are")
.example("attributes: {method: {exact: sayHello}}");

static A_CONDITION: Takes = Takes::Mapping(&CONDITION);

static CONDITION: Shape = Shape {
    name: "Condition",
    meaning: "One of the texts, `regex`, `range` and `present`, and beside it what changes its meaning; \
        see [conditions on attributes](manifests.md#conditions-on-attributes). `{}` is \
        `{present: true}`. A null is an error.",
    given: "",
    instead: &[],
    fields: &[
        Described::new("exact", Takes::Text, "the value is this; may be empty")
            .example("exact: sayHello"),
        Described::new("prefix", Takes::Text, "it begins with this; may be empty")
            .example("prefix: say"),
        Described::new("suffix", Takes::Text, "it ends with this; not empty")
            .example("suffix: Hello"),
        Described::new("contains", Takes::Text, "it contains this; not empty")
            .example("contains: yHe"),
        Described::new(
            "regex",
            Takes::Text,
            "it matches this regular expression as a whole (RE2's syntax). A request whose values would \
             take [too many steps](manifests.md#conditions-on-attributes) is refused. `\"*\"` is \
             Aeraki's way to write `present: true`; not empty",
        )
        .example("regex: 'say(Hello|Goodbye)'"),
        Described::new("range", Takes::Mapping(&RANGE), "it is a whole number in this range")
            .example("range: {start: 0, end: 100}"),
        Described::new(
            "present",
            Takes::Boolean,
            "`true`: it is there, be it empty; `false`: it is not",
        )
        .example("present: false"),
        Described::new("invert", Takes::Boolean, "`true`: the condition does not hold")
            .default(Literal::Boolean(false))
            .example("invert: true, exact: sayHello"),
        Described::new(
            "ignoreCase",
            Takes::Boolean,
            "`true`: ASCII letters of a text may be of either case. A `regex` begins with `(?i)` \
             instead",
        )
        .default(Literal::Boolean(false))
        .example("ignoreCase: true, exact: sayhello"),
    ],
};

static RANGE: Shape = Shape {
    name: "Range",
    meaning: "As Envoy's `Int64Range`.",
    given: "start: 0, end: 100",
    instead: &[],
    fields: &[
        Described::new("start", ANY_INTEGER, "is in the range")
            .required()
            .example("start: -1"),
        Described::new("end", ANY_INTEGER, "is not in it, and above `start`")
            .required()
            .example("end: 10"),
    ],
};

const ANY_INTEGER: Takes = Takes::Integer {
    least: i64::MIN,
    most: i64::MAX,
};

const KINDS: &str = "exact, prefix, suffix, contains, regex, range and present";
const ANY_VALUE: &str = "write `{present: true}` for any value";

/// The alternatives of a route, of which there is at least one.
pub(super) fn decode(d: &mut Decoder, route: &Fields<'_>) -> Vec<Alternative> {
    let written = |name: &str| route.entries.iter().find(|entry| entry.key == name);
    match (written("match"), written("matches")) {
        (None, None) => vec![Alternative::any()],
        (Some(_), Some(matches)) => {
            d.invalid(
                matches.at,
                "a route takes one of `match` and `matches`",
                "write what `match` says as one of `matches`",
            );
            vec![]
        }
        (Some(only), None) => vec![alternative(d, "match", only.at, &only.value)],
        (None, Some(matches)) if matches.value.value == Value::Null => {
            matches_everything(d, matches.at, "matches");
            vec![Alternative::any()]
        }
        (None, Some(matches)) => {
            let nodes = route.list(d, "matches");
            if matches!(&matches.value.value, Value::List(nodes) if nodes.is_empty()) {
                d.invalid(
                    matches.at,
                    "`matches` lists no alternative, so that no request would match",
                    "leave it out for every request, or list what requests may be like",
                );
            }
            let alternatives = nodes.iter();
            alternatives
                .map(|node| alternative(d, "matches", node.at, node))
                .collect()
        }
    }
}

impl Alternative {
    const fn any() -> Self {
        Self {
            attributes: vec![],
            source: None,
        }
    }
}

fn matches_everything(d: &mut Decoder, at: Position, path: &str) {
    let message = format!("`{path}` without a condition matches every request");
    let diagnostic = Diagnostic::warning(Code::MatchesEverything, message);
    let remedy = "leave it out if that is meant, or name an attribute";
    d.report(at, diagnostic.remedy(remedy));
}

fn alternative(d: &mut Decoder, path: &str, at: Position, node: &Node) -> Alternative {
    let shape = match path {
        "match" => &MATCH,
        _ => &ALTERNATIVE,
    };
    let fields = d.fields(path, node, shape);
    let source = fields.entries.iter().find(|entry| entry.key == "source");
    let attributes = fields.map(d, "attributes");
    if attributes.is_empty() && source.is_none() && !is_wrong(&fields, node) {
        matches_everything(d, at, path);
    }
    let attributes = attributes.iter();
    Alternative {
        attributes: attributes.filter_map(|entry| attribute(d, entry)).collect(),
        source: source.and_then(|entry| source::decode(d, entry)),
    }
}

/// Whether what it holds is a mistake, which is said elsewhere.
fn is_wrong(fields: &Fields<'_>, node: &Node) -> bool {
    let is_map = |node: &Node| matches!(node.value, Value::Map(_) | Value::Null);
    let others = fields.entries.iter().any(|e| e.key != "attributes");
    others || !is_map(node) || fields.node("attributes").is_some_and(|a| !is_map(a))
}

fn attribute(d: &mut Decoder, entry: &Entry) -> Option<Attribute> {
    if entry.key.is_empty() {
        let remedy = "name the attribute whose value is matched";
        d.invalid(entry.at, "an attribute without a name", remedy);
        return None;
    }
    let path = format!("attributes.{}", entry.key);
    if refuses_null(d, &path, entry, ANY_VALUE) {
        return None;
    }
    let fields = d.fields(&path, &entry.value, &CONDITION);
    if refuse_nulls(d, &fields, "give it a value, or remove it") {
        return None;
    }
    let condition = condition(d, entry.at, &fields);
    let mut invert = fields.boolean(d, "invert").unwrap_or(false);
    invert ^= fields.boolean(d, "present") == Some(false);
    // A value of the wrong type must not read as presence: that would widen the route.
    let condition = condition.filter(|_| matches!(entry.value.value, Value::Map(_)))?;
    // As Istio's `withoutHeaders`: what is absent is not what it must not be.
    let absent_is_empty = invert && condition != Condition::Present;
    Some(Attribute {
        name: Located {
            value: entry.key.clone(),
            at: entry.at,
        },
        matching: AttributeMatch {
            invert,
            absent_is_empty,
            ..AttributeMatch::new(entry.key.clone(), condition)
        },
    })
}

/// An API server drops nulls, so that in a cluster the same manifest would mean something else.
fn refuses_null(d: &mut Decoder, path: &str, entry: &Entry, remedy: &str) -> bool {
    let is_null = entry.value.value == Value::Null;
    if is_null {
        let message = format!("`{path}` is null, and an API server drops what is null");
        d.invalid(entry.at, message, remedy);
    }
    is_null
}

/// Whether some field is null.
fn refuse_nulls(d: &mut Decoder, fields: &Fields<'_>, remedy: &str) -> bool {
    let refused = fields
        .entries
        .iter()
        .filter(|entry| refuses_null(d, &fields.path_of(&entry.key), entry, remedy));
    refused.count() > 0
}

fn condition(d: &mut Decoder, at: Position, fields: &Fields<'_>) -> Option<Condition> {
    let path = &fields.path;
    let mut kinds = fields
        .entries
        .iter()
        .filter(|entry| !matches!(entry.key.as_str(), "invert" | "ignoreCase"));
    let kind = kinds.next();
    if kinds.next().is_some() {
        let message = format!("`{path}` takes one of {KINDS}");
        let remedy = "a request that has to meet two conditions needs a regex";
        d.invalid(at, message, remedy);
        return None;
    }
    let ignore_case = fields.boolean(d, "ignoreCase").unwrap_or(false);
    let Some(kind) = kind else {
        if let Some(flag) = fields.entries.first() {
            let message = format!("`{}` has nothing to act on", fields.path_of(&flag.key));
            d.invalid(flag.at, message, &format!("add one of {KINDS}"));
            return None;
        }
        return Some(Condition::Present);
    };
    let text = |text: Located<String>| Text {
        value: text.value,
        ignore_case,
    };
    let condition = match kind.key.as_str() {
        "exact" => Condition::Exact(text(fields.string(d, "exact")?)),
        "prefix" => Condition::Prefix(text(fields.string(d, "prefix")?)),
        // As in Envoy; an empty prefix is Aeraki's.
        "suffix" => Condition::Suffix(text(not_empty(d, fields, "suffix")?)),
        "contains" => Condition::Contains(text(not_empty(d, fields, "contains")?)),
        "regex" => regex(d, fields, ignore_case)?,
        "range" => Condition::Range(range(d, fields, kind)?),
        "present" => Condition::Present,
        // An unknown field, which is said.
        _ => return None,
    };
    if ignore_case && condition.text().is_none() {
        caseless(d, fields, &kind.key);
        return None;
    }
    // As the proxy compiles it, with its limits: what is accepted here is accepted there.
    match validate(&condition) {
        Err(refusal) => refused(d, &kind.value, refusal),
        Ok(()) => Some(condition),
    }
}

fn not_empty(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Option<Located<String>> {
    let text = fields.string(d, name)?;
    if text.value.is_empty() {
        let message = format!(
            "`{}` is empty, as which any value passes",
            fields.path_of(name)
        );
        d.invalid(text.at, message, ANY_VALUE);
        return None;
    }
    Some(text)
}

fn caseless(d: &mut Decoder, fields: &Fields<'_>, kind: &str) {
    let at = fields
        .entry("ignoreCase")
        .map_or(fields.at, |entry| entry.at);
    let message = format!("`{}` has no effect on {kind}", fields.path_of("ignoreCase"));
    let remedy = match kind {
        "regex" => "begin the expression with `(?i)`",
        _ => "remove it",
    };
    d.invalid(at, message, remedy);
}

fn regex(d: &mut Decoder, fields: &Fields<'_>, ignore_case: bool) -> Option<Condition> {
    let regex = fields.string(d, "regex")?;
    if regex.value.is_empty() {
        d.invalid(
            regex.at,
            "an empty regular expression matches nothing but an empty value",
            "write `{exact: \"\"}` if that is meant, and `{present: true}` for any value",
        );
        return None;
    }
    // Aeraki's way to ask for presence.
    if regex.value == "*" && !ignore_case {
        return Some(Condition::Present);
    }
    Some(Condition::Regex(regex.value))
}

fn refused(d: &mut Decoder, written: &Node, refusal: RegexRefusal) -> Option<Condition> {
    let (message, remedy) = match refusal {
        RegexRefusal::TooLarge { limit, pattern } => (
            format!(
                "`{}` is too large: compiled it takes more than {limit} bytes",
                front(&pattern)
            ),
            "write a wider one: `+` for a count such as `{200}`, `[A-Za-z]` for `\\p{L}`",
        ),
        RegexRefusal::Invalid { message, pattern } => (
            format!("`{}` is no regular expression: {message}", front(&pattern)),
            "write it in RE2's syntax; `*` alone means any value",
        ),
        RegexRefusal::Star => return Some(Condition::Present),
    };
    let diagnostic = Diagnostic::error(Code::InvalidRegex, message);
    d.report(written.at, diagnostic.remedy(remedy));
    None
}

/// As much of an expression as a line has room for.
fn front(pattern: &str) -> Cow<'_, str> {
    const SHOWN: usize = 100;
    let end = pattern.char_indices().nth(SHOWN);
    match end.and_then(|(end, _)| pattern.get(..end)) {
        Some(front) => format!("{front}…").into(),
        None => pattern.into(),
    }
}

/// As Envoy's `Int64Range`: the start is in it, the end is not.
fn range(d: &mut Decoder, fields: &Fields<'_>, entry: &Entry) -> Option<Range<i64>> {
    let range = d.fields(&fields.path_of("range"), &entry.value, &RANGE);
    let bounds = ["start", "end"].map(|name| {
        if range.node(name).is_none() {
            range.missing(d, name);
        }
        range.whole(d, name)
    });
    let [Some(start), Some(end)] = bounds else {
        return None;
    };
    if start.value >= end.value {
        let message = format!(
            "no number is in the range from {} to {}: its end is not in it",
            start.value, end.value
        );
        d.invalid(end.at, message, "give an end above the start");
        return None;
    }
    Some(start.value..end.value)
}
