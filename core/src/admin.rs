//! The admin pages: whether the proxy is ready, what it is configured with, what it does.
//!
//! They are served by a thread of their own, so that a scrape never delays a request.

mod clusters;
mod dump;
mod hot_keys;
mod metrics;
mod page;
mod ready;
mod server;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

pub use server::StartError;
pub(crate) use server::{Admin, start};

use crate::config::{Address, Snapshot};
use crate::driver::Acceptor;
use crate::protocols::Protocols;
use crate::proxy::{Configuration, ProxyOptions};

/// Ejected endpoints by cluster, as their owner last published them.
pub(crate) type Ejected = Arc<Mutex<HashMap<Arc<str>, Arc<[Address]>>>>;

/// What the pages are made of.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) acceptor: Acceptor,
    pub(crate) configuration: Configuration,
    pub(crate) protocols: Arc<Protocols>,
    pub(crate) ejected: Ejected,
    pub(crate) options: ProxyOptions,
    /// Notified when a drain is asked for.
    pub(crate) drain: Arc<Notify>,
}

impl Sources {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.configuration.snapshots.borrow())
    }

    fn ejected(&self, cluster: &str) -> Arc<[Address]> {
        let ejected = self.ejected.lock().unwrap_or_else(PoisonError::into_inner);
        ejected
            .get(cluster)
            .map_or_else(|| Arc::from([]), Arc::clone)
    }
}
