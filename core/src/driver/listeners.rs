//! The listening sockets that are open, and why others are not.

mod table;

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

pub(crate) use self::table::ListenerTable;
pub use self::table::{ListenerState, ListenerStatus};
use super::socket::{Closed, ListenError, Listening};
use super::workers::Workers;
use crate::config::{Bind, Listener, Mode, Snapshot};
use crate::telemetry::Telemetry;

/// Between two attempts to open an address, at first and at most.
const REOPEN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// So long it is waited for workers to let go of a socket. None needs that long, unless it is stuck.
const CLOSE: Duration = Duration::from_secs(1);

/// What every listener needs.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) workers: Arc<Workers>,
    pub(crate) table: Arc<ListenerTable>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// Where a connection came in.
#[derive(Debug)]
pub(super) struct Origin {
    /// The listener; of several at an address the one that has opened it.
    pub(super) listener: Arc<str>,
    /// As the configuration asks for it.
    pub(super) bind: Bind,
}

/// A listener that is open, for the workers that accept from it.
#[derive(Debug)]
pub(super) struct OpenListener {
    pub(super) origin: Arc<Origin>,
    /// No other that is open has it.
    pub(super) number: u32,
    pub(super) listening: Listening,
    accepted: Arc<AtomicU64>,
}

impl OpenListener {
    /// One more was accepted.
    pub(super) fn count(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }
}

/// The listeners that are open or to be opened. Dropping it closes them.
///
/// A listener that is to move is opened at its new address before the old one closes; where that
/// cannot be opened, it goes on at the old one. Those that tell clients apart by the name that they ask
/// for share the socket of their address, which is open while one of them wants it.
pub(crate) struct Listeners {
    acceptor: Acceptor,
    entries: BTreeMap<String, Entry>,
    /// Listeners that were opened so far.
    opened: u32,
}

#[derive(Debug)]
struct Entry {
    /// The address that the configuration asks for.
    wanted: Bind,
    /// Whether others may have the same address: its clients say first whom they ask for.
    shares: bool,
    /// Whether nothing is amiss where this machine has no IPv6: it stands beside one of IPv4.
    optional: bool,
    /// What accepts: there, or where it was before.
    open: Option<Arc<Open>>,
    retry: Option<Retry>,
}

#[derive(Debug)]
struct Open {
    /// As it was asked for, and as it is: the system's choice in the place of port 0.
    bind: Bind,
    bound: Bind,
    number: u32,
    /// Connections accepted there.
    accepted: Arc<AtomicU64>,
    closed: Closed,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    delay: Duration,
}

/// Those that could not be opened.
type Failures = Vec<(String, ListenError)>;

impl Listeners {
    pub(crate) fn new(acceptor: Acceptor) -> Self {
        Self {
            acceptor,
            entries: BTreeMap::new(),
            opened: 0,
        }
    }

