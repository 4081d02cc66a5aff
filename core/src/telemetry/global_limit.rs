//! What came of the questions to rate limit services, by limit. The names are Envoy's.

use std::sync::Arc;

use super::cell::Cell;
use crate::rate_limit::Failure;

/// A handle for a limit. It stays on its worker.
#[derive(Clone, Debug)]
pub struct GlobalLimitMetrics(Arc<GlobalLimitCells>);

/// What one worker recorded of one limit.
#[derive(Debug, Default)]
pub(super) struct GlobalLimitCells {
    pub(super) ok: Cell,
    pub(super) over_limit: Cell,
    pub(super) error: Cell,
    pub(super) failure_mode_allowed: Cell,
    pub(super) timeout: Cell,
    pub(super) unreachable: Cell,
    pub(super) overflow: Cell,
}

impl GlobalLimitMetrics {
    pub(super) fn new(cells: Arc<GlobalLimitCells>) -> Self {
        Self(cells)
    }

    /// A request is within its limit.
    pub fn ok(&self) {
        self.0.ok.add(1);
    }

    /// A request is over its limit.
    pub fn over_limit(&self) {
        self.0.over_limit.add(1);
    }

    /// There is no verdict about a request.
    pub fn failed(&self, failure: Failure) {
        self.0.error.add(1);
        match failure {
            Failure::Timeout => self.0.timeout.add(1),
            Failure::Overflow => self.0.overflow.add(1),
            Failure::Unreachable => self.0.unreachable.add(1),
            Failure::Error => {}
        }
    }

    /// It went on nevertheless.
    pub fn failure_mode_allowed(&self) {
        self.0.failure_mode_allowed.add(1);
    }
}
