//! What a server counts, for whoever shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A clone counts the same.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    refused: [AtomicU64; Reason::ALL.len()],
    rejections: AtomicU64,
    pushes: Latencies,
}

/// Why a client was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It does not show who it is.
    Token,
    /// It claims what is not its own.
    Claim,
    /// It has too many connections.
    Connections,
}

impl Reason {
    pub const ALL: [Self; 3] = [Self::Token, Self::Claim, Self::Connections];
}

/// How often something took how long.
#[derive(Debug, Default)]
struct Latencies {
    /// By the first bound that was not passed; the last is for the rest.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// In seconds.
const BOUNDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// How often something took how long, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// In seconds, of all together.
    pub sum: f64,
    pub count: u64,
    /// Up to which bound, in seconds, and how often it took longer than up to the bound before.
    pub buckets: Vec<(f64, u64)>,
}

impl Counts {
    /// How many clients were not served for this reason.
    #[must_use]
    pub fn refused(&self, reason: Reason) -> u64 {
        self.counter(reason).load(Relaxed)
    }

    /// How many resources clients did not take.
    #[must_use]
    pub fn rejections(&self) -> u64 {
        self.0.rejections.load(Relaxed)
    }

    /// From the publication of a change to its being sent to one client.
    #[must_use]
    pub fn pushes(&self) -> Histogram {
        let pushes = &self.0.pushes;
        let counts: Vec<_> = pushes.counts.iter().map(|it| it.load(Relaxed)).collect();
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        Histogram {
            sum: Duration::from_micros(pushes.micros.load(Relaxed)).as_secs_f64(),
            count: counts.iter().sum(),
            buckets: bounds.zip(counts).collect(),
        }
    }

    pub(super) fn rejected(&self) {
        self.0.rejections.fetch_add(1, Relaxed);
    }

    pub(super) fn refuse(&self, reason: Reason) {
        self.counter(reason).fetch_add(1, Relaxed);
    }

    pub(super) fn pushed(&self, took: Duration) {
        let pushes = &self.0.pushes;
        let seconds = took.as_secs_f64();
        let place = BOUNDS.iter().position(|&bound| seconds <= bound);
        if let Some(count) = pushes.counts.get(place.unwrap_or(BOUNDS.len())) {
            count.fetch_add(1, Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        pushes.micros.fetch_add(micros, Relaxed);
    }

    fn counter(&self, reason: Reason) -> &AtomicU64 {
        let [token, claim, connections] = &self.0.refused;
        match reason {
            Reason::Token => token,
            Reason::Claim => claim,
            Reason::Connections => connections,
        }
    }
}

/// When something was put together. That is no part of what it is: all are equal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made(Instant);

impl Made {
    pub(super) fn age(self) -> Duration {
        self.0.elapsed()
    }
}

impl Default for Made {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl PartialEq for Made {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_first_bucket_that_holds_it() {
        let counts = Counts::default();
        for millis in [0, 1, 2, 1000, 1001, 9000] {
            counts.pushed(Duration::from_millis(millis));
        }
        let pushes = counts.pushes();
        let filled: Vec<_> = pushes.buckets.iter().filter(|it| it.1 > 0).collect();
        let expected = [
            (0.001, 2),
            (0.0025, 1),
            (1.0, 1),
            (5.0, 1),
            (f64::INFINITY, 1),
        ];
        assert_eq!(filled, expected.iter().collect::<Vec<_>>());
        assert_eq!(pushes.count, 6);
        assert!((pushes.sum - 11.004).abs() < 1e-6, "{}", pushes.sum);
    }
}
