//! Who is connected, and what each client has: read where the streams keep it, never kept twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use meltemi_policy::Mismatches;
use tokio::sync::watch;

use super::rejection::Rejection;

/// What a client has of one resource, as far as its answers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The version that it has taken.
    pub acknowledged: Option<Arc<str>>,
    /// One that it was sent and has not answered for.
    pub sent: Option<Arc<str>>,
    /// One that it does not take; it is not sent again.
    pub refused: Option<Arc<str>>,
}

/// The state of a stream, as far as others may know it.
pub(super) trait Stream: Send {
    /// The id of the client's node; empty before it has said it.
    fn node_id(&self) -> &str;

    /// Every resource of a type that the client was told of and that is there, by name.
    fn each(&self, type_url: &str, seen: &mut dyn FnMut(&str, Held));

    /// The types that it asks for.
    fn type_urls(&self) -> Vec<String>;
}

/// The clients of a server; a clone is the same.
#[derive(Clone, Debug)]
pub struct Clients {
    connected: Arc<Mutex<Connected>>,
    changed: watch::Sender<()>,
}

/// By number.
#[derive(Default)]
struct Connected {
    last: u64,
    clients: BTreeMap<u64, Entry>,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} clients", self.clients.len())
    }
}

#[derive(Clone)]
struct Entry {
    since: SystemTime,
    stream: Arc<Mutex<dyn Stream>>,
    /// Why it refuses what it refuses: the newest of each type and name.
    reasons: BTreeMap<(String, String), Rejection>,
    /// What it says of its own clients.
    mismatches: Mismatches,
}

/// A client that is connected, while [`Clients::each`] looks at it.
pub struct Client<'a> {
    /// Of its connection: a client that comes again has another.
    pub number: u64,
    entry: &'a Entry,
}

/// What a client was told and what it made of it, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSnapshot {
    /// The id of its node; empty before it has said it.
    pub node: String,
    pub since: SystemTime,
    /// By type URL and name.
    pub resources: BTreeMap<(String, String), Held>,
    /// What it does not take, with its reasons.
    pub rejections: Vec<Rejection>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            connected: Arc::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Clients {
    /// Told whenever a client comes, goes or answers.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// All that is known of all, at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ClientSnapshot> {
        let mut clients = vec![];
        self.each(|client| clients.push(client.snapshot()));
        clients
    }

    /// Looks at one after the other. No stream waits for it but the one that is looked at.
    pub fn each(&self, mut look: impl FnMut(&Client<'_>)) {
        let connected = lock(&self.connected).clients.clone();
        for (number, entry) in connected {
            let entry = &entry;
            look(&Client { number, entry });
        }
    }

    /// A stream that has begun; it is here until what is returned is dropped.
    pub(super) fn enter<S: Stream + Default + 'static>(&self) -> Slot<S> {
        let state = Arc::new(Mutex::new(S::default()));
        let mut connected = lock(&self.connected);
        connected.last += 1;
        let number = connected.last;
        let entry = Entry {
            since: SystemTime::now(),
            stream: state.clone(),
            reasons: BTreeMap::new(),
            mismatches: Mismatches::new(),
        };
        connected.clients.insert(number, entry);
        drop(connected);
        Slot {
            number,
            clients: self.clone(),
            state,
        }
    }
}

impl Client<'_> {
    /// Every resource of a type that it was told of and that is there, by name.
    pub fn each(&self, type_url: &str, mut seen: impl FnMut(&str, Held)) {
        lock(&self.entry.stream).each(type_url, &mut seen);
    }

    /// Why it does not take a resource; none where it has never refused one of this name.
    #[must_use]
    pub fn reason(&self, type_url: &str, name: &str) -> Option<&str> {
        let key = (type_url.to_owned(), name.to_owned());
        let rejection = self.entry.reasons.get(&key)?;
        Some(&rejection.reason)
    }

    /// What its own clients have spoken lately that is not their service's protocol.
    #[must_use]
    pub fn mismatches(&self) -> &Mismatches {
        &self.entry.mismatches
    }

    fn snapshot(&self) -> ClientSnapshot {
        let stream = lock(&self.entry.stream);
        let mut resources = BTreeMap::new();
        for type_url in stream.type_urls() {
            stream.each(&type_url, &mut |name, held| {
                resources.insert((type_url.clone(), name.to_owned()), held);
            });
        }
        let still = |(key, rejection): (&(String, String), &Rejection)| {
            let refused = resources.get(key)?.refused.as_ref();
            (refused == Some(&rejection.version)).then(|| rejection.clone())
        };
        ClientSnapshot {
            node: stream.node_id().to_owned(),
            since: self.entry.since,
            rejections: self.entry.reasons.iter().filter_map(still).collect(),
            resources,
        }
    }
}

/// The place of one stream among the clients.
pub(super) struct Slot<S> {
    number: u64,
    clients: Clients,
    state: Arc<Mutex<S>>,
}

impl<S> Slot<S> {
    pub(super) fn state(&self) -> MutexGuard<'_, S> {
        lock(&self.state)
    }

    /// The client says this of its own clients. Whoever watches is told when its request was answered.
    pub(super) fn told(&self, mismatches: Mismatches) {
        let mut connected = lock(&self.clients.connected);
        if let Some(entry) = connected.clients.get_mut(&self.number) {
            entry.mismatches = mismatches;
        }
    }

    /// The client has answered, and refuses these.
    pub(super) fn answered(&self, rejections: &[Rejection]) {
        if !rejections.is_empty() {
            let mut connected = lock(&self.clients.connected);
            if let Some(entry) = connected.clients.get_mut(&self.number) {
                let named = rejections.iter().map(|rejection| {
                    let key = (rejection.type_url.clone(), rejection.name.clone());
                    (key, rejection.clone())
                });
                entry.reasons.extend(named);
            }
        }
        self.clients.changed.send_replace(());
    }
}

impl<S> Drop for Slot<S> {
    fn drop(&mut self) {
        lock(&self.clients.connected).clients.remove(&self.number);
        self.clients.changed.send_replace(());
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
