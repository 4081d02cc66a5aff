//! Accepting connections, which every worker does, and handing each to the worker with the fewest.
//!
//! All workers wait for each listening socket, and of a connection the system tells one of those that
//! have nothing else to do (`EPOLLEXCLUSIVE`): a worker that is busy, or stuck, keeps nobody waiting.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::{Registry, Token};
use rustix::event::epoll::{self, EventData, EventFlags};
use tracing::{debug, warn};

use super::link::{Load, listening_token};
use super::listeners::OpenListener;
use super::worker::{Command, Worker};
use crate::engine::{Stranger, Why};
use crate::telemetry::ResponseFlag;

/// Between two attempts to accept where no file descriptor or memory is left.
const REACCEPT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The listeners that a worker accepts from.
#[derive(Debug, Default)]
pub(super) struct Accepting(HashMap<Token, Entry>);

#[derive(Debug)]
struct Entry {
    listener: Arc<OpenListener>,
    /// How long the next pause is.
    delay: Duration,
    paused: bool,
}

impl Worker {
    /// Accepts from it, too, from now on.
    pub(super) fn listen(&mut self, listener: Arc<OpenListener>) {
        let token = listening_token(listener.number);
        if let Err(error) = watch(self.poll.registry(), &listener, token) {
            return warn!(listener = %listener.origin.listener, %error, "a worker cannot accept connections");
        }
        let entry = Entry {
            listener,
            delay: REACCEPT.0,
            paused: false,
        };
        self.accepting.0.insert(token, entry);
    }

    /// Accepts from it no more.
    pub(super) fn unlisten(&mut self, number: u32) {
        if let Some(entry) = self.accepting.0.remove(&listening_token(number)) {
            entry.unwatch(self.poll.registry());
        }
    }

    /// Accepts from nobody any more.
    pub(super) fn unlisten_all(&mut self) {
        for (_, entry) in self.accepting.0.drain() {
            entry.unwatch(self.poll.registry());
        }
    }

    /// Takes one connection. Where more wait the poll tells so again, which costs no more than asking.
    pub(super) fn accept_from(&mut self, token: Token) {
        let Some(entry) = self.accepting.0.get_mut(&token) else {
            return;
        };
        let (socket, peer) = match entry.listener.listening.accept() {
            Ok(accepted) => accepted,
            // Another worker has taken it, or the client gave up before it was accepted.
            Err(error) if is_of_the_connection(&error) => return,
            Err(error) => return self.pause(token, &error),
        };
        entry.delay = REACCEPT.0;
        entry.listener.count();
        let origin = Arc::clone(&entry.listener.origin);
        let own = self.number();
        match self.crew().count_in(own) {
            Some((number, load)) if number == own => self.accept(&origin, socket, (peer, load)),
            Some((number, load)) => self.crew().tell(
                number,
                Command::Accept {
                    origin,
                    socket,
                    peer,
                    load,
                },
            ),
            None => {}
        }
        self.perform_all();
    }

    /// Out of file descriptors or memory: what waits stays in the backlog, and the poll would tell of it
    /// again and again.
    fn pause(&mut self, token: Token, error: &io::Error) {
        self.process().accept_failed();
        let Some(entry) = self.accepting.0.get_mut(&token) else {
            return;
        };
        let delay = entry.delay;
        entry.unwatch(self.poll.registry());
        entry.paused = true;
        entry.delay = (delay * 2).min(REACCEPT.1);
        warn!(listener = %entry.listener.origin.listener, %error, retry = ?delay, "cannot accept a connection");
        self.limit_token(token, delay);
    }

    /// The pause of this listener is over.
    pub(super) fn accept_again(&mut self, token: Token) {
        let Some(entry) = self.accepting.0.get_mut(&token).filter(|it| it.paused) else {
            return;
        };
        match watch(self.poll.registry(), &entry.listener, token) {
            Ok(()) => entry.paused = false,
            Err(error) => self.pause(token, &error),
        }
    }

    /// Counts a client among those of its source, if its listener bounds that. False: there are as many as may be, and this one
    /// is to go.
    pub(super) fn has_place(
        &mut self,
        listener: &Arc<str>,
        peer: Option<SocketAddr>,
        load: &mut Load,
    ) -> bool {
        let known = self.snapshot.listeners.get(&**listener);
        let most = known.and_then(|it| it.max_connections_per_source);
        let (Some(most), Some(client)) = (most, peer.map(|it| it.ip())) else {
            return true;
        };
        if let Some(place) = self.sources().take(listener, client, most) {
            load.takes(place);
            return true;
        }
        let client = client.to_canonical();
        let detail = format!("max_connections_per_source: {client} has {most} connections");
        debug!(%listener, detail, "connection refused");
        let now = self.turn.now();
        let stranger = Stranger {
            service: listener,
            peer,
            principal: None,
            since: now,
        };
        let why = Why {
            flag: ResponseFlag::Overload,
            detail: &detail,
        };
        self.engine.turned_away(&stranger, why, now);
        false
    }
}

impl Entry {
    fn unwatch(&self, registry: &Registry) {
        if !self.paused {
            // Nothing but a socket that is not watched can be in the way.
            let _ = epoll::delete(registry, &self.listener.listening);
        }
    }
}

fn watch(registry: &Registry, listener: &OpenListener, Token(name): Token) -> io::Result<()> {
    let data = EventData::new_u64(name as u64);
    let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
    Ok(epoll::add(registry, &listener.listening, data, flags)?)
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
            | io::ErrorKind::WouldBlock
    )
}
