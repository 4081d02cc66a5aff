//! What became of the configuration that arrived.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::SystemTime;

use serde::Serialize;

use super::lock;

/// The state of the configuration, for metrics and the admin pages.
#[derive(Debug, Default)]
pub struct ConfigurationStatus(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    applied: Option<Applied>,
    updates: u64,
    rejects: u64,
    connected: bool,
    rejected: BTreeMap<(String, String), Rejection>,
}

/// The configuration that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its version.
    pub version: String,
    /// Since when.
    pub at: SystemTime,
}

/// A resource whose last version was refused. The one before it, if any, stays in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// The resource's type URL.
    pub type_url: String,
    /// The resource's name.
    pub name: String,
    /// The version that was refused.
    pub version: String,
    /// Why.
    pub reason: String,
}

impl ConfigurationStatus {
    /// A configuration came into force.
    pub fn applied(&self, version: &str, at: SystemTime) {
        let mut state = lock(&self.0);
        state.updates += 1;
        state.applied = Some(Applied {
            version: version.to_owned(),
            at,
        });
    }

    /// A resource was refused.
    pub fn rejected(&self, rejection: Rejection) {
        let mut state = lock(&self.0);
        state.rejects += 1;
        let key = (rejection.type_url.clone(), rejection.name.clone());
        state.rejected.insert(key, rejection);
    }

    /// A resource that may have been refused before was accepted, or withdrawn.
    pub fn cleared(&self, type_url: &str, name: &str) {
        let key = (type_url.to_owned(), name.to_owned());
        lock(&self.0).rejected.remove(&key);
    }

    /// The stream to the control plane was made, or broke.
    pub fn connected(&self, connected: bool) {
        lock(&self.0).connected = connected;
    }

    /// The configuration in force, if any arrived.
    #[must_use]
    pub fn current(&self) -> Option<Applied> {
        lock(&self.0).applied.clone()
    }

    /// The resources whose last version was refused, by type and name.
    #[must_use]
    pub fn rejections(&self) -> Vec<Rejection> {
        lock(&self.0).rejected.values().cloned().collect()
    }

    /// Updates, refusals, and whether the control plane can be reached.
    pub(super) fn totals(&self) -> (u64, u64, bool) {
        let state = lock(&self.0);
        (state.updates, state.rejects, state.connected)
    }
}
