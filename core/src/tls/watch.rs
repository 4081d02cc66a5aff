//! The owner of the files: it reads them before they are used, and again while they are.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{Tls, Unavailable};
use crate::config::Snapshot;

/// How often files are looked at. Kubernetes replaces a directory's files by a link to another
/// directory, and whoever issues certificates by what means they like: to read what a few files hold
/// notices all of it.
const PERIOD: Duration = Duration::from_secs(2);

/// The TLS of all clusters in force.
#[derive(Default)]
pub(crate) struct Certificates {
    used: Vec<Arc<Tls>>,
    due: Option<Instant>,
}

impl Certificates {
    /// Takes over those of a configuration, with their files read for the first time.
    pub(crate) async fn configure(&mut self, snapshot: &Snapshot) {
        let clusters = snapshot.clusters.values();
        let used = clusters.filter_map(|cluster| cluster.tls.clone()).collect();
        let before: Vec<Arc<Tls>> = std::mem::replace(&mut self.used, used);
        let is_new = |tls: &&Arc<Tls>| !before.iter().any(|known| Arc::ptr_eq(known, tls));
        for tls in self.used.iter().filter(is_new) {
            if let Err(reason) = tls.shown()
                && reason != Unavailable::NotRead
            {
                warn!(cluster = tls.cluster(), %reason, "TLS is not available: no endpoint is dialled");
            }
        }
        self.refresh().await;
    }

    /// Reads what changes. Loses nothing where it is dropped and called again.
    pub(crate) async fn run(&mut self) {
        loop {
            match self.due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
            self.refresh().await;
        }
    }

    async fn refresh(&mut self) {
        self.due = (!self.used.is_empty()).then(|| Instant::now() + PERIOD);
        if self.used.is_empty() {
            return;
        }
        let used = self.used.clone();
        // Nothing is left to be told where the process ends meanwhile.
        let _ = spawn_blocking(move || used.iter().for_each(|tls| refresh(tls))).await;
    }
}

fn refresh(tls: &Tls) {
    let cluster = tls.cluster();
    match tls.refresh() {
        None => {}
        Some(Ok(())) => info!(cluster, "certificates were read"),
        Some(Err(reason)) if tls.shown().is_ok() => {
            warn!(cluster, %reason, "certificates changed and cannot be used: what they were stays");
        }
        Some(Err(reason)) => {
            warn!(cluster, %reason, "TLS is not available: no endpoint is dialled");
        }
    }
}
