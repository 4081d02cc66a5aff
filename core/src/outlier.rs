//! Which endpoints fail so often that they are left out for a while.
//!
//! One owner keeps an [`OutlierDetector`] for each cluster; workers report to it, and it says when
//! the set of ejected endpoints changes. Semantics are Envoy's for consecutive errors, with all
//! failures counted alike (`split_external_local_origin_errors` off).

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::config::{Address, OutlierDetection};

/// How an attempt ended, as far as it tells about the endpoint's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, be it with an error of the application.
    Success,
    /// It could not be connected to, reset the connection, did not answer in time, or answered
    /// with an error of its own system.
    Failure,
}

/// What became of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Ejected(Address),
    Unejected(Address),
}

/// Ejects the endpoints of one cluster after consecutive failures, and takes them back.
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
}

/// What is known of one endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Monitor {
    consecutive_failures: u32,
    /// By how much the base time of its next ejection is multiplied, less one.
    multiplier: u32,
    ejected_at: Option<Instant>,
    unejected_at: Option<Instant>,
}

impl OutlierDetector {
    pub fn new(
        rule: OutlierDetection,
        hosts: impl IntoIterator<Item = Address>,
        now: Instant,
    ) -> Self {
        let monitor = |host| (host, Monitor::default());
        Self {
            rule,
            hosts: hosts.into_iter().map(monitor).collect(),
            ejected: 0,
            origin: now,
            next_sweep: None,
        }
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
        let room = self.has_room();
        let monitor = self.hosts.get_mut(host)?;
        if outcome == Outcome::Success {
            monitor.consecutive_failures = 0;
            return None;
        }
        // What was in flight when it was ejected says nothing new.
        if monitor.ejected_at.is_some() || self.rule.consecutive_errors == 0 {
            return None;
        }
        monitor.consecutive_failures += 1;
        if monitor.consecutive_failures < self.rule.consecutive_errors {
            return None;
        }
        // Counted anew even where there is no room, so that the next try takes as many failures.
        monitor.consecutive_failures = 0;
        if !room {
            return None;
        }
        monitor.eject(&self.rule, now);
        self.ejected += 1;
        self.arm(now);
        Some(Change::Ejected(host.clone()))
    }

    /// Takes back the endpoints whose time is over, and lets the history of the others fade.
    pub fn sweep(&mut self, now: Instant) -> Vec<Change> {
        if self.next_sweep.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for (host, monitor) in &mut self.hosts {
            if monitor.uneject(&self.rule, now) {
                self.ejected -= 1;
                changes.push(Change::Unejected(host.clone()));
            }
            monitor.fade(&self.rule, now);
        }
        self.next_sweep = None;
        self.arm(now);
        changes
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

    /// Whether one more may be ejected: up to the given percentage, but always one.
    fn has_room(&self) -> bool {
        let percent = u64::from(self.rule.max_ejection_percent.min(100));
        let after = (self.ejected as u64 + 1) * 100;
        self.ejected == 0 || after <= percent * self.hosts.len() as u64
    }

    /// Sweeps go on while there is something to take back or to forget.
    fn arm(&mut self, now: Instant) {
        let remembers = |monitor: &Monitor| monitor.ejected_at.is_some() || monitor.multiplier > 0;
        if !self.hosts.values().any(remembers) {
            self.next_sweep = None;
        } else if self.next_sweep.is_none() {
            let interval = self.rule.interval.max(SHORTEST_INTERVAL);
            let since = now.saturating_duration_since(self.origin).as_nanos();
            let into = Duration::from_nanos((since % interval.as_nanos()) as u64);
            self.next_sweep = Some(now + (interval - into));
        }
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
            .is_some_and(|at| now.saturating_duration_since(at) >= length);
        if over {
            self.ejected_at = None;
            self.unejected_at = Some(now);
            self.consecutive_failures = 0;
        }
        over
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
