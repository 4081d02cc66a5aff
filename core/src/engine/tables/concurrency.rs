//! How many requests of a route may be under way at a time, where that is found by their latencies.

use std::{cell::RefCell, rc::Rc};

use meltemi_policy::Gradient;

use super::Route;
use crate::{
    config::AdaptiveConcurrency,
    engine::ConcurrencyStatus,
    telemetry::{ConcurrencyMetrics, WorkerTelemetry},
};

/// The limit of a route, on this worker.
pub(in crate::engine) struct Concurrency {
    rule: AdaptiveConcurrency,
    gradient: RefCell<Gradient>,
    metrics: ConcurrencyMetrics,
}

/// A request under a limit. Where it is dropped, nothing was learned of it.
pub(in crate::engine) struct Slot {
    /// `None`: it was answered.
    of: Option<Rc<Concurrency>>,
    began: u64,
}

impl Concurrency {
    /// That of the route in the configuration before, if nothing of it has changed, or a new one.
    pub(super) fn find(
        rule: &AdaptiveConcurrency,
        before: Option<&Route>,
        (name, workers, now): (&str, usize, u64),
        telemetry: &WorkerTelemetry,
    ) -> Rc<Self> {
        let before = before.and_then(|route| route.concurrency.as_ref());
        if let Some(same) = before.filter(|before| before.rule == *rule) {
            return Rc::clone(same);
        }
        let gradient = Gradient::new(rule.params(workers), now);
        let metrics = telemetry.concurrency(name);
        metrics.limit(gradient.limit());
        Rc::new(Self {
            rule: rule.clone(),
            gradient: RefCell::new(gradient),
            metrics,
        })
    }

    /// Of the route at this place among those of a service.
    pub(super) fn status(&self, service: &str, route: usize) -> ConcurrencyStatus {
        let gradient = self.gradient.borrow();
        ConcurrencyStatus {
            service: service.to_owned(),
            route,
            limit: gradient.limit(),
            under_way: gradient.outstanding(),
        }
    }

    /// A place for one more request, if there is one.
    pub(in crate::engine) fn admit(self: &Rc<Self>, now: u64) -> Option<Slot> {
        let mut gradient = self.gradient.borrow_mut();
        let admits = gradient.admit(now);
        self.metrics.limit(gradient.limit());
        if !admits {
            self.metrics.blocked();
            return None;
        }
        Some(Slot {
            of: Some(Rc::clone(self)),
            began: now,
        })
    }
}

impl Slot {
    /// `random` is drawn from 0 to 1.
    pub(in crate::engine) fn answered(mut self, now: u64, random: f64) {
        if let Some(of) = self.of.take() {
            let mut gradient = of.gradient.borrow_mut();
            gradient.answered(self.began, now, random);
            of.metrics.limit(gradient.limit());
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            of.gradient.borrow_mut().cancelled();
        }
    }
}
