//! What a run found.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Change, Plan, Policy};
use crate::load::latencies;
use crate::steady::Answered;

#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) endpoints: u32,
    /// Of each kind.
    pub(crate) updates: u32,
    pub(crate) requests_per_second: f64,
    pub(crate) pinned: bool,
    pub(crate) rows: Vec<Row>,
    /// Rows that count for nothing: a wrong answer, a closed connection, an update that was refused.
    pub(crate) void: Vec<String>,
}

impl Outcome {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            endpoints: plan.endpoints,
            updates: plan.updates,
            requests_per_second: 1.0 / plan.interval.as_secs_f64(),
            pinned: plan.pin.is_some(),
            rows: Vec::new(),
            void: Vec::new(),
        }
    }
}

/// One policy.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) policy: Policy,
    pub(crate) outlier_detection: bool,
    pub(crate) slices: Vec<Slice>,
}

/// What happened meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Nothing,
    #[serde(untagged)]
    Update(Change),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no update"),
            Self::Update(change) => change.fmt(f),
        }
    }
}

/// All stretches of time of one kind.
#[derive(Debug, Serialize)]
pub(crate) struct Slice {
    pub(crate) kind: Kind,
    /// CPU time of the proxy in each, where there was an update beyond that of the quiet stretch
    /// before it.
    pub(crate) cost: Vec<Cost>,
    pub(crate) requests: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    /// The greatest latency in each stretch: no pause was longer.
    pub(crate) longest_us: Vec<f64>,
}

/// CPU time in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    /// Of the worker that serves the requests.
    pub(crate) worker_ms: f64,
    /// Of all other threads.
    pub(crate) control_ms: f64,
}

impl Cost {
    pub(crate) fn total_ms(self) -> f64 {
        self.worker_ms + self.control_ms
    }
}

/// A stretch of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) kind: Kind,
    pub(super) start: Instant,
    pub(super) end: Instant,
    pub(super) cost: Cost,
}

impl Slice {
    /// Sums up the stretches of a kind. `answered` is in no order.
    pub(super) fn new(kind: Kind, stretches: &[Stretch], answered: &[Answered]) -> Self {
        let mut latency = latencies();
        let mut longest_us = Vec::new();
        let stretches = stretches.iter().filter(|stretch| stretch.kind == kind);
        for stretch in stretches.clone() {
            let here = |it: &&Answered| stretch.start <= it.due && it.due < stretch.end;
            let mut longest = Duration::ZERO;
            for answered in answered.iter().filter(here) {
                longest = longest.max(answered.latency);
                latency.saturating_record(nanoseconds(answered.latency));
            }
            longest_us.push(longest.as_secs_f64() * 1e6);
        }
        let quantile = |q| latency.value_at_quantile(q) as f64 / 1e3;
        Self {
            kind,
            cost: stretches.map(|stretch| stretch.cost).collect(),
            requests: latency.len(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: longest_us.iter().copied().fold(0.0, f64::max),
            longest_us,
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_where_they_were_sent() {
        let origin = Instant::now();
        let at = |ms| origin + Duration::from_millis(ms);
        let stretch = |kind, start, end| Stretch {
            kind,
            start: at(start),
            end: at(end),
            cost: Cost {
                worker_ms: 1.0,
                control_ms: 2.0,
            },
        };
        let update = Kind::Update(Change::One);
        let stretches = [
            stretch(Kind::Nothing, 0, 10),
            stretch(update, 20, 30),
            stretch(update, 50, 60),
        ];
        let answered = [(5, 1), (15, 100), (25, 7), (29, 3), (50, 2), (60, 100)];
        let answered = answered.map(|(sent, latency)| Answered {
            due: at(sent),
            latency: Duration::from_millis(latency),
        });
        let slice = Slice::new(update, &stretches, &answered);
        assert_eq!(
            (slice.requests, slice.longest_us),
            (3, vec![7000.0, 2000.0])
        );
        assert_eq!((slice.max_us, slice.cost.len()), (7000.0, 2));
        assert_eq!(Slice::new(Kind::Nothing, &stretches, &answered).requests, 1);
    }
}
