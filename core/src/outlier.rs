//! Which endpoints fail so often that they are left out for a while.
//!
//! One owner keeps an [`OutlierDetector`] for each cluster; workers report to it, and it says when
//! the set of ejected endpoints changes. Semantics are Envoy's (`outlier_detection_impl.cc`), with
//! what happens to a request of ours in the place of its HTTP codes: an error of the endpoint's own
//! system is a 500, a time-out a 504, a connection that is refused or lost a 503.

mod rates;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::config::{Address, OutlierDetection};

pub use rates::Counts;

/// How an attempt ended, as far as it tells about the endpoint's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, be it with an error of the application.
    Success,
    /// It answered with an error of its own system, or with what cannot be read.
    SystemError,
    /// It could not be connected to, or broke the connection.
    Unreachable,
    /// It did not answer in time.
    Timeout,
}

/// Why an endpoint was ejected, with Envoy's names. Rates are in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    ConsecutiveErrors,
    ConsecutiveGatewayErrors,
    ConsecutiveLocalErrors,
    /// It succeeded less often than the threshold that follows from all endpoints.
    SuccessRate {
        rate: f64,
        average: f64,
        threshold: f64,
    },
    FailurePercentage {
        rate: f64,
    },
}

/// What became of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Ejected(Address, Cause),
    Unejected(Address),
}

/// Ejects the endpoints of one cluster after failures, and takes them back.
///
/// Time only comes in by arguments; [`Self::sweep`] has to be called at [`Self::deadline`].
#[derive(Debug)]
pub struct OutlierDetector {
    rule: OutlierDetection,
    hosts: HashMap<Address, Monitor>,
    ejected: usize,
    /// Sweeps happen at whole intervals from here.
    origin: Instant,
    next_sweep: Option<Instant>,
    /// Of the jitter.
    random: SmallRng,
}

/// What is known of one endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Monitor {
    rows: Rows,
    /// Since the last sweep.
    counts: Counts,
    /// By how much the base time of its next ejection is multiplied, less one.
    multiplier: u32,
    jitter: Duration,
    ejected_at: Option<Instant>,
    unejected_at: Option<Instant>,
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Rows {
    errors: u32,
    gateway: u32,
    local: u32,
}

impl Rows {
    fn take(&mut self, outcome: Outcome, split: bool) {
        let unreached = matches!(outcome, Outcome::Unreachable | Outcome::Timeout);
        match outcome {
            Outcome::Success => *self = Self::default(),
            _ if unreached && split => self.local += 1,
            // Whatever it says, it can be reached.
            Outcome::SystemError if split => {
                self.local = 0;
                self.errors += 1;
                self.gateway += 1;
            }
            _ => {
                self.errors += 1;
                self.gateway = if unreached { self.gateway + 1 } else { 0 };
            }
        }
    }

    /// The first row that is long enough to eject. All that are begin anew.
    fn end(&mut self, rule: &OutlierDetection) -> Option<Cause> {
        let gateway = (
            rule.consecutive_gateway_errors,
            Cause::ConsecutiveGatewayErrors,
        );
        let errors = (rule.consecutive_errors, Cause::ConsecutiveErrors);
        let local = (rule.consecutive_local_errors, Cause::ConsecutiveLocalErrors);
        let rows = [
            (&mut self.gateway, gateway),
            (&mut self.errors, errors),
            (&mut self.local, local),
        ];
        let mut first = None;
        for (row, (most, cause)) in rows {
            if most > 0 && *row >= most {
                *row = 0;
                first = first.or(Some(cause));
            }
        }
        first
    }
}

impl OutlierDetector {
    /// `seed` is of the jitter.
    pub fn new(
        rule: OutlierDetection,
        hosts: impl IntoIterator<Item = Address>,
        now: Instant,
        seed: u64,
    ) -> Self {
        let monitor = |host| (host, Monitor::default());
        let mut detector = Self {
            rule,
            hosts: hosts.into_iter().map(monitor).collect(),
            ejected: 0,
            origin: now,
            next_sweep: None,
            random: SmallRng::seed_from_u64(seed),
        };
        detector.arm(now);
        detector
    }

    /// Whether every outcome has to be counted ([`Self::count`]).
    pub fn counts_rates(&self) -> bool {
        self.rule.counts_rates()
    }

    /// Takes in a new rule and new endpoints. Those that stay keep their history, ejections
    /// included; those that are gone are forgotten.
    pub fn update(
        &mut self,
        rule: OutlierDetection,
        hosts: impl IntoIterator<Item = Address>,
        now: Instant,
    ) {
        self.rule = rule;
        self.hosts = hosts
            .into_iter()
            .map(|host| {
                let monitor = self.hosts.remove(&host).unwrap_or_default();
                (host, monitor)
            })
            .collect();
        let ejected = |monitor: &&Monitor| monitor.ejected_at.is_some();
        self.ejected = self.hosts.values().filter(ejected).count();
        self.origin = now;
        self.arm(now);
    }

    /// Takes in the end of an attempt; a failure may eject the endpoint.
    ///
    /// Of a row of successes, the first after a failure is enough.
    pub fn report(&mut self, host: &Address, outcome: Outcome, now: Instant) -> Option<Change> {
        let monitor = self.hosts.get_mut(host)?;
        // What was in flight when it was ejected says nothing new.
        if monitor.ejected_at.is_some() {
            return None;
        }
        monitor.rows.take(outcome, self.rule.split_errors);
        // The row begins anew even where there is no room, so that the next try takes as many.
        let cause = monitor.rows.end(&self.rule)?;
        self.eject(host, cause, now)
    }

