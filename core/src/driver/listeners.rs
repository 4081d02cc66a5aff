//! The listening sockets that are open, and why others are not.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

use super::accept::{self, Acceptor};
use super::socket::{ListenError, Listening};
use crate::config::{Bind, Snapshot};

/// A listener of the configuration, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    /// The address that the configuration asks for.
    pub bind: Bind,
    /// The name of its service.
    pub service: String,
    /// Whether it is open.
    pub state: ListenerState,
    /// Connections accepted so far.
    pub accepted: u64,
}

/// Whether a listener is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerState {
    /// It accepts connections at this address.
    Open(Bind),
    /// It will be tried again.
    Failed(String),
}

/// The state of all listeners, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct ListenerTable(Mutex<BTreeMap<String, ListenerStatus>>);

impl ListenerTable {
    /// All listeners by name.
    pub(crate) fn all(&self) -> BTreeMap<String, ListenerStatus> {
        self.lock().clone()
    }

    /// Changes what is told of a listener, if it still is one.
    pub(super) fn update(&self, name: &str, change: impl FnOnce(&mut ListenerStatus)) {
        if let Some(status) = self.lock().get_mut(name) {
            change(status);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ListenerStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The listeners that are open or being opened. Dropping it closes them.
pub(crate) struct Listeners {
    acceptor: Acceptor,
    tasks: BTreeMap<String, Task>,
}

#[derive(Debug)]
struct Task {
    bind: Bind,
    accepting: JoinHandle<()>,
}

impl Listeners {
    pub(crate) fn new(acceptor: Acceptor) -> Self {
        Self {
            acceptor,
            tasks: BTreeMap::new(),
        }
    }

    /// Opens and closes until the listeners are those of the snapshot. One whose name and address
    /// stay is not touched. One that cannot be opened is tried again from time to time.
    ///
    /// # Errors
    /// The first listener that could not be opened; all others were seen to.
    pub(crate) async fn reconcile(&mut self, snapshot: &Snapshot) -> Result<(), ListenError> {
        let kept = |name: &String, task: &Task| {
            let wanted = snapshot.listeners.get(name);
            wanted.is_some_and(|listener| listener.bind == task.bind)
        };
        // Closed first: a new listener may want the address of an old one.
        self.close(|name, task| !kept(name, task)).await;
        let mut first = Ok(());
        for (name, listener) in &snapshot.listeners {
            let opened = self.open(name, &listener.bind, &listener.service);
            first = first.and(opened);
        }
        first
    }

    /// Closes all of them.
    pub(crate) async fn close_all(&mut self) {
        self.close(|_, _| true).await;
    }

    fn open(&mut self, name: &str, bind: &Bind, service: &str) -> Result<(), ListenError> {
        let table = &self.acceptor.table;
        let btree_map::Entry::Vacant(task) = self.tasks.entry(name.to_owned()) else {
            table.update(name, |status| service.clone_into(&mut status.service));
            return Ok(());
        };
        let opened = Listening::open(name, bind);
        let state = match &opened {
            Ok(listening) => ListenerState::Open(listening.bound().clone()),
            Err(error) => ListenerState::Failed(error.to_string()),
        };
        let status = ListenerStatus {
            bind: bind.clone(),
            service: service.to_owned(),
            state,
            accepted: 0,
        };
        table.lock().insert(name.to_owned(), status);
        let (listening, result) = match opened {
            Ok(listening) => (Some(listening), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let serve = accept::serve(self.acceptor.clone(), name.into(), bind.clone(), listening);
        task.insert(Task {
            bind: bind.clone(),
            accepting: tokio::spawn(serve),
        });
        result
    }

    async fn close(&mut self, which: impl Fn(&String, &Task) -> bool) {
        let closing: Vec<String> = self
            .tasks
            .iter()
            .filter(|(name, task)| which(name, task))
            .map(|(name, _)| name.clone())
            .collect();
        for name in closing {
            if let Some(task) = self.tasks.remove(&name) {
                task.accepting.abort();
                // The socket is closed when the task is gone.
                let _ = task.accepting.await;
                tracing::info!(listener = name, bind = %task.bind, "listener closed");
            }
            self.acceptor.table.lock().remove(&name);
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for task in self.tasks.values() {
            task.accepting.abort();
        }
    }
}
