//! Which bucket a request takes a token from, and how many it has now.

use meltemi_policy::RouteTable;
use serde_json::{Value, json};

use super::question::Question;
use crate::admin::dump::duration;
use crate::buckets::Buckets;
use crate::config::RateLimit;

/// Null: the request is not limited.
pub(super) fn of(limit: Option<&RateLimit>, question: &Question, buckets: &Buckets) -> Value {
    limit
        .and_then(|limit| bucket(limit, question, buckets))
        .unwrap_or_default()
}

fn bucket(limit: &RateLimit, question: &Question, buckets: &Buckets) -> Option<Value> {
    let rules = limit.conditions.iter();
    let table = RouteTable::new(rules.map(|it| (it.matches.clone(), it))).ok()?;
    let met = table.select(|index| question.value(table.attributes().get(index)?));
    let (covered, bucket) = match met {
        Some((_, condition)) => (condition.matches.as_slice(), condition.bucket),
        None => (&[][..], limit.default?),
    };
    let mut shown = json!({
        "limit": limit.name,
        "max_tokens": bucket.max_tokens(),
        "tokens_per_fill": bucket.tokens_per_fill(),
        "fill_interval": duration(bucket.fill_interval()),
        "tokens": buckets.left(&limit.name, covered, bucket),
    });
    if let Some((number, _)) = met {
        shown["condition"] = (number + 1).into();
    }
    Some(shown)
}
