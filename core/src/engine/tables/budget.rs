//! How many requests to a cluster may be repetitions at a time.

use std::{cell::Cell, rc::Rc};

use crate::{config::RetryBudget, telemetry::ClusterMetrics};

/// A cluster's repetitions, those of this worker, and how many there may be.
#[derive(Debug)]
pub(in crate::engine) struct Budget {
    rule: RetryBudget,
    metrics: ClusterMetrics,
    /// Those under way. It outlives updates of the configuration.
    retries: Rc<Cell<u32>>,
}

impl Budget {
    /// `before` is that of the same cluster in the configuration before.
    pub(super) fn new(rule: RetryBudget, metrics: ClusterMetrics, before: Option<&Self>) -> Self {
        let retries = before.map_or_else(Rc::default, |before| Rc::clone(&before.retries));
        Self {
            rule,
            metrics,
            retries,
        }
    }

    /// Whether there may be one more, while so many requests are in flight. What always may be under
    /// way is divided among the workers.
    pub(super) fn allows(&self, active: u32, workers: usize) -> bool {
        let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        let own = RetryBudget {
            min_concurrency: self.rule.min_concurrency.div_ceil(workers),
            ..self.rule
        };
        own.allows(self.retries.get(), active)
    }

    /// A request is sent again for the first time.
    pub(in crate::engine) fn begin(&self) {
        self.retries.update(|retries| retries + 1);
    }

    /// Such a request is over.
    pub(in crate::engine) fn end(&self) {
        self.retries.update(|retries| retries.saturating_sub(1));
    }

    /// A request is sent again.
    pub(in crate::engine) fn count(&self) {
        self.metrics.retried();
    }
}
