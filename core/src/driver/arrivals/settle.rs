//! From an accepted socket to a client of a service, or to its end.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Token;
use mio::event::Event;
use tracing::field::display;
use tracing::{debug, warn};

use super::super::link::Load;
use super::super::stream::{Accepted, Stream};
use super::super::worker::Worker;
use super::arrival::{Arrival, NoHeader, Stage};
use super::{ArrivalKey, named, token};
use crate::config::{Service, is_loopback};
use crate::engine::{Stranger, Why};
use crate::proxy_protocol::{Header, Proxied, Refused};
use crate::telemetry::ResponseFlag;

impl Worker {
    /// A client has come that says first where it was going.
    pub(in super::super) fn arrive(
        &mut self,
        listener: &Arc<str>,
        (socket, peer): (Accepted, Option<SocketAddr>),
        load: Load,
    ) {
        if self.is_draining() {
            return;
        }
        // On a loopback address nobody else is expected, unless the machine routes as it should not. Who has to prove who he is
        // may come from anywhere.
        let is_proven = self.arrivals.tls(listener).is_some();
        if let Some(peer) = peer.filter(|peer| !is_proven && !is_loopback(peer.ip())) {
            let why = format!("{} is not on this machine", peer.ip());
            let turned = TurnedAway::at_once(listener, Some(peer), self.turn.now());
            return self.turn_away(&turned, Refused::NotLocal, &why);
        }
        if !self.engine.has_room(self.arrivals.all.len()) {
            let turned = TurnedAway::at_once(listener, peer, self.turn.now());
            return self.turn_away(&turned, Refused::Overflow, &"too many clients");
        }
        let patience = self.arrivals.header;
        let key = self.arrivals.all.insert(Arrival {
            stream: Stream::from(socket),
            listener: Arc::clone(listener),
            load,
            peer,
            since: self.turn.now(),
            stage: Stage::Header(Vec::new()),
            until: self.turn.now() + patience,
        });
        self.watch_arrival(key, patience);
    }

    /// The poll tells of it from now on, and the time that it has begins.
    pub(super) fn watch_arrival(&mut self, key: ArrivalKey, patience: Duration) {
        let registry = self.poll.registry();
        let arrival = self.arrivals.all.get_mut(key);
        let registered = arrival.map(|it| it.stream.register(registry, token(key)));
        match registered {
            Some(Err(error)) => {
                warn!(%error, "cannot serve an accepted connection");
                self.arrivals.remove(key);
            }
            _ => self.limit_token(token(key), patience),
        }
    }

    /// The poll tells something of a connection that is none of the engine's. False: nor is it one of
    /// these.
    pub(in super::super) fn arrival_ready(&mut self, event: &Event) -> bool {
        let Some(key) = named(event.token()) else {
            return false;
        };
        match self.arrivals.all.get(key).map(|it| &it.stage) {
            Some(Stage::Header(_)) => self.read_header(key),
            Some(Stage::Hello(_)) => self.read_hello(key),
            // Nobody waits any more.
            Some(Stage::Parked(_)) if event.is_error() || event.is_write_closed() => {
                self.arrivals.remove(key);
            }
            Some(Stage::Parked(_)) => {}
            None => return false,
        }
        true
    }

    fn read_header(&mut self, key: ArrivalKey) {
        let Some(arrival) = self.arrivals.all.get_mut(key) else {
            return;
        };
        match arrival.read() {
            Ok(None) => {}
            Ok(Some(Header::Local)) | Err(NoHeader::Nothing) => {
                debug!(listener = %arrival.listener, "somebody looked whether the listener is open");
                self.arrivals.remove(key);
            }
            Ok(Some(Header::Proxied(mut client))) => {
                let listener = Arc::clone(&arrival.listener);
                if self.arrivals.tls(&listener).is_some() {
                    // Its certificate says it.
                    client.identity = None;
                }
                self.settle(key, client);
            }
            Err(NoHeader::Invalid(error)) => {
                self.end(key, Refused::from(&error), (None, &error));
            }
            Err(NoHeader::Incomplete) => {
                self.end(
                    key,
                    Refused::Incomplete,
                    (None, &"it ended within the header"),
                );
            }
        }
    }

    /// Looks for the service that the client was going to.
    fn settle(&mut self, key: ArrivalKey, client: Proxied) {
        let Some(arrival) = self.arrivals.all.get(key) else {
            return;
        };
        let Some(service) = self.snapshot.destinations.service(client.destination) else {
            return self.park(key, client);
        };
        if self
            .arrivals
            .is_own(&arrival.listener, client.identity.as_ref())
        {
            return self.end(
                key,
                Refused::Loop,
                (Some(&client), &"it comes from this proxy"),
            );
        }
        let service = Arc::clone(service);
        if let Some(arrival) = self.arrivals.remove(key) {
            self.admit(arrival, &client, &service);
        }
    }

    fn park(&mut self, key: ArrivalKey, client: Proxied) {
        if self
            .arrivals
            .all
            .get(key)
            .is_some_and(|it| it.parked().is_some())
        {
            return;
        }
        match self.arrivals.park(key, client.clone(), self.turn.now()) {
            Some(patience) => self.limit_token(token(key), patience),
            None => {
                let why =
                    "too many connections wait for a configuration that knows their destination";
                self.end(key, Refused::Overflow, (Some(&client), &why));
            }
        }
    }

