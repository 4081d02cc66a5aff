//! Clients of an address at which several listeners are, until their first message says whose they are.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::Token;
use rustls::server::{Accepted as Hello, Acceptor};
use tracing::warn;

use super::super::link::{Lingering, Load};
use super::super::listeners::Origin;
use super::super::shakes::Shake;
use super::super::stream::{Accepted, Stream};
use super::super::tls::{Refused, Session, Wire};
use super::super::transfer::LINGER;
use super::super::worker::Worker;
use super::arrival::{Arrival, Stage};
use super::doors::Behind;
use super::{ArrivalKey, named, token};
use crate::engine::{Stranger, Why};
use crate::telemetry::ResponseFlag;

/// What was read of a client's first message.
pub(super) struct Greeting {
    acceptor: Acceptor,
    origin: Arc<Origin>,
    /// It has said something.
    heard: bool,
    _shake: Shake,
}

/// Without what was read.
impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Greeting").field(&self.origin).finish()
    }
}

/// What is known of a client's first message.
enum Heard {
    /// The poll tells when there is more.
    Part,
    Whole(Box<Hello>),
    /// It went without a word, as those do that only look whether a port is open.
    Nothing,
    Wrong(Refused),
}

impl Greeting {
    /// Reads on. Of what is not TLS, or too long, no more is kept than a message may have.
    fn read(&mut self, stream: &mut Stream) -> Heard {
        loop {
            match self.acceptor.read_tls(&mut Wire(stream)) {
                Ok(0) if !self.heard => return Heard::Nothing,
                Ok(0) => return Heard::Wrong(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(_) => self.heard = true,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => return Heard::Part,
                    _ if !self.heard => return Heard::Nothing,
                    _ => return Heard::Wrong(error.into()),
                },
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(hello)) => return Heard::Whole(Box::new(hello)),
                Err(refused) => return Heard::Wrong(refused.into()),
            }
        }
    }
}

impl Worker {
    /// A client has come that says first whom it asks for.
    pub(in super::super) fn greet(
        &mut self,
        origin: &Arc<Origin>,
        (socket, peer): (Accepted, Option<SocketAddr>),
        load: Load,
    ) {
        let Some(first) = self.arrivals.doors.first(origin) else {
            return;
        };
        if self.is_draining() || !self.engine.has_room(self.arrivals.all.len()) {
            return;
        }
        let patience = first.tls.settings().side.patience;
        let now = self.turn.now();
        let shakes = &mut self.shakes;
        let key = self.arrivals.all.insert_with_key(|key| Arrival {
            stream: Stream::from(socket),
            listener: Arc::clone(&first.listener),
            load,
            peer,
            since: now,
            stage: Stage::Hello(Box::new(Greeting {
                acceptor: Acceptor::default(),
                origin: Arc::clone(origin),
                heard: false,
                _shake: shakes.begin(token(key)),
            })),
            until: now + patience,
        });
        self.watch_arrival(key, patience);
        self.bound_handshakes();
    }

    pub(super) fn read_hello(&mut self, key: ArrivalKey) {
        let Some(arrival) = self.arrivals.all.get_mut(key) else {
            return;
        };
        let Stage::Hello(greeting) = &mut arrival.stage else {
            return;
        };
        match greeting.read(&mut arrival.stream) {
            Heard::Part => {}
            Heard::Nothing => drop(self.arrivals.remove(key)),
            Heard::Wrong(refused) => self.refuse_hello(key, None, refused),
            Heard::Whole(hello) => {
                let origin = Arc::clone(&greeting.origin);
                self.lead(key, &origin, *hello);
            }
        }
    }

    /// Looks for the listener that the client asks for.
    fn lead(&mut self, key: ArrivalKey, origin: &Origin, hello: Hello) {
        let asked = hello.client_hello().server_name().map(str::to_owned);
        let behind = self.arrivals.doors.best(origin, asked.as_deref());
        let Some(behind) = behind.cloned() else {
            return self.refuse_hello(key, None, Refused::unknown_name(asked.as_deref()));
        };
        let peer = self.arrivals.all.get(key).and_then(|it| it.peer);
        match Session::greeted(&behind.tls, hello, peer.map(|it| it.ip())) {
            Ok(session) => {
                if let Some(arrival) = self.arrivals.remove(key) {
                    self.admit_to(arrival, &behind.listener, session);
                }
            }
            Err(refused) => self.refuse_hello(key, Some(behind), refused),
        }
    }

    /// From here on it is a client like any other of the listener, in the middle of its handshake.
    fn admit_to(&mut self, mut arrival: Arrival, listener: &Arc<str>, session: Session) {
        let (peer, until, now) = (arrival.peer, arrival.until, self.turn.now());
        if !self.has_place(listener, peer, &mut arrival.load) {
            return;
        }
        let Some(id) = self.engine.accept(listener, peer, now) else {
            return;
        };
        let patience = until.saturating_duration_since(now);
        let released = arrival.released(self.poll.registry());
        let linked = released.and_then(|(stream, load)| {
            let stream = Stream::Tls(Box::new(session.over(stream)));
            self.shake_hands(id, stream, (load, patience))
        });
        if let Err(error) = linked {
            warn!(%listener, %error, "cannot serve an accepted connection");
            self.engine.failed(id, now);
        }
        self.perform_all();
    }

    /// Its time is over before it has said whose it is.
    pub(super) fn hello_is_late(&mut self, key: ArrivalKey) {
        let error = io::Error::from(io::ErrorKind::TimedOut);
        self.refuse_hello(key, None, Refused::from(error));
    }

    /// Others come, and there is no room for all. False: it is none of these.
    pub(in super::super) fn give_up_hello(&mut self, name: Token, error: &io::Error) -> bool {
        let key = named(name).filter(|_| self.arrivals.is_shaking(name));
        if let Some(key) = key {
            let error = io::Error::new(error.kind(), error.to_string());
            self.refuse_hello(key, None, Refused::from(error));
        }
        key.is_some()
    }

    /// Says why, to the client, in the log, and among the failures of the listener: where it is nobody's, of the first one.
    fn refuse_hello(&mut self, key: ArrivalKey, behind: Option<Behind>, refused: Refused) {
        let Some(mut arrival) = self.arrivals.remove(key) else {
            return;
        };
        let Stage::Hello(greeting) = &arrival.stage else {
            return;
        };
        let first = self.arrivals.doors.first(&greeting.origin);
        let Some(behind) = behind.or_else(|| first.cloned()) else {
            return;
        };
        let detail = refused.tell(behind.tls.failures(), arrival.peer.map(|it| it.ip()));
        refused.answer(&mut arrival.stream);
        let stranger = Stranger {
            service: &behind.listener,
            peer: arrival.peer,
            principal: None,
            since: arrival.since,
        };
        let why = Why {
            flag: ResponseFlag::DownstreamTransportFailure,
            detail: &detail,
        };
        self.engine.turned_away(&stranger, why, self.turn.now());
        let (stream, load) = (arrival.stream, arrival.load);
        self.linger((token(key), LINGER), |until| {
            Lingering::stranger(stream, load, until)
        });
    }
}
