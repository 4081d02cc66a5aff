//! What local rate limits let through and what they did not, by bucket.

use std::sync::Arc;

use super::cell::Cell;

/// A handle for a bucket. It stays on its worker.
#[derive(Clone, Debug)]
pub struct LimitMetrics(Arc<LimitCells>);

/// What one worker recorded of one bucket.
#[derive(Debug, Default)]
pub(super) struct LimitCells {
    pub(super) admitted: Cell,
    pub(super) limited: Cell,
}

impl LimitMetrics {
    pub(super) fn new(cells: Arc<LimitCells>) -> Self {
        Self(cells)
    }

    /// A request has taken a token.
    pub fn admitted(&self) {
        self.0.admitted.add(1);
    }

    /// There was no token for a request.
    pub fn limited(&self) {
        self.0.limited.add(1);
    }
}
