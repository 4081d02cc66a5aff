//! What is told of listeners.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{Bind, Listener, Mode};

/// A listener of the configuration, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    /// The address that the configuration asks for.
    pub bind: Bind,
    /// How the services of its connections are found.
    pub mode: Mode,
    /// Whether it is open.
    pub state: ListenerState,
    /// Connections accepted at its address so far.
    pub accepted: u64,
}

/// Whether a listener is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerState {
    /// It accepts connections at this address.
    Open(Bind),
    /// This machine has no IPv6, so that nobody can connect where it is wanted. It is tried again.
    Unsupported {
        /// What the system says.
        reason: String,
    },
    /// It cannot be opened where it is wanted, and will be tried again.
    Failed {
        /// Why.
        reason: String,
        /// Where it accepts connections meanwhile: at the address that it had before.
        serving: Option<Bind>,
    },
}

/// The state of all listeners, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct ListenerTable(Mutex<BTreeMap<String, Told>>);

/// What is told of a listener, but for the number of accepted connections, which workers count.
#[derive(Debug)]
struct Told {
    status: ListenerStatus,
    accepted: Arc<AtomicU64>,
}

impl ListenerTable {
    /// All listeners by name.
    pub(crate) fn all(&self) -> BTreeMap<String, ListenerStatus> {
        let all = self.lock();
        let all = all.iter().map(|(name, told)| {
            let status = ListenerStatus {
                accepted: told.accepted.load(Ordering::Relaxed),
                ..told.status.clone()
            };
            (name.clone(), status)
        });
        all.collect()
    }

    /// Tells of a listener what the configuration says now. One that is new is not open yet.
    pub(super) fn insert(&self, name: &str, listener: &Listener) {
        let Listener { bind, mode, .. } = listener;
        let mut all = self.lock();
        let told = all.entry(name.to_owned()).or_insert_with(|| Told {
            status: ListenerStatus {
                bind: bind.clone(),
                mode: mode.clone(),
                state: ListenerState::Failed {
                    reason: format!("listener {name}: not opened yet"),
                    serving: None,
                },
                accepted: 0,
            },
            accepted: Arc::default(),
        });
        bind.clone_into(&mut told.status.bind);
        mode.clone_into(&mut told.status.mode);
    }

    /// It is a listener no more.
    pub(super) fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Changes what is told of a listener, if it still is one.
    pub(super) fn update(&self, name: &str, change: impl FnOnce(&mut ListenerStatus)) {
        if let Some(told) = self.lock().get_mut(name) {
            change(&mut told.status);
        }
    }

    /// What is accepted at its address is counted there.
    pub(super) fn counts_with(&self, name: &str, accepted: &Arc<AtomicU64>) {
        if let Some(told) = self.lock().get_mut(name) {
            told.accepted = Arc::clone(accepted);
        }
    }

    /// Where those who accept from a listener count.
    pub(super) fn accepted(&self, name: &str) -> Arc<AtomicU64> {
        let all = self.lock();
        let accepted = all.get(name).map(|told| Arc::clone(&told.accepted));
        accepted.unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
