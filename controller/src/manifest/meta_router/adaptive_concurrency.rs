//! `adaptiveConcurrency`: how many requests of a route may be under way, found by their latencies.
//! Names and defaults are those of Envoy's gradient controller.

use std::time::Duration;

use super::super::decode::{Decoder, Field, Fields};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AdaptiveConcurrency {
    /// In percent, as all that have no unit.
    pub(crate) sample_aggregate_percentile: f64,
    pub(crate) max_concurrency_limit: u32,
    pub(crate) concurrency_update_interval: Duration,
    pub(crate) min_rtt: MinRtt,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MinRtt {
    pub(crate) interval: Duration,
    pub(crate) request_count: u32,
    pub(crate) jitter: f64,
    pub(crate) min_concurrency: u32,
    pub(crate) buffer: f64,
}

const ADAPTIVE_CONCURRENCY: &[Field] = &[
    Field::InForce("sampleAggregatePercentile"),
    Field::InForce("maxConcurrencyLimit"),
    Field::InForce("concurrencyUpdateInterval"),
    Field::InForce("minRttCalcParams"),
];

const MIN_RTT: &[Field] = &[
    Field::InForce("interval"),
    Field::InForce("requestCount"),
    Field::InForce("jitter"),
    Field::InForce("minConcurrency"),
    Field::InForce("buffer"),
];

/// `None`: something is wrong.
pub(super) fn decode(d: &mut Decoder, node: &Node) -> Option<AdaptiveConcurrency> {
    let fields = d.fields("adaptiveConcurrency", node, ADAPTIVE_CONCURRENCY);
    let percentile = percent(d, &fields, "sampleAggregatePercentile", 50.0);
    let most = count(d, &fields, "maxConcurrencyLimit", 1000);
    let update = interval(d, &fields, "concurrencyUpdateInterval");
    let min_rtt = match fields.node("minRttCalcParams") {
        Some(node) => min_rtt(d, node),
        None => {
            fields.missing(d, "minRttCalcParams");
            None
        }
    };
    let (most, min_rtt) = (most?, min_rtt?);
    if min_rtt.min_concurrency > most {
        let entry = fields.entry("minRttCalcParams");
        let message = "`minRttCalcParams.minConcurrency` is above `maxConcurrencyLimit`";
        let remedy = "make it smaller, or `maxConcurrencyLimit` larger";
        d.invalid(entry.map_or(fields.at, |it| it.at), message, remedy);
        return None;
    }
    Some(AdaptiveConcurrency {
        sample_aggregate_percentile: percentile?,
        max_concurrency_limit: most,
        concurrency_update_interval: update?,
        min_rtt,
    })
}

fn min_rtt(d: &mut Decoder, node: &Node) -> Option<MinRtt> {
    let fields = d.fields("minRttCalcParams", node, MIN_RTT);
    let interval = interval(d, &fields, "interval");
    let request_count = count(d, &fields, "requestCount", 50);
    let jitter = percent(d, &fields, "jitter", 15.0);
    let min_concurrency = count(d, &fields, "minConcurrency", 3);
    let buffer = percent(d, &fields, "buffer", 25.0);
    Some(MinRtt {
        interval: interval?,
        request_count: request_count?,
        jitter: jitter?,
        min_concurrency: min_concurrency?,
        buffer: buffer?,
    })
}

fn interval(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Option<Duration> {
    if fields.node(name).is_none() {
        fields.missing(d, name);
    }
    fields.duration(d, name)
}

fn count(d: &mut Decoder, fields: &Fields<'_>, name: &str, default: u32) -> Option<u32> {
    if fields.node(name).is_none() {
        return Some(default);
    }
    let number = fields.integer(d, name, 1..=u32::MAX.into())?;
    u32::try_from(number.value).ok()
}

fn percent(d: &mut Decoder, fields: &Fields<'_>, name: &str, default: f64) -> Option<f64> {
    match fields.node(name) {
        Some(_) => fields.percent(d, name),
        None => Some(default),
    }
}
