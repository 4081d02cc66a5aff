//! From the sockets to the engine and back.

use std::cmp::Reverse;
use std::io;
use std::time::{Duration, Instant};

use mio::Token;
use mio::event::Event;
use tracing::debug;

use super::link::{Lingering, Link, Load, Read, Written, connection, is_listening, token};
use super::stream::{Stream, Way};
use super::worker::Worker;
use crate::config::Address;
use crate::engine::{ConnectionId, Relay, Why};
use crate::telemetry::ResponseFlag;

/// How long a client that was sent a last answer may take to close its side, and a server to take what
/// was left for it.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The same where both sides of a tunnel have said all: then all of it is to arrive.
const LAST_BYTES: Duration = Duration::from_secs(30);

/// So many bytes are worth a look whether they may leave from where they were read: fewer are copied as fast.
const WORTH_A_RELAY: usize = 4096;

impl Worker {
    /// The poll tells something of a connection.
    pub(super) fn ready(&mut self, event: &Event) {
        let id = connection(event.token());
        let Some(link) = self.links.get_mut(id) else {
            if !self.arrival_ready(event) {
                self.discard(event.token());
            }
            return;
        };
        let unblocked = link.note(event);
        if link.is_connecting() {
            return self.establish(id);
        }
        if unblocked {
            if let Err(error) = link.push() {
                return self.broke(id, &error);
            }
            self.flush(id);
            self.end_shutdown(id);
        }
        self.receive(id);
    }

    /// A connection that was not read to its end in the turn before.
    pub(super) fn go_on(&mut self, token: Token) {
        let id = connection(token);
        match self.links.get_mut(id) {
            Some(_) => self.receive(id),
            None => self.discard(token),
        }
    }

    /// Reads until there is no more, at most one buffer: then it is the turn of others.
    fn receive(&mut self, id: ConnectionId) {
        while let Some(link) = self.links.get_mut(id)
            && link.is_readable()
            && self.engine.wants_read(id)
        {
            let now = self.turn.now();
            match link.read(&mut self.scratch) {
                Read::Nothing => return,
                Read::Bytes(n) => {
                    let is_message = !matches!(id, ConnectionId::Tunnel(_));
                    match is_message && n < WORTH_A_RELAY {
                        true => {
                            let bytes = self.scratch.get(..n).unwrap_or_default();
                            self.engine.received(id, bytes, now);
                        }
                        false => self.relay(id, n),
                    }
                    self.perform_all();
                    if self.turn.read(n) {
                        self.flush_all();
                        self.turn.begin();
                    }
                    if n == self.scratch.len() {
                        return self.again.push(token(id));
                    }
                }
                Read::End => {
                    self.engine.end_of_file(id, now);
                    return self.perform_all();
                }
                Read::Failed(error) => return self.broke(id, &error),
            }
        }
    }

    /// So many bytes have been read. Those of a large body leave from where they are, as far as the
    /// socket of who gets them takes them.
    fn relay(&mut self, id: ConnectionId, n: usize) {
        let now = self.turn.now();
        let Some(Relay { to, most }) = self.engine.relay(id) else {
            let bytes = self.scratch.get(..n).unwrap_or_default();
            return self.engine.received(id, bytes, now);
        };
        let body = self.scratch.get(..n.min(most)).unwrap_or_default();
        let gone = match self.links.get_mut(to).map(|link| link.write(body)) {
            Some(Written::Bytes(gone)) => gone,
            Some(Written::Failed(error)) => {
                self.broke(to, &error);
                0
            }
            Some(Written::Blocked) | None => 0,
        };
        let bytes = self.scratch.get(..n).unwrap_or_default();
        self.engine.relayed(id, bytes, gone, now);
    }

    /// The engine wants to read it again.
    pub(super) fn resume(&mut self, id: ConnectionId) {
        // One that has nothing to read will be told of.
        if self
            .links
            .get_mut(id)
            .is_some_and(|link| link.is_readable())
        {
            self.again.push(token(id));
        }
    }

    /// Writes what the connections have to send that were written to in this turn.
    pub(super) fn flush_all(&mut self) {
        while let Some(id) = self.turn.next_dirty() {
            self.flush(id);
        }
    }

    /// Writes what the connection has to send, as far as its socket takes it.
    fn flush(&mut self, id: ConnectionId) {
        while let Some(link) = self.links.get_mut(id) {
            link.dirty = false;
            let unsent = self.engine.unsent(id);
            if unsent.is_empty() {
                return;
            }
            let now = self.turn.now();
            match link.write(unsent) {
                Written::Bytes(n) => self.engine.sent(id, n, now),
                Written::Blocked => return,
                Written::Failed(error) => return self.broke(id, &error),
            }
            self.perform_all();
        }
    }

    pub(super) fn broke(&mut self, id: ConnectionId, error: &io::Error) {
        debug!(?id, %error, "a connection broke");
        if let Some(link) = self.links.get_mut(id) {
            // Whatever became of its requests is logged with them.
            let _ = link.report(error);
        }
        self.engine.failed(id, self.turn.now());
        self.perform_all();
    }

    /// A client has come.
    pub(super) fn link_client(
        &mut self,
        id: ConnectionId,
        mut stream: Stream,
        load: Load,
    ) -> io::Result<()> {
        stream.register(self.poll.registry(), token(id))?;
        self.links.insert(id, Link::accepted(stream, load));
        self.engine.connected(id, self.turn.now());
        Ok(())
    }

