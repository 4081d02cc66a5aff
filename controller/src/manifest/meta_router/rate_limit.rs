//! `localRateLimit`: how many requests of a MetaRouter's routes a proxy lets through.

use meltemi_policy::{BucketRefused, RouteTable, TokenBucket};

use super::super::decode::{Decoder, Fields};
use super::super::matching::{self, Alternative};
use super::super::shape::{Described, Shape, Takes};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::yaml::Node;

/// The first condition that matches says which bucket a request takes a token from, or else the
/// default one; without either it is not limited.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RateLimit {
    pub(crate) conditions: Vec<LimitCondition>,
    pub(crate) default: Option<TokenBucket>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LimitCondition {
    /// One of them has to match; at least one.
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) bucket: TokenBucket,
}

pub(super) static RATE_LIMIT: Shape = Shape {
    name: "LocalRateLimit",
    meaning: "Aeraki's. A request takes a token from one bucket: that of the first condition that \
        matches, else the default one; without either it is not limited. One of the fields has to be \
        given. See [rate limits](manifests.md#rate-limits).",
    given: "",
    instead: &[],
    fields: &[
        Described::new("tokenBucket", Takes::Mapping(&BUCKET), "the default bucket")
            .absent("what no condition matches is not limited")
            .example("tokenBucket: {maxTokens: 100, tokensPerFill: 50, fillInterval: 1s}"),
        Described::new(
            "conditions",
            Takes::List(&Takes::Mapping(&CONDITION)),
            "in order: requests that have a bucket of their own",
        )
        .absent("none has")
        .example(
            "conditions: [{match: {attributes: {method: {exact: sayHello}}}, \
             tokenBucket: {maxTokens: 10, tokensPerFill: 10, fillInterval: 1s}}]",
        ),
    ],
};

static CONDITION: Shape = Shape {
    name: "LimitCondition",
    meaning: "Which requests have a bucket of their own: `match` or `matches`, as a route has them.",
    given: "tokenBucket: {maxTokens: 10, tokensPerFill: 10, fillInterval: 1s}",
    instead: &[],
    fields: &[
        matching::match_field("which requests; Aeraki's", "an error without `matches`"),
        matching::matches_field("an error without `match`"),
        Described::new("tokenBucket", Takes::Mapping(&BUCKET), "their bucket")
            .required()
            .example(
                "tokenBucket: {maxTokens: 10, tokensPerFill: 10, fillInterval: 1s}, \
                 match: {attributes: {method: {exact: sayHello}}}",
            ),
    ],
};

static BUCKET: Shape = Shape {
    name: "TokenBucket",
    meaning: "As Envoy's. Tokens come evenly, and not all at the end of an interval. More than one a \
        nanosecond is an error.",
    given: "maxTokens: 100, tokensPerFill: 50, fillInterval: 1s",
    instead: &[],
    fields: &[
        Described::new(
            "maxTokens",
            TOKENS,
            "so many it holds at most, and at first",
        )
        .required()
        .example("maxTokens: 100"),
        Described::new("tokensPerFill", TOKENS, "so many come in an interval")
            .required()
            .example("tokensPerFill: 50"),
        Described::new(
            "fillInterval",
            Takes::Duration,
            "the interval; at most 100 years",
        )
        .required()
        .example("fillInterval: 1s"),
    ],
};

/// What admits nothing is no limit but a mistake.
const TOKENS: Takes = Takes::Integer {
    least: 1,
    most: u32::MAX as i64,
};

/// `None`: something is wrong.
pub(super) fn decode(d: &mut Decoder, node: &Node) -> Option<RateLimit> {
    let fields = d.fields("localRateLimit", node, &RATE_LIMIT);
    let default = fields.node("tokenBucket").map(|node| bucket(d, node));
    let nodes = fields.list(d, "conditions");
    if default.is_none() && nodes.is_empty() {
        let message = "`localRateLimit` limits nothing: it has no bucket";
        d.invalid(fields.at, message, "add `tokenBucket`, or `conditions`");
        return None;
    }
    let conditions = nodes.iter().map(|node| condition(d, node));
    // All of them first, so that each mistake is said.
    let conditions: Vec<Option<_>> = conditions.collect();
    let conditions: Vec<_> = conditions.into_iter().collect::<Option<_>>()?;
    let places = nodes.iter().map(|node| node.at);
    let places = places.chain(fields.entry("tokenBucket").map(|entry| entry.at));
    warn_of_dead(d, &conditions, &places.collect::<Vec<_>>());
    Some(RateLimit {
        conditions,
        default: default.map_or(Some(None), |bucket| bucket.map(Some))?,
    })
}

