//! `loadBalancer.warmup`: how endpoints that are new come to their weight.

use std::time::Duration;

use super::super::decode::{Decoder, Field, Fields};
use super::Simple;
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

/// Says where it does not act, as in Envoy: beside a balancer that has no use for weights of a moment.
pub(super) fn unused(d: &mut Decoder, balancer: &Fields<'_>, simple: Option<Simple>) {
    let beside = match (balancer.entry("consistentHash"), simple) {
        (Some(_), _) => "consistentHash",
        (None, Some(Simple::Random)) => "RANDOM",
        _ => return,
    };
    if balancer.entry("peakEwma").is_some() {
        return;
    }
    for name in ["warmup", "warmupDurationSecs"] {
        if let Some(entry) = balancer.entry(name) {
            let message = format!("`loadBalancer.{name}` has no effect beside {beside}");
            let diagnostic = Diagnostic::warning(Code::NotInForce, message);
            let remedy = "set `simple: ROUND_ROBIN` or LEAST_REQUEST, or remove it";
            d.report(entry.at, diagnostic.remedy(remedy));
        }
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