    /// Opens and closes until the listeners are those of the snapshot. One whose name and address
    /// stay is not touched. One that cannot be opened is tried again by [`Self::retry`].
    ///
    /// # Errors
    /// The first listener that could not be opened; all others were seen to.
    pub(crate) async fn reconcile(&mut self, snapshot: &Snapshot) -> Result<(), ListenError> {
        // Closed first: a new listener may want the address of an old one.
        self.close(|name| !snapshot.listeners.contains_key(name))
            .await;
        let mut moved = Vec::new();
        for (name, listener) in &snapshot.listeners {
            if self.wants(name, listener) {
                moved.push(name.clone());
            }
        }
        let failures = self.open_all(moved);
        // One may have waited until another had left its address.
        let failures = self.open_all(names(&failures));
        let failures = self.make_way(failures).await;
        let mut first = Ok(());
        for (name, error) in failures {
            if self.failed(&name, &error).is_some() {
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Opens what could not be opened before, each after its time. Never ends.
    pub(crate) async fn retry(&mut self) {
        loop {
            let retries = self.entries.values().filter_map(|entry| entry.retry);
            match retries.map(|retry| retry.at).min() {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
            let now = Instant::now();
            let due = |entry: &Entry| entry.retry.is_some_and(|retry| retry.at <= now);
            let due = self.entries.iter().filter(|(_, entry)| due(entry));
            let due = due.map(|(name, _)| name.clone()).collect();
            for (name, error) in self.open_all(due) {
                if let Some(delay) = self.failed(&name, &error) {
                    warn!(%error, retry = ?delay, "listener not opened");
                }
            }
        }
    }

    /// Closes all of them.
    pub(crate) async fn close_all(&mut self) {
        self.close(|_| true).await;
    }

    /// Takes down what the configuration asks for. True: the listener is not open there yet.
    fn wants(&mut self, name: &str, listener: &Listener) -> bool {
        let Listener {
            bind, mode, tls, ..
        } = listener;
        let entry = self.entries.entry(name.to_owned()).or_insert(Entry {
            wanted: bind.clone(),
            shares: false,
            optional: false,
            open: None,
            retry: None,
        });
        let is_pending = entry.wanted == *bind && entry.retry.is_some();
        entry.wanted = bind.clone();
        entry.shares = tls.is_some() && matches!(mode, Mode::Service(_));
        entry.optional = matches!(mode, Mode::ProxyProtocol(_));
        let open = entry.open.as_ref().filter(|open| open.bind == *bind);
        if open.is_some() {
            entry.retry = None;
        }
        let state = open.map(|open| ListenerState::Open(open.bound.clone()));
        let is_open = state.is_some();
        self.acceptor.table.insert(name, listener);
        if let Some(state) = state {
            self.acceptor
                .table
                .update(name, |status| status.state = state);
        }
        !is_open && !is_pending
    }

    fn open_all(&mut self, names: Vec<String>) -> Failures {
        let mut failures = Failures::new();
        for name in names {
            let Some(entry) = self.entries.get(&name) else {
                continue;
            };
            let wanted = entry.wanted.clone();
            let opened = match self.shared(&name, &wanted) {
                Some(open) => Ok(open),
                None => self.acceptor.open(&name, &wanted, self.opened),
            };
            match opened {
                Ok(open) => self.opened(&name, open),
                Err(error) => failures.push((name, error)),
            }
        }
        failures
    }

    /// The socket that others have opened at this address, if it may be this one's, too.
    fn shared(&self, name: &str, wanted: &Bind) -> Option<Arc<Open>> {
        let entry = self.entries.get(name)?;
        let mut others = self.entries.values().filter(|it| it.shares);
        let open = others.find_map(|it| it.open.as_ref().filter(|open| open.bind == *wanted));
        let open = open.filter(|_| entry.shares && !wanted.is_left_open())?;
        self.acceptor.share(name, open);
        Some(Arc::clone(open))
    }

    fn opened(&mut self, name: &str, open: Arc<Open>) {
        self.opened = self.opened.wrapping_add(1);
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        entry.retry = None;
        if let Some(old) = entry.open.replace(open)
            && let Some(old) = Arc::into_inner(old)
        {
            self.acceptor.workers.unlisten(old.number);
            info!(listener = name, bind = %old.bind, "listener moved");
        }
    }

    /// Where listeners that are to move stand in the way of others, or of themselves, they close
    /// before it is tried again.
    async fn make_way(&mut self, failures: Failures) -> Failures {
        let wanted = failures
            .iter()
            .filter_map(|(name, _)| self.entries.get(name));
        let wanted: Vec<_> = wanted.map(|entry| entry.wanted.clone()).collect();
        let mut closed = Vec::new();
        for (name, entry) in &mut self.entries {
            let in_the_way = |open: &mut Arc<Open>| {
                open.bind != entry.wanted && wanted.iter().any(|w| collide(w, &open.bound))
            };
            if let Some(open) = entry.open.take_if(in_the_way) {
                closed.push((name.clone(), open.bind.clone()));
                self.acceptor.close(name, open).await;
            }
        }
        if closed.is_empty() {
            return failures;
        }
        let failures = self.open_all(names(&failures));
        for (name, bind) in closed {
            // It was in nobody's way after all.
            if let Some(entry) = self.entries.get_mut(&name)
                && entry.open.is_none()
                && let Ok(open) = self.acceptor.open(&name, &bind, self.opened)
            {
                self.opened = self.opened.wrapping_add(1);
                entry.open = Some(open);
            }
        }
        failures
    }

    /// Remembers that a listener is not open where it is wanted, and says when it is tried again; nothing
    /// where that is as it should be.
    fn failed(&mut self, name: &str, error: &ListenError) -> Option<Duration> {
        let entry = self.entries.get_mut(name)?;
        let delay = entry
            .retry
            .map_or(REOPEN.0, |last| (last.delay * 2).min(REOPEN.1));
        let at = Instant::now() + delay;
        entry.retry = Some(Retry { at, delay });
        let serving = entry.open.as_ref().map(|open| open.bound.clone());
        let reason = error.to_string();
        let is_amiss = !(entry.optional && error.is_without_ipv6());
        let state = match is_amiss {
            true => ListenerState::Failed { reason, serving },
            false => ListenerState::Unsupported { reason },
        };
        self.acceptor.table.update(name, |status| {
            if !is_amiss && status.state != state {
                info!(%error, "no IPv6 here: the listener stays closed, which hinders nothing");
            }
            status.state = state;
        });
        is_amiss.then_some(delay)
    }

    async fn close(&mut self, which: impl Fn(&str) -> bool) {
        let closing = self.entries.keys().filter(|name| which(name));
        let closing: Vec<String> = closing.cloned().collect();
        for name in closing {
            if let Some(entry) = self.entries.remove(&name)
                && let Some(open) = entry.open
            {
                self.acceptor.close(&name, open).await;
            }
            self.acceptor.table.remove(&name);
        }
    }
}

impl Acceptor {
    /// Opens an address, and lets the workers accept there from now on.
    fn open(&self, name: &str, bind: &Bind, number: u32) -> Result<Arc<Open>, ListenError> {
        let (listening, closed) = Listening::open(name, bind)?;
        let bound = listening.bound().clone();
        info!(listener = %name, address = %bound, "listener opened");
        let state = ListenerState::Open(bound.clone());
        self.table.update(name, |status| status.state = state);
        let accepted = self.table.accepted(name);
        let origin = Arc::new(Origin {
            listener: name.into(),
            bind: bind.clone(),
        });
        self.workers.listen(&Arc::new(OpenListener {
            origin,
            number,
            listening,
            accepted: Arc::clone(&accepted),
        }));
        tell(name, &bound);
        Ok(Arc::new(Open {
            bind: bind.clone(),
            bound,
            number,
            accepted,
            closed,
        }))
    }

    /// It is open where another one is.
    fn share(&self, name: &str, open: &Open) {
        info!(listener = %name, address = %open.bound, "listener opened beside others");
        let state = ListenerState::Open(open.bound.clone());
        self.table.update(name, |status| status.state = state);
        self.table.counts_with(name, &open.accepted);
        tell(name, &open.bound);
    }

    /// Closes it, so that its address is free, unless others have it, too.
    async fn close(&self, name: &str, open: Arc<Open>) {
        let Some(open) = Arc::into_inner(open) else {
            return info!(
                listener = name,
                "listener closed, others stay at its address"
            );
        };
        self.workers.unlisten(open.number);
        match timeout(CLOSE, open.closed).await {
            Ok(_) => info!(listener = name, bind = %open.bind, "listener closed"),
            Err(_) => {
                warn!(listener = name, bind = %open.bind, "a worker does not close a listener")
            }
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for open in self
            .entries
            .values()
            .filter_map(|entry| entry.open.as_ref())
        {
            self.acceptor.workers.unlisten(open.number);
        }
    }
}

/// Scripts and tests wait for this line and read the system's choice of a port from it. That nobody reads it is no
/// reason to end.
fn tell(name: &str, bound: &Bind) {
    let _ = writeln!(io::stdout(), "listening {name} {bound}");
}

fn names(failures: &Failures) -> Vec<String> {
    failures.iter().map(|(name, _)| name.clone()).collect()
}

/// Whether an address cannot be opened while another one is.
fn collide(wanted: &Bind, open: &Bind) -> bool {
    match (wanted, open) {
        (Bind::Tcp(wanted), Bind::Tcp(open)) => {
            let is_everywhere = wanted.ip().is_unspecified() || open.ip().is_unspecified();
            wanted.port() == open.port()
                && wanted.is_ipv4() == open.is_ipv4()
                && (wanted.ip() == open.ip() || is_everywhere)
        }
        (wanted, open) => wanted == open,
    }
}
