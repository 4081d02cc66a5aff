//! `localRateLimit`: how many requests of a MetaRouter's routes a proxy lets through.

use meltemi_policy::{BucketRefused, RouteTable, TokenBucket};

use super::super::decode::{Decoder, Field, Fields};
use super::super::matching::{self, Alternative};
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

const RATE_LIMIT: &[Field] = &[Field::InForce("tokenBucket"), Field::InForce("conditions")];

const CONDITION: &[Field] = &[
    Field::InForce("match"),
    Field::InForce("matches"),
    Field::InForce("tokenBucket"),
];

const BUCKET: &[Field] = &[
    Field::InForce("maxTokens"),
    Field::InForce("tokensPerFill"),
    Field::InForce("fillInterval"),
];

/// `None`: something is wrong.
pub(super) fn decode(d: &mut Decoder, node: &Node) -> Option<RateLimit> {
    let fields = d.fields("localRateLimit", node, RATE_LIMIT);
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
    let fields = d.fields("conditions", node, CONDITION);
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
    let fields = d.fields("tokenBucket", node, BUCKET);
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

/// Above 0: what admits nothing is no limit but a mistake.
fn tokens(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Option<u32> {
    let number = fields.integer(d, name, 1..=u32::MAX.into())?;
    u32::try_from(number.value).ok()
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
