//! Connections that begin with a PROXY header, by listener.

use std::sync::Arc;

use super::cell::Cell;
use crate::proxy_protocol::Refused;

/// A handle for a listener. It stays on its worker.
#[derive(Clone, Debug)]
pub struct ArrivalMetrics(Arc<ArrivalCells>);

/// What one worker recorded of one listener.
#[derive(Debug, Default)]
pub(super) struct ArrivalCells {
    pub(super) waiting: Cell,
    refused: [Cell; Refused::ALL.len()],
}

impl ArrivalCells {
    /// All reasons with their counts.
    pub(super) fn refused(&self) -> impl Iterator<Item = (Refused, u64)> {
        let counts = Refused::ALL.into_iter().zip(&self.refused);
        counts.map(|(reason, count)| (reason, count.value()))
    }
}

impl ArrivalMetrics {
    pub(super) fn new(cells: Arc<ArrivalCells>) -> Self {
        Self(cells)
    }

    /// One waits for a configuration that knows its destination.
    pub fn waits(&self) {
        self.0.waiting.add(1);
    }

    /// One that waited does so no more.
    pub fn waited(&self) {
        self.0.waiting.subtract(1);
    }

    /// One is closed.
    pub fn refused(&self, why: Refused) {
        let reasons = Refused::ALL.into_iter().zip(&self.0.refused);
        for (_, count) in reasons.filter(|(reason, _)| *reason == why) {
            count.add(1);
        }
    }
}
