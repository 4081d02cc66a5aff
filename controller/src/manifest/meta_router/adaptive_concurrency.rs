//! `adaptiveConcurrency`: how many requests of a route may be under way, found by their latencies.
//! Names and defaults are those of Envoy's gradient controller.

use std::time::Duration;

use super::super::decode::{Decoder, Fields};
use super::super::shape::{Described, Literal, Shape, Takes};
use super::PERCENT;
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

pub(super) static ADAPTIVE_CONCURRENCY: Shape = Shape {
    name: "AdaptiveConcurrency",
    meaning: "Our addition, named as Envoy's gradient controller. See \
        [adaptive concurrency](manifests.md#adaptive-concurrency).",
    given: "concurrencyUpdateInterval: 100ms, minRttCalcParams: {interval: 60s}",
    instead: &[],
    fields: &[
        Described::new(
            "sampleAggregatePercentile",
            Takes::Mapping(&PERCENT),
            "which percentile of latencies counts",
        )
        .default(Literal::Percent(PERCENTILE))
        .example("sampleAggregatePercentile: {value: 90}"),
        Described::new("maxConcurrencyLimit", COUNT, "the most, of all workers")
            .default(Literal::Integer(MOST as i64))
            .example("maxConcurrencyLimit: 200"),
        Described::new(
            "concurrencyUpdateInterval",
            Takes::Duration,
            "how often the limit is set anew",
        )
        .required()
        .example("concurrencyUpdateInterval: 100ms"),
        Described::new(
            "minRttCalcParams",
            Takes::Mapping(&MIN_RTT),
            "how the latency without a queue is measured",
        )
        .required()
        .example("minRttCalcParams: {interval: 60s, requestCount: 50}"),
    ],
};

static MIN_RTT: Shape = Shape {
    name: "MinRttCalcParams",
    meaning: "",
    given: "interval: 60s",
    instead: &[],
    fields: &[
        Described::new("interval", Takes::Duration, "how often it is measured")
            .required()
            .example("interval: 60s"),
        Described::new("requestCount", COUNT, "by how many requests")
            .default(Literal::Integer(REQUESTS as i64))
            .example("requestCount: 20"),
        Described::new(
            "jitter",
            Takes::Mapping(&PERCENT),
            "by up to so many percent the interval is longer",
        )
        .default(Literal::Percent(JITTER))
        .example("jitter: {value: 10}"),
        Described::new(
            "minConcurrency",
            COUNT,
            "the least limit, the one while it is measured; of each worker",
        )
        .default(Literal::Integer(LEAST as i64))
        .example("minConcurrency: 5"),
        Described::new(
            "buffer",
            Takes::Mapping(&PERCENT),
            "by so many percent a latency may be above the minimum",
        )
        .default(Literal::Percent(BUFFER))
        .example("buffer: {value: 50}"),
    ],
};

const COUNT: Takes = Takes::Integer {
    least: 1,
    most: u32::MAX as i64,
};

/// Envoy's defaults.
const PERCENTILE: f64 = 50.0;
const MOST: u32 = 1000;
const REQUESTS: u32 = 50;
const JITTER: f64 = 15.0;
const LEAST: u32 = 3;
const BUFFER: f64 = 25.0;

/// `None`: something is wrong.
pub(super) fn decode(d: &mut Decoder, node: &Node) -> Option<AdaptiveConcurrency> {
    let fields = d.fields("adaptiveConcurrency", node, &ADAPTIVE_CONCURRENCY);
    let percentile = percent(d, &fields, "sampleAggregatePercentile", PERCENTILE);
    let most = count(d, &fields, "maxConcurrencyLimit", MOST);
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
    let fields = d.fields("minRttCalcParams", node, &MIN_RTT);
    let interval = interval(d, &fields, "interval");
    let request_count = count(d, &fields, "requestCount", REQUESTS);
    let jitter = percent(d, &fields, "jitter", JITTER);
    let min_concurrency = count(d, &fields, "minConcurrency", LEAST);
    let buffer = percent(d, &fields, "buffer", BUFFER);
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
    let number = fields.whole(d, name)?;
    u32::try_from(number.value).ok()
}

fn percent(d: &mut Decoder, fields: &Fields<'_>, name: &str, default: f64) -> Option<f64> {
    match fields.node(name) {
        Some(_) => fields.percent(d, name),
        None => Some(default),
    }
}
