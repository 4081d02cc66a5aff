//! `loadBalancer.warmup`: how endpoints that are new come to their weight.

use std::time::Duration;

use super::super::decode::{Decoder, Field, Fields};
use crate::diagnostic::{Code, Diagnostic};

/// Unset fields have Envoy's defaults: 10 %, 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Warmup {
    pub(crate) duration: Duration,
    pub(crate) minimum_percent: Option<f64>,
    pub(crate) aggression: Option<f64>,
}

const WARMUP: &[Field] = &[
    Field::InForce("duration"),
    Field::InForce("minimumPercent"),
    Field::InForce("aggression"),
];

/// Envoy gives its other balancers no slow start, and Istio says nothing.
pub(super) fn has_no_effect(d: &mut Decoder, balancer: &Fields<'_>, beside: &str) {
    let older = || balancer.entry("warmupDurationSecs");
    if let Some(entry) = balancer.entry("warmup").or_else(older) {
        let message = format!("`loadBalancer.{}` does not act beside {beside}", entry.key);
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        let remedy = "remove it, or use ROUND_ROBIN or LEAST_REQUEST";
        d.report(entry.at, diagnostic.remedy(remedy));
    }
}

/// As in Istio, the older `warmupDurationSecs` counts where there is no `warmup`.
pub(super) fn decode(d: &mut Decoder, balancer: &Fields<'_>) -> Option<Warmup> {
    let Some(node) = balancer.node("warmup") else {
        return Some(Warmup {
            duration: balancer.duration(d, "warmupDurationSecs")?,
            minimum_percent: None,
            aggression: None,
        });
    };
    let fields = d.fields("loadBalancer.warmup", node, WARMUP);
    if fields.node("duration").is_none() {
        fields.missing(d, "duration");
    }
    let minimum_percent = fields.percentage(d, "minimumPercent");
    let aggression = fields.number(d, "aggression", 1.0..=f64::MAX);
    Some(Warmup {
        duration: fields.duration(d, "duration")?,
        minimum_percent,
        aggression,
    })
}
