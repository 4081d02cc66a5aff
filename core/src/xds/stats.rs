//! What the configuration stream has come to, for `/metrics` and `/ready`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// Counters of one client; written by it, read by anyone.
#[derive(Debug, Default)]
pub struct Stats {
    connected: AtomicBool,
    accepted: AtomicU64,
    rejected: AtomicU64,
    snapshots: AtomicU64,
    last_success: AtomicU64,
}

impl Stats {
    /// Whether there is a stream to the control plane.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    /// Responses of which every resource was applied.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Responses of which some resource was refused.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }

    /// Snapshots published.
    pub fn snapshots(&self) -> u64 {
        self.snapshots.load(Relaxed)
    }

    /// When the last snapshot was published, in seconds since 1970; 0 is never.
    pub fn last_success(&self) -> u64 {
        self.last_success.load(Relaxed)
    }

    pub(super) fn connected(&self) {
        self.connected.store(true, Relaxed);
    }

    pub(super) fn disconnected(&self) {
        self.connected.store(false, Relaxed);
    }

    pub(super) fn received(&self, rejected: usize) {
        let counter = match rejected {
            0 => &self.accepted,
            _ => &self.rejected,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn published(&self) {
        self.snapshots.fetch_add(1, Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.last_success
            .store(now.map_or(0, |since| since.as_secs()), Relaxed);
    }
}
