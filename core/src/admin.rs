//! The admin pages: whether the proxy is ready, what it is configured with, what it does.
//!
//! They are served by a thread of their own, so that a scrape never delays a request.

mod clusters;
mod dump;
mod explain;
mod hot_keys;
mod metrics;
mod names;
mod page;
mod ready;
mod server;
mod tls;

use std::sync::Arc;

use tokio::sync::Notify;

pub use server::StartError;
pub(crate) use server::{Admin, start};

use crate::config::Snapshot;
use crate::driver::{Acceptor, Overlay, SharedNames};
use crate::protocols::Protocols;
use crate::proxy::{Configuration, ProxyOptions};

/// What the pages are made of.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) acceptor: Acceptor,
    pub(crate) configuration: Configuration,
    pub(crate) protocols: Arc<Protocols>,
    pub(crate) overlay: Overlay,
    pub(crate) names: SharedNames,
    pub(crate) options: ProxyOptions,
    /// Notified when a drain is asked for.
    pub(crate) drain: Arc<Notify>,
}

impl Sources {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.configuration.snapshots.borrow())
    }
}