    /// Adds to what is known of an endpoint's rate of success in this interval.
    pub fn count(&mut self, host: &Address, counts: Counts) {
        if let Some(monitor) = self.hosts.get_mut(host) {
            monitor.counts += counts;
        }
    }

    /// An active health check of the endpoint has passed, and it counts as healthy.
    pub fn check_passed(&mut self, host: &Address, now: Instant) -> Option<Change> {
        let monitor = self.hosts.get_mut(host)?;
        if monitor.ejected_at.is_none() || !self.rule.unejected_by_health_check {
            return None;
        }
        monitor.take_back(now);
        self.ejected -= 1;
        Some(Change::Unejected(host.clone()))
    }

    /// Takes back the endpoints whose time is over, ejects those that fail too many of their
    /// requests, and lets the history of the others fade.
    pub fn sweep(&mut self, now: Instant) -> Vec<Change> {
        if self.next_sweep.is_none_or(|at| now < at) {
            return Vec::new();
        }
        // As if it were on time: what lasts whole intervals would else last one more whenever a sweep
        // is a little less late than the one that it is counted from.
        let on_time = now - self.since_due(now);
        let mut changes = Vec::new();
        for (host, monitor) in &mut self.hosts {
            if monitor.uneject(&self.rule, on_time) {
                self.ejected -= 1;
                changes.push(Change::Unejected(host.clone()));
            }
        }
        changes.extend(self.judge_rates(on_time));
        for monitor in self.hosts.values_mut() {
            monitor.fade(&self.rule, on_time);
        }
        self.next_sweep = None;
        self.arm(now);
        changes
    }

    /// Compares the endpoints by what was counted since the last sweep.
    fn judge_rates(&mut self, now: Instant) -> Vec<Change> {
        if !self.rule.counts_rates() {
            return Vec::new();
        }
        let in_service = self.hosts.iter().filter(|(_, it)| it.ejected_at.is_none());
        let counted = in_service.map(|(host, it)| (host, it.counts)).collect();
        let outliers = rates::outliers(&self.rule, self.hosts.len(), counted);
        for monitor in self.hosts.values_mut() {
            monitor.counts = Counts::default();
        }
        let ejections = outliers.into_iter();
        ejections
            .filter_map(|(host, cause)| self.eject(&host, cause, now))
            .collect()
    }

    fn eject(&mut self, host: &Address, cause: Cause, now: Instant) -> Option<Change> {
        let room = self.has_room();
        let monitor = self.hosts.get_mut(host)?;
        if !room || monitor.ejected_at.is_some() {
            return None;
        }
        monitor.eject(&self.rule, now);
        monitor.jitter = self
            .random
            .random_range(Duration::ZERO..=self.rule.max_ejection_time_jitter);
        self.ejected += 1;
        self.arm(now);
        Some(Change::Ejected(host.clone(), cause))
    }

    /// When [`Self::sweep`] has something to do; `None` if nothing is ejected or remembered.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_sweep
    }

    /// The endpoints that are left out now.
    pub fn ejected(&self) -> impl Iterator<Item = &Address> {
        self.hosts
            .iter()
            .filter(|(_, monitor)| monitor.ejected_at.is_some())
            .map(|(host, _)| host)
    }

    /// Whether one more may be ejected.
    fn has_room(&self) -> bool {
        let percent = u64::from(self.rule.max_ejection_percent.min(100));
        let after = (self.ejected as u64 + 1) * 100;
        let first = self.rule.always_eject_one_host && self.ejected == 0;
        first || after <= percent * self.hosts.len() as u64
    }

    /// Sweeps go on while there is something to take back, to forget or to compare.
    fn arm(&mut self, now: Instant) {
        let remembers = |monitor: &Monitor| monitor.ejected_at.is_some() || monitor.multiplier > 0;
        if !self.rule.counts_rates() && !self.hosts.values().any(remembers) {
            self.next_sweep = None;
        } else if self.next_sweep.is_none() {
            self.next_sweep = Some(now + (self.interval() - self.since_due(now)));
        }
    }

    fn interval(&self) -> Duration {
        self.rule.interval.max(SHORTEST_INTERVAL)
    }

    /// How long ago a sweep was due at the last.
    fn since_due(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.origin).as_nanos();
        Duration::from_nanos((since % self.interval().as_nanos()) as u64)
    }
}

impl Monitor {
    /// Each ejection is one base time longer than the one before, up to the longest.
    fn eject(&mut self, rule: &OutlierDetection, now: Instant) {
        self.ejected_at = Some(now);
        let so_far = rule.base_ejection_time.saturating_mul(self.multiplier);
        if so_far
            < rule
                .max_ejection_time
                .saturating_add(rule.base_ejection_time)
        {
            self.multiplier += 1;
        }
    }

    fn uneject(&mut self, rule: &OutlierDetection, now: Instant) -> bool {
        let length = rule
            .base_ejection_time
            .saturating_mul(self.multiplier)
            .min(rule.max_ejection_time);
        let over = self
            .ejected_at
            .is_some_and(|at| now.saturating_duration_since(at) >= length + self.jitter);
        if over {
            self.take_back(now);
        }
        over
    }

    fn take_back(&mut self, now: Instant) {
        self.ejected_at = None;
        self.unejected_at = Some(now);
        self.rows = Rows::default();
    }

    /// Every interval in service makes the next ejection shorter again.
    fn fade(&mut self, rule: &OutlierDetection, now: Instant) {
        let in_service = self.ejected_at.is_none()
            && self
                .unejected_at
                .is_some_and(|at| now.saturating_duration_since(at) >= rule.interval);
        if in_service {
            self.multiplier = self.multiplier.saturating_sub(1);
        }
    }
}

/// A rule without an interval must not make the owner spin.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);
