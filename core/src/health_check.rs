//! Which endpoints say that they can serve, or say nothing.
//!
//! One owner keeps a [`HealthChecker`] for each cluster that has a rule. It says who is to be asked
//! when, and what an answer changes. Thresholds and intervals are Envoy's
//! (`health_checker_base_impl.cc`).

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::config::{Address, HealthCheck};

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint can serve.
    Passed,
    /// It answered that it cannot.
    Refused,
    /// It could not be reached, or did not answer in time.
    Lost,
}

/// What became of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Healthy,
    Unhealthy,
}

/// Asks the endpoints of one cluster, and keeps in mind who is healthy.
///
/// Time only comes in by arguments; [`Self::due`] has to be called at [`Self::deadline`], and each
/// check that it asks for ends in [`Self::take`].
#[derive(Debug)]
pub struct HealthChecker {
    rule: HealthCheck,
    hosts: HashMap<Address, Monitor>,
    /// When whom: what [`Monitor::next`] says, in order. There may be thousands.
    queue: BTreeSet<(Instant, Address)>,
    /// Of the jitter.
    random: SmallRng,
}

/// What is known of one endpoint.
#[derive(Clone, Copy, Debug)]
struct Monitor {
    healthy: bool,
    /// No check has ended yet.
    first: bool,
    /// Until then it counts as healthy.
    trusted: bool,
    /// In a row, while it is unhealthy.
    passed: u32,
    /// In a row, while it is healthy.
    lost: u32,
    /// `None`: a check is under way.
    next: Option<Instant>,
}

impl Monitor {
    fn new(trusted: bool, now: Instant) -> Self {
        Self {
            healthy: false,
            first: true,
            trusted,
            passed: 0,
            lost: 0,
            next: Some(now),
        }
    }

    fn is_left_out(&self) -> bool {
        let is_awaited = self.first && self.trusted;
        !(self.healthy || is_awaited)
    }

    fn take(&mut self, verdict: Verdict, rule: &HealthCheck) {
        let first = std::mem::replace(&mut self.first, false);
        match (verdict, self.healthy) {
            (Verdict::Passed, true) => self.lost = 0,
            (Verdict::Passed, false) => {
                self.lost = 0;
                self.passed += 1;
                self.healthy = first || self.passed >= rule.healthy_threshold;
            }
            (Verdict::Refused | Verdict::Lost, false) => self.passed = 0,
            (Verdict::Refused, true) => {
                self.passed = 0;
                self.healthy = false;
            }
            (Verdict::Lost, true) => {
                self.passed = 0;
                self.lost += 1;
                self.healthy = self.lost < rule.unhealthy_threshold;
            }
        }
    }
}

impl HealthChecker {
    /// All endpoints are asked at once; until then, nobody having been asked, they count as healthy.
    /// `seed` is of the jitter.
    pub fn new(
        rule: HealthCheck,
        hosts: impl IntoIterator<Item = Address>,
        now: Instant,
        seed: u64,
    ) -> Self {
        let mut checker = Self {
            rule,
            hosts: HashMap::new(),
            queue: BTreeSet::new(),
            random: SmallRng::seed_from_u64(seed),
        };
        checker.take_in(hosts, now);
        checker
    }

    /// What is asked, and how often.
    pub fn rule(&self) -> &HealthCheck {
        &self.rule
    }

    /// Takes in a new rule and new endpoints. Those that stay keep what is known of them; a new one
    /// has to pass a check before it counts as healthy, unless there were others until now and nobody
    /// is left. (Envoy keeps endpoints that are withdrawn until a check fails.)
    pub fn update(
        &mut self,
        rule: HealthCheck,
        hosts: impl IntoIterator<Item = Address>,
        now: Instant,
    ) {
        self.rule = rule;
        self.take_in(hosts, now);
    }

    fn take_in(&mut self, hosts: impl IntoIterator<Item = Address>, now: Instant) {
        let hosts: Vec<_> = hosts.into_iter().collect();
        let leaves_nobody = !hosts.iter().any(|host| self.is_in_use(host));
        let trusted = self.hosts.is_empty() || leaves_nobody && self.healthy() > 0;
        let mut before = std::mem::take(&mut self.hosts);
        self.queue.clear();
        for host in hosts {
            let known = before.remove(&host);
            let monitor = known.unwrap_or_else(|| Monitor::new(trusted, now));
            self.queue.extend(monitor.next.map(|at| (at, host.clone())));
            self.hosts.insert(host, monitor);
        }
    }

    /// The endpoints that are to be asked now.
    pub fn due(&mut self, now: Instant) -> Vec<Address> {
        let mut due = Vec::new();
        while self.queue.first().is_some_and(|(at, _)| *at <= now) {
            let next = self.queue.pop_first();
            due.extend(next.map(|(_, host)| host));
        }
        for host in &due {
            if let Some(monitor) = self.hosts.get_mut(host) {
                monitor.next = None;
            }
        }
        due
    }

    /// When [`Self::due`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes in how a check ended.
    pub fn take(&mut self, host: &Address, verdict: Verdict, now: Instant) -> Option<Change> {
        let jitter = self.jitter();
        let monitor = self.hosts.get_mut(host)?;
        let next = now + self.rule.interval + jitter;
        if let Some(before) = monitor.next.replace(next) {
            self.queue.remove(&(before, host.clone()));
        }
        self.queue.insert((next, host.clone()));
        let before = monitor.is_left_out();
        monitor.take(verdict, &self.rule);
        match (before, monitor.is_left_out()) {
            (false, true) => Some(Change::Unhealthy),
            (true, false) => Some(Change::Healthy),
            _ => None,
        }
    }

    /// Envoy's draw: below the jitter, never all of it.
    fn jitter(&mut self) -> Duration {
        match self.rule.interval_jitter {
            Duration::ZERO => Duration::ZERO,
            most => self.random.random_range(Duration::ZERO..most),
        }
    }

    /// Whether a check of this endpoint passed last, and it counts as healthy.
    pub fn is_healthy(&self, host: &Address) -> bool {
        self.hosts.get(host).is_some_and(|monitor| monitor.healthy)
    }

    /// Whether it stays, and counts as healthy.
    fn is_in_use(&self, host: &Address) -> bool {
        let known = self.hosts.get(host);
        known.is_some_and(|monitor| !monitor.is_left_out())
    }

    /// The endpoints that are left out.
    pub fn unhealthy(&self) -> impl Iterator<Item = &Address> {
        let hosts = self.hosts.iter();
        let left_out = hosts.filter(|(_, monitor)| monitor.is_left_out());
        left_out.map(|(host, _)| host)
    }

    /// How many endpoints count as healthy.
    pub fn healthy(&self) -> usize {
        let hosts = self.hosts.values();
        hosts.filter(|monitor| !monitor.is_left_out()).count()
    }
}
