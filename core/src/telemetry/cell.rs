//! Numbers with one writer and any readers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only its worker changes.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    pub(super) fn add(&self, n: u64) {
        if cfg!(feature = "unmetered") {
            return;
        }
        // One writer: a load and a store lose nothing, and cost no locked instruction.
        let value = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, n: u64) {
        if cfg!(feature = "unmetered") {
            return;
        }
        let value = self.0.load(Ordering::Relaxed).saturating_sub(n);
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the finite buckets: 16 µs, doubled up to 67 s.
const BOUNDS: usize = 23;
const SMALLEST_LOG2: usize = 4;

/// Durations in buckets whose bounds are powers of two microseconds.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [Cell; BOUNDS],
    beyond: Cell,
    nanoseconds: Cell,
}

impl Histogram {
    /// Records `n` durations that are the same.
    pub(super) fn record(&self, duration: Duration, n: u64) {
        let nanoseconds = duration
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(duration.subsec_nanos()));
        self.nanoseconds.add(nanoseconds.wrapping_mul(n));
        self.buckets
            .get(bucket(nanoseconds.div_ceil(1000)))
            .unwrap_or(&self.beyond)
            .add(n);
    }

    /// Adds this histogram to `sum`.
    pub(super) fn add_to(&self, sum: &mut HistogramSum) {
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.value();
        }
        sum.beyond += self.beyond.value();
        sum.nanoseconds = sum.nanoseconds.wrapping_add(self.nanoseconds.value());
    }
}

/// The bucket of so many microseconds: the first whose bound is not below it.
fn bucket(microseconds: u64) -> usize {
    let log2 = u64::BITS - microseconds.saturating_sub(1).leading_zeros();
    (log2 as usize).saturating_sub(SMALLEST_LOG2)
}

/// Several histograms added up.
#[derive(Debug, Default, PartialEq)]
pub(super) struct HistogramSum {
    buckets: [u64; BOUNDS],
    beyond: u64,
    nanoseconds: u64,
}

impl HistogramSum {
    /// Bounds in seconds with the number of durations up to each.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        self.buckets.iter().enumerate().scan(0, |sum, (i, count)| {
            *sum += count;
            let microseconds = 1_u64 << (i + SMALLEST_LOG2);
            Some((Duration::from_micros(microseconds).as_secs_f64(), *sum))
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum::<u64>() + self.beyond
    }

    pub(super) fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_is_not_below_it() {
        for (microseconds, expected) in [
            (0, 0),
            (1, 0),
            (16, 0),
            (17, 1),
            (32, 1),
            (33, 2),
            (67_108_864, BOUNDS - 1),
            (67_108_865, BOUNDS),
            (u64::MAX, 60),
        ] {
            assert_eq!(bucket(microseconds), expected, "{microseconds}");
        }
    }

    #[test]
    fn every_duration_is_counted_once() {
        let histogram = Histogram::default();
        for micros in [0, 16, 1000, 70_000_000] {
            histogram.record(Duration::from_micros(micros), 1);
        }
        histogram.record(Duration::MAX, 1);
        let mut sum = HistogramSum::default();
        histogram.add_to(&mut sum);
        assert_eq!(sum.count(), 5);
        let cumulative: Vec<_> = sum.cumulative().collect();
        assert_eq!(cumulative.first(), Some(&(0.000_016, 2)));
        assert_eq!(cumulative.last(), Some(&(67.108_864, 3)));
    }
}
