//! The owner of what certificates come from: it reads files before they are used, and again while they are, and hears of
//! what the CA of the mesh has given.

use std::sync::Arc;
use std::time::Duration;

use meltemi_credentials::{Latest, Workload};
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
    /// None: nobody gives this process a certificate.
    workload: Option<Workload>,
    due: Option<Instant>,
}

impl Certificates {
    pub(crate) fn new(workload: Option<Workload>) -> Self {
        Self {
            workload,
            ..Self::default()
        }
    }

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
            let due = self.due;
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = news(self.workload.as_mut()) => {}
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
        let workload = self.workload.as_mut();
        let workload = workload.map(|latest| latest.borrow_and_update().clone());
        // Nothing is left to be told where the process ends meanwhile.
        let _ = spawn_blocking(move || {
            let workload = workload.as_ref();
            clusters.iter().for_each(|tls| refresh(tls, workload));
            listeners.iter().for_each(|tls| refresh(tls, workload));
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

/// The CA has given something, or what it gave has ended.
async fn news(workload: Option<&mut Workload>) {
    let is_over = match workload {
        Some(latest) => latest.changed().await.is_err(),
        None => true,
    };
    if is_over {
        std::future::pending().await
    }
}

fn refresh<S: Side>(tls: &Tls<S>, workload: Option<&Latest>) {
    let owner = tls.failures().owner();
    let (cluster, listener) = (owner.cluster(), owner.listener());
    match tls.refresh(workload) {
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
