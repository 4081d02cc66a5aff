//! Which bucket a request takes a token from.

use meltemi_policy::RouteTable;
use serde::Serialize;

use super::Attribute;
use super::source::Source;
use super::treatment::seconds;
use crate::model::{Alternative, RateLimit};

/// A bucket of a local rate limit. All requests that it covers share it, on every server and worker
/// of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limited {
    /// `namespace/name` of the MetaRouter.
    pub limit: String,
    /// The condition that the request meets, counted from one; none: the default bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<usize>,
    pub max_tokens: u32,
    pub tokens_per_fill: u32,
    pub fill_interval: String,
}

/// The first rule that a request meets.
pub(super) fn met<'t, T>(
    table: &'t RouteTable<T>,
    attributes: &[Attribute],
    source: Source<'_>,
) -> Option<(usize, &'t T)> {
    table.select(|index| {
        source.value(table.attributes().get(index)?, |name| {
            let found = attributes.iter().find(|a| a.name == *name)?;
            Some(found.value.as_bytes())
        })
    })
}

impl Limited {
    /// None: the request is not limited.
    pub(super) fn of(
        limit: &RateLimit,
        attributes: &[Attribute],
        source: Source<'_>,
    ) -> Option<Self> {
        let conditions = limit.conditions.iter();
        let rules = conditions.map(|it| (Alternative::possible(&it.alternatives), it.bucket));
        let table = RouteTable::new(rules).ok()?;
        let (condition, bucket) = match met(&table, attributes, source) {
            Some((number, bucket)) => (Some(number + 1), *bucket),
            None => (None, limit.default?),
        };
        Some(Self {
            limit: limit.name.clone(),
            condition,
            max_tokens: bucket.max_tokens(),
            tokens_per_fill: bucket.tokens_per_fill(),
            fill_interval: seconds(bucket.fill_interval()),
        })
    }
}