fn condition(d: &mut Decoder, node: &Node) -> Option<LimitCondition> {
    let fields = d.fields("conditions", node, &CONDITION);
    let has_match = ["match", "matches"]
        .iter()
        .any(|name| fields.entries.iter().any(|entry| entry.key == *name));
    let alternatives = match has_match {
        true => matching::decode(d, &fields),
        false => {
            fields.missing(d, "match");
            vec![]
        }
    };
    let bucket = match fields.node("tokenBucket") {
        Some(node) => bucket(d, node),
        None => {
            fields.missing(d, "tokenBucket");
            None
        }
    };
    Some(LimitCondition {
        alternatives: Some(alternatives).filter(|it| !it.is_empty())?,
        bucket: bucket?,
    })
}

fn bucket(d: &mut Decoder, node: &Node) -> Option<TokenBucket> {
    let fields = d.fields("tokenBucket", node, &BUCKET);
    for name in ["maxTokens", "tokensPerFill", "fillInterval"] {
        if fields.node(name).is_none() {
            fields.missing(d, name);
        }
    }
    let max_tokens = tokens(d, &fields, "maxTokens");
    let tokens_per_fill = tokens(d, &fields, "tokensPerFill");
    let interval = fields.duration(d, "fillInterval");
    let refused = match TokenBucket::new(max_tokens?, tokens_per_fill?, interval?) {
        Ok(bucket) => return Some(bucket),
        Err(refused) => refused,
    };
    let remedy = match refused {
        BucketRefused::TooFast => "leave the limit out, or give a longer `fillInterval`",
        BucketRefused::TooSlow => "give a shorter `fillInterval`",
        BucketRefused::Empty | BucketRefused::NeverFilled | BucketRefused::NoInterval => {
            "give it a value above 0"
        }
    };
    let entry = fields.entry("fillInterval");
    let at = entry.map_or(fields.at, |entry| entry.at);
    let message = format!("`tokenBucket`: {refused}");
    d.invalid(at, message, remedy);
    None
}

fn tokens(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Option<u32> {
    u32::try_from(fields.whole(d, name)?.value).ok()
}

/// Says which buckets no request gets to, as earlier conditions take them all. The places are those
/// of the conditions, and of the default bucket where there is one.
fn warn_of_dead(d: &mut Decoder, conditions: &[LimitCondition], places: &[Position]) {
    let rules = conditions.iter().map(|condition| {
        // Whom a source means is not known here.
        let anywhere = condition
            .alternatives
            .iter()
            .filter(|it| it.source.is_none());
        let asked = |it: &Alternative| it.attributes.iter().map(|a| a.matching.clone()).collect();
        anywhere.map(asked).collect::<Vec<_>>()
    });
    let default = (places.len() > conditions.len()).then(|| vec![vec![]]);
    let rules: Vec<_> = rules.chain(default).map(|rule| (rule, ())).collect();
    // Regular expressions were checked when they were decoded.
    let Ok(table) = RouteTable::new(rules) else {
        return;
    };
    for shadowed in table.shadowed() {
        let from_somewhere = conditions
            .get(shadowed.rule)
            .is_some_and(|condition| condition.alternatives.iter().any(|it| it.source.is_some()));
        let Some(at) = places.get(shadowed.rule).filter(|_| !from_somewhere) else {
            continue;
        };
        let message = "no request gets to this bucket: an earlier condition takes them all";
        let diagnostic = Diagnostic::warning(Code::DeadRoute, message);
        let remedy = "put it before the other one, or narrow the other one's `match`";
        d.report(*at, diagnostic.remedy(remedy));
    }
}
