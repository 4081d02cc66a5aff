//! Connections that say first where they were going, by a header or by the name that they ask for within TLS: read as
//! far as that, looked up, and only then given to the engine.
//!
//! One whose destination no service is known by is parked: whoever sent it may have heard of the service
//! before this proxy did. Each configuration is asked again.

mod arrival;
mod doors;
mod hello;
mod settle;
mod told;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Token;
use slotmap::{Key, KeyData, SlotMap, new_key_type};

use self::arrival::{Arrival, Stage};
use self::doors::Doors;
use self::told::Told;
use super::listeners::Origin;
use crate::config::{Mode, ProxyProtocol, Snapshot};
use crate::engine::Settings;
use crate::proxy_protocol::Proxied;
use crate::telemetry::{ArrivalMetrics, WorkerTelemetry};
use crate::tls::{Tls, ToClients};

new_key_type! {
    struct ArrivalKey;
}

/// Those of a worker.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// How long a header may take.
    header: Duration,
    /// So many may be parked.
    most_parked: usize,
    all: SlotMap<ArrivalKey, Arrival>,
    parked: usize,
    /// The listeners that they come through.
    listeners: HashMap<String, Entrance>,
    /// Where they are told apart by the name that they ask for.
    doors: Doors,
    told: Told,
}

/// A listener whose connections begin with a header.
#[derive(Debug)]
struct Entrance {
    mode: ProxyProtocol,
    /// What follows the header; none: plaintext, so that the header says who the client is.
    tls: Option<Arc<Tls<ToClients>>>,
    metrics: ArrivalMetrics,
}

impl Arrivals {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            header: settings.header,
            most_parked: settings.waiting,
            all: SlotMap::with_key(),
            parked: 0,
            listeners: HashMap::new(),
            doors: Doors::default(),
            told: Told::default(),
        }
    }

    /// Whether connections of this listener say first where they were going.
    pub(super) fn come_through(&self, listener: &str) -> bool {
        self.listeners.contains_key(listener)
    }

    /// Takes the listeners of a configuration; a connection whose listener is gone goes, too.
    pub(super) fn configure(&mut self, snapshot: &Snapshot, telemetry: &WorkerTelemetry) {
        let listeners = snapshot.listeners.iter();
        let listeners = listeners.filter_map(|(name, listener)| match &listener.mode {
            Mode::ProxyProtocol(mode) => {
                let entrance = Entrance {
                    mode: mode.clone(),
                    tls: listener.tls.clone(),
                    metrics: telemetry.arrivals(name),
                };
                Some((name.clone(), entrance))
            }
            Mode::Service(_) => None,
        });
        let listeners: HashMap<_, _> = listeners.collect();
        // Whose a client is that has not said it is up to the configuration of then.
        self.close(|arrival| {
            !listeners.contains_key(&*arrival.listener) && !matches!(arrival.stage, Stage::Hello(_))
        });
        self.listeners = listeners;
        self.doors = Doors::of(snapshot);
    }

    /// Whether clients that come in here say first whom they ask for.
    pub(super) fn are_told_apart(&self, origin: &Origin) -> bool {
        self.doors.ask(origin)
    }

    /// Whether this names a client that has not said whom it asks for.
    pub(super) fn is_shaking(&self, name: Token) -> bool {
        let arrival = named(name).and_then(|key| self.all.get(key));
        arrival.is_some_and(|it| matches!(it.stage, Stage::Hello(_)))
    }

    /// The listener with TLS that all are at who come in here, if there is one.
    pub(super) fn behind(&self, origin: &Origin) -> Option<(Arc<str>, Arc<Tls<ToClients>>)> {
        let behind = self.doors.sole(origin)?;
        Some((Arc::clone(&behind.listener), Arc::clone(&behind.tls)))
    }

    /// What clients of this listener say behind the header; none: plaintext.
    fn tls(&self, listener: &str) -> Option<&Arc<Tls<ToClients>>> {
        self.listeners.get(listener)?.tls.as_ref()
    }

    /// Closes all of them.
    pub(super) fn clear(&mut self) {
        self.close(|_| true);
    }

    fn close(&mut self, which: impl Fn(&Arrival) -> bool) {
        let which = self.all.iter().filter(|(_, arrival)| which(arrival));
        for key in which.map(|(key, _)| key).collect::<Vec<_>>() {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: ArrivalKey) -> Option<Arrival> {
        let arrival = self.all.remove(key)?;
        if arrival.parked().is_some() {
            self.parked -= 1;
            if let Some(entrance) = self.listeners.get(&*arrival.listener) {
                entrance.metrics.waited();
            }
        }
        Some(arrival)
    }

    /// Lets it wait for a configuration, and says for how long. `None`: as many wait as may.
    fn park(&mut self, key: ArrivalKey, client: Proxied, now: Instant) -> Option<Duration> {
        let arrival = self.all.get_mut(key)?;
        let entrance = self.listeners.get(&*arrival.listener)?;
        if self.parked >= self.most_parked {
            return None;
        }
        self.parked += 1;
        entrance.metrics.waits();
        arrival.until = now + entrance.mode.patience;
        arrival.stage = Stage::Parked(client);
        Some(entrance.mode.patience)
    }

    /// Those that wait for a configuration, with what they said.
    fn waiting(&self) -> Vec<(ArrivalKey, Proxied)> {
        let all = self.all.iter();
        all.filter_map(|(key, arrival)| Some((key, arrival.parked()?.clone())))
            .collect()
    }

    /// Whether a client has this proxy's own identity.
    fn is_own(&self, listener: &str, identity: Option<&Arc<str>>) -> bool {
        let entrance = self.listeners.get(listener);
        let own = entrance.and_then(|entrance| entrance.mode.own_identity.as_ref());
        own.is_some() && own == identity
    }
}

/// In the name that a connection has in the poll. Those of the engine have none of it: their index would
/// be above the number of files that a process can have.
const MARK: u64 = 1 << 31;

fn token(key: ArrivalKey) -> Token {
    let name = key.data().as_ffi() | MARK;
    Token(usize::try_from(name).unwrap_or(usize::MAX))
}

fn named(Token(name): Token) -> Option<ArrivalKey> {
    let name = name as u64;
    (name & MARK != 0).then(|| KeyData::from_ffi(name & !MARK).into())
}

#[cfg(test)]
mod tests {
    use super::super::link::connection;
    use super::*;
    use crate::engine::{ClientKey, ConnectionId};

    #[test]
    fn a_token_names_one_connection_and_none_of_the_engine() {
        let mut arrivals = SlotMap::<ArrivalKey, ()>::with_key();
        let mut clients = SlotMap::<ClientKey, ()>::with_key();
        for i in 0..100 {
            let client = clients.insert(());
            assert_eq!(
                named(super::super::link::token(ConnectionId::Client(client))),
                None
            );
            let key = arrivals.insert(());
            assert_eq!(named(token(key)), Some(key));
            let ConnectionId::Client(other) = connection(token(key)) else {
                continue;
            };
            assert!(!clients.contains_key(other));
            if i % 3 == 0 {
                arrivals.remove(key);
            }
        }
    }
}
