//! When an endpoint is ejected, and for how long.

use std::time::Duration;

use super::super::decode::{Decoder, Field};
use crate::yaml::Node;

/// Unset fields have Envoy's defaults: 5 errors, 10 s, 30 s, 10 %.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OutlierDetection {
    pub(crate) consecutive_5xx: Option<u32>,
    pub(crate) interval: Option<Duration>,
    pub(crate) base_ejection: Option<Duration>,
    pub(crate) max_ejection_percent: Option<u32>,
    pub(crate) min_health_percent: Option<u32>,
}

const OUTLIER: &[Field] = &[
    Field::InForce("consecutive5xxErrors"),
    Field::InForce("consecutiveErrors"),
    Field::InForce("interval"),
    Field::InForce("baseEjectionTime"),
    Field::InForce("maxEjectionPercent"),
    Field::InForce("minHealthPercent"),
    Field::NotYet("consecutiveGatewayErrors"),
    Field::NotYet("consecutiveLocalOriginFailures"),
    Field::NotYet("splitExternalLocalOriginErrors"),
];

pub(super) fn decode(d: &mut Decoder, node: &Node) -> OutlierDetection {
    let fields = d.fields("outlierDetection", node, OUTLIER);
    let mut number = |name: &str, high: i64| {
        let number = fields.integer(d, name, 0..=high)?;
        u32::try_from(number.value).ok()
    };
    let consecutive = number("consecutive5xxErrors", i64::from(u32::MAX));
    // The name that Istio had before 1.7 and still reads.
    let consecutive = consecutive.or_else(|| number("consecutiveErrors", i64::from(u32::MAX)));
    let max_ejection_percent = number("maxEjectionPercent", 100);
    let min_health_percent = number("minHealthPercent", 100);
    OutlierDetection {
        consecutive_5xx: consecutive,
        interval: fields.duration(d, "interval"),
        base_ejection: fields.duration(d, "baseEjectionTime"),
        max_ejection_percent,
        min_health_percent,
    }
}
