//! What is known of endpoints' health beyond the configuration: one writer, told to all workers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::workers::Workers;
use crate::config::Address;

/// The endpoints of a cluster that are left out, and why.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    /// Envoy's `failed_outlier_check`.
    pub(crate) ejected: Arc<[Address]>,
    /// Envoy's `failed_active_hc`.
    pub(crate) unhealthy: Arc<[Address]>,
}

impl Default for LeftOut {
    fn default() -> Self {
        Self {
            ejected: Arc::from([]),
            unhealthy: Arc::from([]),
        }
    }
}

impl LeftOut {
    /// Whatever the reason.
    pub(crate) fn contains(&self, address: &Address) -> bool {
        self.ejected.contains(address) || self.unhealthy.contains(address)
    }

    fn all(&self) -> Arc<[Address]> {
        if self.unhealthy.is_empty() {
            return Arc::clone(&self.ejected);
        }
        let others = self.ejected.iter();
        let others = others.filter(|address| !self.unhealthy.contains(address));
        self.unhealthy.iter().chain(others).cloned().collect()
    }
}

/// What the workers were told last, for clusters of which an endpoint was ever left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay(Arc<Mutex<HashMap<Arc<str>, LeftOut>>>);

impl Overlay {
    pub(crate) fn of(&self, cluster: &str) -> LeftOut {
        self.lock().get(cluster).cloned().unwrap_or_default()
    }

    pub(super) fn clusters(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    /// Changes what is left out of a cluster, and tells the workers.
    pub(super) fn change(
        &self,
        cluster: &Arc<str>,
        workers: &Workers,
        change: impl FnOnce(&mut LeftOut),
    ) {
        let (before, all) = {
            let mut clusters = self.lock();
            let left_out = clusters.entry(Arc::clone(cluster)).or_default();
            let before = left_out.all();
            change(left_out);
            (before, left_out.all())
        };
        // Whoever was left out and is not any more has to be told; nobody twice, that nobody is.
        if !(before.is_empty() && all.is_empty()) {
            workers.eject(cluster, &all);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, LeftOut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
