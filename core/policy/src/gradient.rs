//! Adaptive concurrency: how many requests may be under way at a time, found by their latencies.
//!
//! The rule is Envoy's gradient controller. From time to time few requests are let through to learn
//! the latency without a queue, the minimum; between these times the limit follows the ratio of the
//! minimum to what is seen. Time only comes in by arguments: nanoseconds since any one moment.

mod latencies;

use std::time::Duration;

use latencies::Latencies;

/// The minimum is measured anew after so many windows at the least limit: it may have been wrong.
const LEAST_WINDOWS: u32 = 5;

/// What a limit is found by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientParams {
    /// Which percentile of latencies counts, from 0 to 100.
    pub sample_aggregate_percentile: f64,
    pub max_concurrency_limit: u32,
    /// How often the limit is set anew.
    pub concurrency_update_interval: Duration,
    /// How often the minimum is measured.
    pub min_rtt_interval: Duration,
    /// By how many requests.
    pub min_rtt_request_count: u32,
    /// Up to so many percent of the interval are added, so that proxies do not measure together.
    pub min_rtt_jitter: f64,
    /// The least limit, and the one while the minimum is measured.
    pub min_concurrency: u32,
    /// By so many percent a latency may be above the minimum without lowering the limit.
    pub min_rtt_buffer: f64,
}

/// The limit of one worker, and the requests under it.
#[derive(Debug)]
pub struct Gradient {
    params: GradientParams,
    limit: u32,
    /// The limit from before the minimum is measured; `None`: it is not being measured.
    deferred: Option<u32>,
    /// In nanoseconds; none before it was measured once.
    min_rtt: f64,
    latencies: Latencies,
    outstanding: u32,
    /// What began before is not sampled.
    epoch: u64,
    /// When the limit is set anew.
    update_at: u64,
    /// When the minimum is.
    measure_at: u64,
    /// Windows in a row that left the limit at its least.
    at_least: u32,
}

impl Gradient {
    /// It begins with the least limit, and by measuring the minimum.
    #[must_use]
    pub fn new(params: GradientParams, now: u64) -> Self {
        let mut new = Self {
            params,
            limit: params.min_concurrency,
            deferred: None,
            min_rtt: 0.0,
            latencies: Latencies::default(),
            outstanding: 0,
            epoch: now,
            update_at: u64::MAX,
            measure_at: now,
            at_least: 0,
        };
        new.measure(now);
        new
    }

    /// How many requests may be under way.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Requests under way.
    #[must_use]
    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// The latency without a queue, as it was measured last.
    #[must_use]
    pub fn min_rtt(&self) -> Duration {
        Duration::from_nanos(self.min_rtt as u64)
    }

    #[must_use]
    pub fn params(&self) -> &GradientParams {
        &self.params
    }

    /// Lets a request begin, if there may be one more.
    pub fn admit(&mut self, now: u64) -> bool {
        self.pass(now);
        let admits = self.outstanding < self.limit;
        self.outstanding += u32::from(admits);
        admits
    }

    /// A request that began then was answered. `random` is drawn from 0 to 1.
    pub fn answered(&mut self, began: u64, now: u64, random: f64) {
        self.outstanding = self.outstanding.saturating_sub(1);
        if began >= self.epoch {
            self.latencies.add(now.saturating_sub(began));
            self.measured(now, random);
        }
        self.pass(now);
    }

    /// A request ended otherwise: how long it took says nothing.
    pub fn cancelled(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// Lets deadlines pass.
    fn pass(&mut self, now: u64) {
        if self.deferred.is_some() {
            return;
        }
        if self.measure_at <= now {
            return self.measure(now);
        }
        if self.update_at > now {
            return;
        }
        if let Some(seen) = self.take() {
            self.set(self.next_limit(seen));
        }
        self.update_at = now + nanoseconds(self.params.concurrency_update_interval);
        if self.at_least >= LEAST_WINDOWS {
            self.measure(now);
        }
    }

    /// Few requests are let through from now on, which tell the minimum.
    fn measure(&mut self, now: u64) {
        self.deferred = Some(self.limit);
        self.set(self.params.min_concurrency);
        self.latencies.clear();
        self.epoch = now;
    }

    /// The minimum is known where enough of them were answered.
    fn measured(&mut self, now: u64, random: f64) {
        let is_enough = self.latencies.count() >= u64::from(self.params.min_rtt_request_count);
        let Some(deferred) = self.deferred.filter(|_| is_enough) else {
            return;
        };
        let Some(min_rtt) = self.take() else { return };
        self.min_rtt = min_rtt;
        self.set(deferred);
        self.deferred = None;
        let interval = nanoseconds(self.params.min_rtt_interval);
        let jitter = interval as f64 * self.params.min_rtt_jitter / 100.0 * random;
        self.measure_at = now.saturating_add(interval).saturating_add(jitter as u64);
        self.update_at = now + nanoseconds(self.params.concurrency_update_interval);
    }

    fn take(&mut self) -> Option<f64> {
        let quantile = self.params.sample_aggregate_percentile / 100.0;
        let taken = self.latencies.quantile(quantile);
        self.latencies.clear();
        taken
    }

    /// The limit times the gradient, and its root besides, so that there may be a queue.
    fn next_limit(&self, seen: f64) -> u32 {
        let buffered = self.min_rtt * (1.0 + self.params.min_rtt_buffer / 100.0);
        let gradient = (buffered / seen).clamp(0.5, 2.0);
        let limit = f64::from(self.limit) * gradient;
        let most = self.params.max_concurrency_limit;
        ((limit + limit.sqrt()) as u32)
            .min(most)
            .max(self.params.min_concurrency)
    }

    fn set(&mut self, limit: u32) {
        let least = self.params.min_concurrency;
        let stays = self.deferred.is_none() && self.limit == least && limit == least;
        self.at_least = if stays { self.at_least + 1 } else { 0 };
        self.limit = limit;
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests;