    /// A client has come that has a handshake before it.
    pub(super) fn shake_hands(
        &mut self,
        id: ConnectionId,
        mut stream: Stream,
        (load, patience): (Load, Duration),
    ) -> io::Result<()> {
        stream.register(self.poll.registry(), token(id))?;
        let shake = self.shakes.begin(token(id));
        self.links
            .insert(id, Link::handshaking(stream, load, shake));
        self.limit(id, patience);
        self.bound_handshakes();
        Ok(())
    }

    /// Where more handshakes are under way than may be the oldest is given up.
    pub(super) fn bound_handshakes(&mut self) {
        let (links, arrivals) = (&self.links, &self.arrivals);
        let is_shaking = |token| links.is_shaking(token) || arrivals.is_shaking(token);
        let Some(oldest) = self.shakes.too_many(is_shaking) else {
            return;
        };
        let kind = io::ErrorKind::QuotaExceeded;
        let error = io::Error::new(kind, "too many handshakes are under way");
        if !self.give_up_hello(oldest, &error) {
            self.connect_failed(connection(oldest), &error);
        }
    }

    /// Begins to connect to an endpoint. What the engine asks for where that fails at once is up to the
    /// caller: many may fail one after the other.
    pub(super) fn connect(
        &mut self,
        id: ConnectionId,
        (address, way): (&Address, Way),
        timeout: Duration,
    ) {
        let begun = Stream::connect(address, &way).and_then(|mut stream| {
            stream.register(self.poll.registry(), token(id))?;
            Ok(stream)
        });
        match begun {
            Ok(stream) => {
                self.links.insert(id, Link::connecting(stream));
                self.limit(id, timeout);
            }
            Err(error) => self.not_connected(id, &error),
        }
    }

    fn establish(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        match link.establish() {
            Ok(false) => {}
            Ok(true) => {
                if let Some(principal) = link.principal() {
                    self.engine.identified(id, &principal);
                }
                self.engine.connected(id, self.turn.now());
                self.perform_all();
                self.flush(id);
                self.receive(id);
            }
            Err(error) => self.connect_failed(id, &error),
        }
    }

    fn connect_failed(&mut self, id: ConnectionId, error: &io::Error) {
        self.not_connected(id, error);
        self.perform_all();
    }

    fn not_connected(&mut self, id: ConnectionId, error: &io::Error) {
        debug!(?id, %error, "cannot connect");
        let now = self.turn.now();
        let Some(mut link) = self.links.remove(id) else {
            return self.engine.connect_failed(id, now);
        };
        let detail = link.report(error);
        if !link.is_of_client() {
            return self.engine.connect_failed(id, now);
        }
        self.linger((token(id), LINGER), |until| Lingering::refused(link, until));
        match detail {
            Some(detail) => self.refused(id, &detail),
            None => self.engine.connect_failed(id, now),
        }
    }

    /// A client was refused before it could be served: the engine has no more of it than the line that says so.
    pub(super) fn refused(&mut self, id: ConnectionId, detail: &str) {
        let flag = ResponseFlag::DownstreamTransportFailure;
        self.engine
            .refused(id, Why { flag, detail }, self.turn.now());
    }

    /// The engine let go of the connection.
    pub(super) fn close(&mut self, id: ConnectionId) {
        let Some(link) = self.links.remove(id) else {
            return;
        };
        let long = match id {
            ConnectionId::Tunnel(_) if link.has_ended() => LAST_BYTES,
            _ => LINGER,
        };
        self.linger((token(id), long), |until| match id {
            ConnectionId::Client(_) | ConnectionId::Tunnel(_) => Lingering::client(link, until),
            ConnectionId::Server(_) => Lingering::server(link, until),
        });
    }

    pub(super) fn linger(
        &mut self,
        (token, long): (Token, Duration),
        how: impl FnOnce(Instant) -> Option<Lingering>,
    ) {
        if let Some(lingering) = how(self.turn.now() + long) {
            self.lingering.insert(token, lingering);
            self.limit_token(token, long);
            // What it has sent already is not told again.
            self.again.push(token);
        }
    }

    /// Drops what a peer still sends that the engine let go, until it closes its side or has all that it
    /// was sent.
    fn discard(&mut self, token: Token) {
        let Some(lingering) = self.lingering.get_mut(&token) else {
            return;
        };
        match lingering.read(&mut self.scratch) {
            Read::Nothing => {}
            Read::Bytes(_) => self.again.push(token),
            Read::End | Read::Failed(_) => {
                self.lingering.remove(&token);
            }
        }
    }

    fn limit(&mut self, id: ConnectionId, after: Duration) {
        self.limit_token(token(id), after);
    }

    pub(super) fn limit_token(&mut self, token: Token, after: Duration) {
        let at = self.turn.now() + after;
        self.limits.push(Reverse((at, token)));
    }

    /// Gives up what took too long.
    pub(super) fn pass_limits(&mut self) {
        let now = self.turn.now();
        while let Some(&Reverse((at, token))) = self.limits.peek()
            && at <= now
        {
            self.limits.pop();
            if self.lingering.get(&token).is_some_and(|it| it.is_over(now)) {
                self.lingering.remove(&token);
            }
            if is_listening(token) {
                self.accept_again(token);
                continue;
            }
            self.arrival_is_late(token);
            let id = connection(token);
            let link = self.links.get_mut(id);
            if link.is_some_and(|link| link.is_connecting()) {
                self.connect_failed(id, &io::ErrorKind::TimedOut.into());
            }
        }
    }
}
