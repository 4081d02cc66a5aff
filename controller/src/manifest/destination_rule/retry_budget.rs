//! How many requests to a cluster may be repetitions at a time.

use super::super::decode::{Decoder, Field};
use crate::yaml::Node;

/// Unset fields have Envoy's defaults: 20 %, 3.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RetryBudget {
    /// From 0 to 100.
    pub(crate) percent: Option<f64>,
    pub(crate) min_concurrency: Option<u32>,
}

const RETRY_BUDGET: &[Field] = &[
    Field::InForce("percent"),
    Field::InForce("minRetryConcurrency"),
];

pub(super) fn decode(d: &mut Decoder, node: &Node) -> RetryBudget {
    let fields = d.fields("retryBudget", node, RETRY_BUDGET);
    let least = fields.integer(d, "minRetryConcurrency", 0..=u32::MAX.into());
    RetryBudget {
        percent: fields.percentage(d, "percent"),
        min_concurrency: least.and_then(|least| u32::try_from(least.value).ok()),
    }
}
