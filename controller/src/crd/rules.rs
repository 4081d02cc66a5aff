//! What fields have to be together, and texts by themselves, beyond their types.
//!
//! Structure comes first; an expression (CEL) says what structure cannot, and its message what to do.

use serde_json::{Value, json};

pub(super) enum Rule {
    AtMostOne(&'static [&'static str]),
    One(&'static [&'static str]),
    AtLeastOne(&'static [&'static str]),
    /// Where the first is, one of the others is, too.
    Needs(&'static str, &'static [&'static str]),
    /// The first, or the second with this value; never both.
    OneOrValue(&'static str, &'static str, Word),
    /// The first, or the second with this value, or both.
    OrValue(&'static str, &'static str, Word),
    NotEmpty,
    Expression {
        rule: &'static str,
        message: &'static str,
    },
}

#[derive(Clone, Copy)]
pub(super) enum Word {
    True,
    Text(&'static str),
}

impl Word {
    fn json(self) -> Value {
        match self {
            Self::True => json!(true),
            Self::Text(text) => json!(text),
        }
    }
}

const TEXTS: &[&str] = &["exact", "prefix", "suffix", "contains"];

const CONDITIONS: &[&str] = &[
    "exact", "prefix", "suffix", "contains", "regex", "range", "present",
];

/// By shape.
const RULES: &[(&str, Rule)] = &[
    ("Route", Rule::AtMostOne(&["match", "matches"])),
    ("Route", Rule::AtMostOne(&["mirror", "mirrors"])),
    ("Route", Rule::Needs("mirrorPercentage", &["mirror"])),
    (
        "Route",
        Rule::Expression {
            rule: "!has(self.timeout) || !has(self.retries) || !has(self.retries.perTryTimeout) || \
                   duration(self.retries.perTryTimeout) <= duration(self.timeout)",
            message: "`retries.perTryTimeout` is longer than `timeout`: make it shorter, or `timeout` longer",
        },
    ),
    (
        "Route",
        Rule::Expression {
            rule: "!has(self.timeout) || !has(self.hedge) || duration(self.hedge.delay) < duration(self.timeout)",
            message: "`hedge.delay` is not shorter than `timeout`, so that no second endpoint is ever asked: make it shorter",
        },
    ),
    ("Condition", Rule::AtMostOne(CONDITIONS)),
    ("Condition", Rule::Needs("invert", CONDITIONS)),
    ("Condition", Rule::Needs("ignoreCase", TEXTS)),
    (
        "Range",
        Rule::Expression {
            rule: "self.start < self.end",
            message: "the end is not in the range: give an `end` above `start`",
        },
    ),
    ("Source", Rule::NotEmpty),
    (
        "LocalRateLimit",
        Rule::AtLeastOne(&["tokenBucket", "conditions"]),
    ),
    ("LimitCondition", Rule::One(&["match", "matches"])),
    ("GlobalRateLimit", Rule::AtMostOne(&["match", "matches"])),
    ("Mutation", Rule::OneOrValue("value", "remove", Word::True)),
    ("Fault", Rule::AtLeastOne(&["delay", "abort"])),
    ("RedisAuth", Rule::One(&["secret", "plain"])),
    (
        "RedisFault",
        Rule::OrValue("delay", "type", Word::Text("ERROR")),
    ),
];

/// Of the items of a list, by shape and field.
const OF_LISTS: &[(&str, &str, &str, &str)] = &[(
    "Route",
    "route",
    "self.size() < 2 || self.map(to, has(to.weight) ? to.weight : 0).sum() == 100",
    "the weights of several destinations must add up to 100: change them so that they do",
)];

/// Of texts, by shape and field: what they match.
const PATTERNS: &[(&str, &str, &str)] = &[
    ("spec", "hosts", HOST),
    ("spec", "gateways", GATEWAY),
    ("Destination", "host", HOST),
    ("RedisService", "host", HOST),
    ("RedisService", "gateways", GATEWAY),
    ("RedisHost", "host", HOST),
    ("RedisDestination", "host", HOST),
    ("Source", "gateway", "^[^/]+(/[^/]+){0,2}$"),
    ("Source", "locality", "^[^/*]+(/[^/*]*){0,2}$"),
];

/// A DNS name, whole or short.
const HOST: &str = "^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\
    (\\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$";
/// Which is not an address.
const ADDRESS: &str = "^[0-9]+(\\.[0-9]+){3}$";

/// `name` or `namespace/name`.
const GATEWAY: &str = "^[^/]+(/[^/]+)?$";

/// Texts that are not empty where they are given, besides those that have to be given.
const NOT_EMPTY: &[(&str, &str)] = &[
    ("Condition", "suffix"),
    ("Condition", "contains"),
    ("Condition", "regex"),
    ("Mutation", "value"),
    ("Source", "namespace"),
    ("Source", "principal"),
    ("RedisFault", "commands"),
];

/// Defaults that an API server must not write into an object: the field would be a mistake where what it belongs to is
/// absent, or would say what nobody has said.
const NOT_DEFAULTED: &[(&str, &str)] = &[
    ("Condition", "invert"),
    ("Condition", "ignoreCase"),
    ("Route", "mirrorPercentage"),
    ("Mutation", "remove"),
    ("RedisKeyMatch", "removePrefix"),
];

/// Written without a unit it is refused by its type, since it is a number then.
pub(super) fn of_duration() -> Value {
    json!([{
        "rule": "self.matches('^([0-9]*[.]?[0-9]+(h|m|s|ms|us|µs|ns))+$') && duration(self) >= duration('1ms')",
        "message": "it is not a duration of at least 1ms: write a number with h, m, s or ms, as in `10s`",
    }])
}

/// What of a shape its fields have to be together.
pub(super) fn of_shape(shape: &str) -> Vec<Value> {
    let of_this = RULES.iter().filter(|(of, _)| *of == shape);
    of_this.filter_map(|(_, rule)| rule.structure()).collect()
}

/// Its `x-kubernetes-validations`.
pub(super) fn expressions(shape: &str) -> Vec<Value> {
    let of_this = RULES.iter().filter(|(of, _)| *of == shape);
    let expressions = of_this.filter_map(|(_, rule)| match rule {
        Rule::Expression { rule, message } => Some(json!({"rule": rule, "message": message})),
        _ => None,
    });
    expressions.collect()
}

pub(super) fn of_list(shape: &str, field: &str) -> Option<Value> {
    let mut rows = OF_LISTS.iter();
    let (.., rule, message) = rows.find(|(of, name, ..)| (*of, *name) == (shape, field))?;
    Some(json!([{"rule": rule, "message": message}]))
}

/// What a text of this field has to be like, as a part of its schema.
pub(super) fn of_text(shape: &str, field: &str, is_required: bool) -> Value {
    let mut schema = json!({});
    if is_required || NOT_EMPTY.contains(&(shape, field)) {
        schema["minLength"] = json!(1);
    }
    let mut rows = PATTERNS.iter();
    if let Some((.., pattern)) = rows.find(|(of, name, _)| (*of, *name) == (shape, field)) {
        schema["pattern"] = json!(pattern);
        if *pattern == HOST {
            schema["not"] = json!({ "pattern": ADDRESS });
        }
    }
    schema
}

pub(super) fn is_defaulted(shape: &str, field: &str) -> bool {
    !NOT_DEFAULTED.contains(&(shape, field))
}

impl Rule {
    fn structure(&self) -> Option<Value> {
        let required = |name: &&str| json!({ "required": [name] });
        let with = |name: &str, word: Word| json!({"required": [name], "properties": {name: {"enum": [word.json()]}}});
        let any = |names: &[&str]| names.iter().map(required).collect::<Vec<_>>();
        Some(match self {
            Self::AtMostOne(names) => {
                let none = json!({ "not": { "anyOf": any(names) } });
                let several = [any(names), vec![none]].concat();
                json!({ "oneOf": several })
            }
            Self::One(names) => json!({ "oneOf": any(names) }),
            Self::AtLeastOne(names) => json!({ "anyOf": any(names) }),
            Self::Needs(name, others) => {
                let absent = json!({ "not": required(name) });
                let all = [vec![absent], any(others)].concat();
                json!({ "anyOf": all })
            }
            Self::OneOrValue(name, other, word) => {
                json!({ "oneOf": [required(name), with(other, *word)] })
            }
            Self::OrValue(name, other, word) => {
                json!({ "anyOf": [required(name), with(other, *word)] })
            }
            Self::NotEmpty => json!({ "minProperties": 1 }),
            Self::Expression { .. } => return None,
        })
    }
}

/// What the tables name, for a test that it is there.
#[cfg(test)]
pub(super) fn named() -> impl Iterator<Item = (&'static str, &'static str)> {
    let rules = RULES.iter().flat_map(|(shape, rule)| {
        let names = match rule {
            Rule::AtMostOne(names) | Rule::One(names) | Rule::AtLeastOne(names) => names.to_vec(),
            Rule::Needs(name, others) => [&[*name], *others].concat(),
            Rule::OneOrValue(name, other, _) | Rule::OrValue(name, other, _) => vec![*name, *other],
            Rule::NotEmpty | Rule::Expression { .. } => vec![],
        };
        names.into_iter().map(|name| (*shape, name))
    });
    let lists = OF_LISTS.iter().map(|(shape, field, ..)| (*shape, *field));
    let patterns = PATTERNS.iter().map(|(shape, field, _)| (*shape, *field));
    let others = NOT_EMPTY.iter().chain(NOT_DEFAULTED).copied();
    rules.chain(lists).chain(patterns).chain(others)
}