    /// From here on the connection is one like any other, whose first bytes are the client's.
    fn admit(&mut self, arrival: Arrival, client: &Proxied, service: &Service) {
        let listener = Arc::clone(&arrival.listener);
        let names = (&*listener, service.name.as_str());
        let now = self.turn.now();
        let Some(id) = self.engine.accept_for(names, Some(client.source), now) else {
            let (why, error) = match self.engine.is_full() {
                true => (Refused::Overflow, "too many clients"),
                false => (Refused::Unserved, "this proxy cannot serve its service"),
            };
            return self.turn_away(&TurnedAway::of(&arrival, Some(client)), why, &error);
        };
        if let Some(identity) = &client.identity {
            self.engine.identified(id, identity);
        }
        self.engine.dialled(id, client.destination);
        let released = arrival.released(self.poll.registry());
        let tls = self.arrivals.tls(&listener).cloned();
        let linked = released.and_then(|(stream, load)| match tls {
            None => self.link_client(id, stream, load),
            Some(tls) => {
                let patience = tls.settings().side.patience;
                match Stream::encrypted(stream, Some(client.source.ip()), &tls) {
                    Ok(stream) => self.shake_hands(id, stream, (load, patience)),
                    Err(error) => {
                        self.refused(id, &error.to_string());
                        Ok(())
                    }
                }
            }
        });
        if let Err(error) = linked {
            warn!(%listener, %error, "cannot serve an accepted connection");
            self.engine.failed(id, now);
        }
        self.perform_all();
    }

    /// The configuration has changed: those that wait may be known.
    pub(in super::super) fn settle_waiting(&mut self) {
        for (key, client) in self.arrivals.waiting() {
            self.settle(key, client);
        }
    }

    /// The time of this name is over, if it names one of these whose time it is.
    pub(in super::super) fn arrival_is_late(&mut self, name: Token) {
        let now = self.turn.now();
        let Some(key) = named(name) else { return };
        let Some(arrival) = self.arrivals.all.get(key).filter(|it| it.until <= now) else {
            return;
        };
        let parked = match &arrival.stage {
            Stage::Hello(_) => return self.hello_is_late(key),
            Stage::Header(_) => None,
            Stage::Parked(client) => Some(client.clone()),
        };
        match parked {
            Some(client) => {
                let why = "no service is known by its destination";
                self.end(key, Refused::UnknownDestination, (Some(&client), &why));
            }
            None => {
                let error = io::Error::from(io::ErrorKind::TimedOut);
                self.end(key, Refused::Timeout, (None, &error));
            }
        }
    }

    fn end(
        &mut self,
        key: ArrivalKey,
        why: Refused,
        (client, error): (Option<&Proxied>, &dyn Display),
    ) {
        if let Some(arrival) = self.arrivals.remove(key) {
            self.turn_away(&TurnedAway::of(&arrival, client), why, error);
        }
    }

    /// Counts it, logs it, and tells people once in a while.
    fn turn_away(&mut self, turned: &TurnedAway<'_>, why: Refused, error: &dyn Display) {
        let &TurnedAway {
            listener,
            peer,
            client,
            since,
        } = turned;
        if let Some(entrance) = self.arrivals.listeners.get(listener) {
            entrance.metrics.refused(why);
        }
        let reason = why.as_str();
        let to = client.map(|client| client.destination);
        let identity = client.and_then(|client| client.identity.as_deref());
        let stranger = Stranger {
            service: listener,
            peer: client.map(|client| client.source).or(peer),
            principal: identity,
            since,
        };
        let detail = match to {
            Some(to) => format!("{reason}: {error} ({to})"),
            None => format!("{reason}: {error}"),
        };
        let flag = flag(why);
        let detail = Why {
            flag,
            detail: &detail,
        };
        self.engine.turned_away(&stranger, detail, self.turn.now());
        let destination = to.map(display);
        let source = client.map(|client| display(client.source));
        if self.arrivals.told.is_news((why, to), self.turn.now()) {
            let remedy = why.remedy();
            warn!(
                listener, reason, source, destination, identity, %error, remedy,
                "connection refused"
            );
        } else {
            debug!(listener, reason, source, destination, identity, %error, "connection refused again");
        }
    }
}

/// Whom it is about.
struct TurnedAway<'a> {
    listener: &'a str,
    /// Who has connected, which is not the client where a header names that.
    peer: Option<SocketAddr>,
    client: Option<&'a Proxied>,
    since: Instant,
}

impl<'a> TurnedAway<'a> {
    fn at_once(listener: &'a str, peer: Option<SocketAddr>, since: Instant) -> Self {
        Self {
            listener,
            peer,
            client: None,
            since,
        }
    }

    fn of(arrival: &'a Arrival, client: Option<&'a Proxied>) -> Self {
        Self {
            listener: &arrival.listener,
            peer: arrival.peer,
            client,
            since: arrival.since,
        }
    }
}

fn flag(why: Refused) -> ResponseFlag {
    match why {
        Refused::UnknownDestination | Refused::Unserved => ResponseFlag::NoRoute,
        Refused::Overflow => ResponseFlag::Overload,
        _ => ResponseFlag::DownstreamTransportFailure,
    }
}
