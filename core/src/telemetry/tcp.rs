//! Connections whose bytes are passed on as they come, by service and cluster.
//!
//! What is counted is what Istio's standard metrics count of TCP (`istio_tcp_*`).

use std::sync::Arc;

use super::ResponseFlag;
use super::cell::Cell;

/// A handle for what passes from a service to a cluster. It stays on its worker.
#[derive(Clone, Debug)]
pub struct TcpMetrics(Arc<TcpCells>);

/// What one worker recorded of it.
#[derive(Debug, Default)]
pub(super) struct TcpCells {
    pub(super) opened: Cell,
    pub(super) open: Cell,
    pub(super) received: Cell,
    pub(super) sent: Cell,
    /// By flag, in the order of [`ResponseFlag::ALL`].
    pub(super) closed: [Cell; ResponseFlag::ALL.len()],
}

impl TcpMetrics {
    pub(super) fn new(cells: Arc<TcpCells>) -> Self {
        Self(cells)
    }

    /// A client connected.
    pub fn opened(&self) {
        self.0.opened.add(1);
        self.0.open.add(1);
    }

    /// A connection is over.
    pub fn closed(&self, flag: ResponseFlag) {
        self.0.open.subtract(1);
        let flags = ResponseFlag::ALL.iter().zip(&self.0.closed);
        let cell = flags.into_iter().find(|(known, _)| **known == flag);
        if let Some((_, cell)) = cell {
            cell.add(1);
        }
    }

    /// The client sent so many bytes.
    pub fn received(&self, bytes: usize) {
        self.0.received.add(bytes as u64);
    }

    /// The client took so many bytes.
    pub fn sent(&self, bytes: usize) {
        self.0.sent.add(bytes as u64);
    }
}
