//! `loadBalancer.peakEwma`: our own, beside Istio's `simple`.

use std::time::Duration;

use super::super::decode::{Decoder, Field, Fields};
use super::Simple;

const PEAK_EWMA: &[Field] = &[Field::InForce("decay")];

/// As finagle's.
const DECAY: Duration = Duration::from_secs(10);

pub(super) fn decode(d: &mut Decoder, balancer: &Fields<'_>) -> Option<Simple> {
    let entry = balancer.entry("peakEwma")?;
    for other in ["simple", "consistentHash"] {
        if let Some(other) = balancer.entry(other) {
            let message = format!("`loadBalancer` takes one of peakEwma and {}", other.key);
            d.invalid(other.at, message, "remove one of the two");
        }
    }
    if let Some(entry) = balancer
        .entry("warmup")
        .or(balancer.entry("warmupDurationSecs"))
    {
        let message = format!("`loadBalancer.{}` does not act beside peakEwma", entry.key);
        d.invalid(
            entry.at,
            message,
            "remove it: an endpoint that is new is tried with one request",
        );
    }
    let fields = d.fields("loadBalancer.peakEwma", &entry.value, PEAK_EWMA);
    let decay = fields.duration(d, "decay");
    Some(Simple::PeakEwma(decay.unwrap_or(DECAY)))
}
