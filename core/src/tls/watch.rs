//! The owner of the files: it reads them before they are used, and again while they are.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{Side, Tls, ToClients, Unavailable};
use crate::config::Snapshot;

/// How often files are looked at. Kubernetes replaces a directory's files by a link to another
/// directory, and whoever issues certificates by what means they like: to read what a few files hold
/// notices all of it.
const PERIOD: Duration = Duration::from_secs(2);

/// The TLS of all clusters and listeners in force.
#[derive(Default)]
pub(crate) struct Certificates {
    clusters: Vec<Arc<Tls>>,
    listeners: Vec<Arc<Tls<ToClients>>>,
    due: Option<Instant>,
}

impl Certificates {
    /// Takes over those of a configuration, with their files read for the first time.
    pub(crate) async fn configure(&mut self, snapshot: &Snapshot) {
        let clusters = snapshot.clusters.values();
        take_over(
            &mut self.clusters,
            clusters.filter_map(|cluster| cluster.tls.clone()),
        );
        let listeners = snapshot.listeners.values();
        take_over(
            &mut self.listeners,
            listeners.filter_map(|listener| listener.tls.clone()),
        );
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
        let is_used = !self.clusters.is_empty() || !self.listeners.is_empty();
        self.due = is_used.then(|| Instant::now() + PERIOD);
        if !is_used {
            return;
        }
        let (clusters, listeners) = (self.clusters.clone(), self.listeners.clone());
        // Nothing is left to be told where the process ends meanwhile.
        let _ = spawn_blocking(move || {
            clusters.iter().for_each(|tls| refresh(tls));
            listeners.iter().for_each(|tls| refresh(tls));
        })
        .await;
    }
}

fn take_over<S: Side>(used: &mut Vec<Arc<Tls<S>>>, now: impl Iterator<Item = Arc<Tls<S>>>) {
    let before = std::mem::replace(used, now.collect());
    let is_new = |tls: &&Arc<Tls<S>>| !before.iter().any(|known| Arc::ptr_eq(known, tls));
    for tls in used.iter().filter(is_new) {
        if let Err(reason) = tls.shown()
            && reason != Unavailable::NotRead
        {
            unavailable(tls, &reason);
        }
    }
}

fn refresh<S: Side>(tls: &Tls<S>) {
    let owner = tls.failures().owner();
    let (cluster, listener) = (owner.cluster(), owner.listener());
    match tls.refresh() {
        None => {}
        Some(Ok(())) => info!(cluster, listener, "certificates were read"),
        Some(Err(reason)) if tls.shown().is_ok() => {
            warn!(cluster, listener, %reason, "certificates changed and cannot be used: what they were stays");
        }
        Some(Err(reason)) => unavailable(tls, &reason),
    }
}

fn unavailable<S: Side>(tls: &Tls<S>, reason: &Unavailable) {
    let owner = tls.failures().owner();
    let (cluster, listener) = (owner.cluster(), owner.listener());
    let without = S::WITHOUT;
    warn!(cluster, listener, %reason, "TLS is not available: {without}");
}
