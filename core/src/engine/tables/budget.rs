//! How many requests to a cluster may be repetitions at a time.

use std::{cell::Cell, rc::Rc, sync::Arc};

use crate::{
    circuit::Usage,
    config::{self, RetryBudget},
    telemetry::ClusterMetrics,
};

/// A cluster's repetitions, those of this worker, and how many there may be.
#[derive(Debug)]
pub(in crate::engine) struct Budget {
    rule: RetryBudget,
    metrics: ClusterMetrics,
    /// Those under way. It outlives updates of the configuration.
    retries: Rc<Cell<u32>>,
    /// In the place of the rule: so many, of all workers.
    most: Option<(u32, Arc<Usage>)>,
}

impl Budget {
    /// `before` is that of the same cluster in the configuration before.
    pub(super) fn new(
        config: &config::Cluster,
        usage: &Arc<Usage>,
        metrics: ClusterMetrics,
        before: Option<&Self>,
    ) -> Self {
        let retries = before.map_or_else(Rc::default, |before| Rc::clone(&before.retries));
        let most = config.limits.retries;
        Self {
            rule: config.retry_budget,
            metrics,
            retries,
            most: most.map(|most| (most, Arc::clone(usage))),
        }
    }

    /// Requests of this worker that its cluster has, whoever of its endpoints.
    pub(super) fn active(&self) -> u64 {
        self.metrics.attempts_under_way()
    }

    /// A request is to be sent again for the first time. False: there may be no more. What always may
    /// be under way is divided among the workers.
    pub(super) fn begin(&self, workers: usize) -> bool {
        let allowed = match &self.most {
            Some((most, usage)) => usage.retries.take(*most),
            None => self.allows(workers),
        };
        match allowed {
            true => self.retries.update(|retries| retries + 1),
            false => self.metrics.retry_overflowed(),
        }
        allowed
    }

    fn allows(&self, workers: usize) -> bool {
        let active = u32::try_from(self.active()).unwrap_or(u32::MAX);
        let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        let own = RetryBudget {
            min_concurrency: self.rule.min_concurrency.div_ceil(workers),
            ..self.rule
        };
        own.allows(self.retries.get(), active)
    }

    /// One that is under way already belongs here from now on.
    pub(in crate::engine) fn begin_anyway(&self) {
        self.retries.update(|retries| retries + 1);
        if let Some((_, usage)) = &self.most {
            usage.retries.take_anyway();
        }
    }

    /// Such a request is over.
    pub(in crate::engine) fn end(&self) {
        self.retries.update(|retries| retries.saturating_sub(1));
        if let Some((_, usage)) = &self.most {
            usage.retries.give_back(1);
        }
    }

    /// A request is sent again.
    pub(in crate::engine) fn count(&self) {
        self.metrics.retried();
    }
}
