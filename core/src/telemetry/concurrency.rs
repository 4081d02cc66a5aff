//! Limits that are found by latencies, by service and route. The names are Envoy's.

use std::sync::Arc;

use super::cell::Cell;

/// A handle for a route's limit. It stays on its worker.
#[derive(Clone, Debug)]
pub struct ConcurrencyMetrics(Arc<ConcurrencyCells>);

/// What one worker recorded of one route.
#[derive(Debug, Default)]
pub(super) struct ConcurrencyCells {
    pub(super) limit: Cell,
    pub(super) blocked: Cell,
}

impl ConcurrencyMetrics {
    pub(super) fn new(cells: Arc<ConcurrencyCells>) -> Self {
        Self(cells)
    }

    /// So many requests may be under way.
    pub fn limit(&self, limit: u32) {
        self.0.limit.set(limit.into());
    }

    /// A request was refused.
    pub fn blocked(&self) {
        self.0.blocked.add(1);
    }
}
