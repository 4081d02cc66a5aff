//! A connection's socket, and what is known of its readiness.
//!
//! The poll tells of changes only: that a socket became readable is told once, and is so until a
//! read has found less than it asked for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mio::event::Event;
use mio::{Registry, Token};
use slotmap::{Key, KeyData, SecondaryMap};

use super::shakes::Shake;
use super::sources::Place;
use super::stream::{Got, Stream};
use crate::engine::{ClientKey, ConnectionId, EndKey, ServerKey};

/// A connection of the engine and its socket.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    phase: Phase,
    /// The socket may hold bytes.
    readable: bool,
    /// The peer will send no more: what a read leaves behind is not told again.
    read_closed: bool,
    /// The socket took all that it was given.
    writable: bool,
    /// The turn's end will flush it.
    pub(super) dirty: bool,
    /// Nothing more is to be written, and the socket has not taken that yet.
    shutting: bool,
    /// Of a client.
    load: Option<Load>,
    /// While its handshake is under way.
    shake: Option<Shake>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    /// All was read, or it broke.
    Ended,
}

/// What came of an attempt to read.
pub(super) enum Read {
    /// There is nothing now.
    Nothing,
    Bytes(usize),
    End,
    Failed(io::Error),
}

/// What came of an attempt to write.
pub(super) enum Written {
    Bytes(usize),
    /// The poll will tell when the socket takes more.
    Blocked,
    Failed(io::Error),
}

impl Link {
    /// A client's.
    pub(super) fn accepted(stream: Stream, load: Load) -> Self {
        Self::new(stream, Phase::Open, Some(load))
    }

    /// A client's that has a handshake before it.
    pub(super) fn handshaking(stream: Stream, load: Load, shake: Shake) -> Self {
        Self {
            shake: Some(shake),
            ..Self::new(stream, Phase::Connecting, Some(load))
        }
    }

    /// An endpoint's that is being connected.
    pub(super) fn connecting(stream: Stream) -> Self {
        Self::new(stream, Phase::Connecting, None)
    }

    fn new(stream: Stream, phase: Phase, load: Option<Load>) -> Self {
        Self {
            stream,
            phase,
            readable: false,
            read_closed: false,
            writable: phase == Phase::Open,
            dirty: false,
            shutting: false,
            load,
            shake: None,
        }
    }

    /// Takes note of what the poll tells. True: the socket takes bytes again.
    pub(super) fn note(&mut self, event: &Event) -> bool {
        let broken = event.is_error();
        self.readable |= event.is_readable() || event.is_read_closed() || broken;
        self.read_closed |= event.is_read_closed() || broken;
        let writable = event.is_writable() || broken;
        // A peer that sends no more may still read.
        self.phase != Phase::Connecting && writable && !std::mem::replace(&mut self.writable, true)
    }

    /// All that the peer had to send was read.
    pub(super) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    pub(super) fn is_of_client(&self) -> bool {
        self.load.is_some()
    }

    /// Whether it is a client's whose handshake is under way.
    pub(super) fn is_shaking(&self) -> bool {
        self.shake.is_some()
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// Whether the connection that was begun is there; from then on it can be used.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn establish(&mut self) -> io::Result<bool> {
        let connected = self.stream.connected()?;
        if connected {
            self.phase = Phase::Open;
            self.shake = None;
            self.writable = true;
            // What a handshake has read with its end is not told again.
            self.readable |= self.stream.reads_ahead();
        }
        Ok(connected)
    }

    /// Whether a read may find something.
    pub(super) fn is_readable(&self) -> bool {
        self.readable && self.phase == Phase::Open
    }

    /// Reads what is there, at most as much as `buffer` takes.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        loop {
            match self.stream.read(buffer) {
                Ok(Got { bytes: 0, .. }) => {
                    self.phase = Phase::Ended;
                    return Read::End;
                }
                Ok(got) => {
                    self.readable = got.more || self.read_closed;
                    return Read::Bytes(got.bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Read::Nothing;
                }
                Err(error) => {
                    self.phase = Phase::Ended;
                    return Read::Failed(error);
                }
            }
        }
    }

    /// Writes some of `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Written {
        if !self.writable {
            return Written::Blocked;
        }
        loop {
            match self.stream.write(bytes) {
                Ok(put) if put.bytes > 0 => {
                    self.writable = !put.blocked;
                    return Written::Bytes(put.bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    return Written::Blocked;
                }
                Ok(_) => return Written::Failed(io::ErrorKind::WriteZero.into()),
                Err(error) => return Written::Failed(error),
            }
        }
    }

    /// Writes what was taken before and has not left, as far as the socket takes it.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn push(&mut self) -> io::Result<()> {
        self.writable = self.stream.push()?;
        Ok(())
    }

    /// Nothing more will be written.
    pub(super) fn shut(&mut self) {
        self.shutting = true;
    }

    /// Tells the peer that nothing more will be written, if that is so and was not told yet.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn end_shutdown(&mut self) -> io::Result<()> {
        if self.shutting {
            match self.stream.shutdown() {
                Ok(told) => {
                    self.shutting = !told;
                    self.writable &= told;
                }
                // The peer has reset it, which reading will tell, or has closed it already.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => self.shutting = false,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Drops the socket; its peer takes that for a failure.
    pub(super) fn reset(self) -> io::Result<()> {
        self.stream.abort()
    }

    /// Lets the poll tell of it under another name.
    pub(super) fn renamed(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        // Whatever was to be flushed under the other name was handed over, too.
        self.dirty = false;
        self.stream.reregister(registry, token)
    }

    /// The identity that the peer has proven.
    pub(super) fn principal(&self) -> Option<String> {
        self.stream.principal()
    }

    /// Tells what went wrong, if the connection is encrypted and that may be why; then it is returned, for people.
    pub(super) fn report(&mut self, error: &io::Error) -> Option<String> {
        self.stream.report(error)
    }
}

/// A connection that nobody serves any more, on its way to its end: a client that was sent its last
/// answers may read them until it closes its side. A socket that is closed with unread bytes of the
/// client resets the connection and takes with it what the client has not read.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: Stream,
    wait: Wait,
    until: Instant,
    _load: Option<Load>,
}

/// What it is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// What was taken for the peer has to leave, and then it is over.
    Sent,
    /// The same, and then the peer is told that there is no more.
    Told,
    /// The peer closes its side.
    Closed,
}

impl Lingering {
    /// `None`: all is said.
    pub(super) fn client(mut link: Link, until: Instant) -> Option<Self> {
        let wait = match link.phase {
            Phase::Open => match link.stream.shutdown() {
                Ok(true) => Wait::Closed,
                Ok(false) => Wait::Told,
                Err(_) => return None,
            },
            // It has closed its side already.
            Phase::Ended if link.stream.leave() => Wait::Sent,
            Phase::Ended | Phase::Connecting => return None,
        };
        Some(Self::new(link.stream, wait, until, link.load))
    }

    /// A client of which the handshake failed, and which was told why. `None`: it is gone.
    pub(super) fn refused(link: Link, until: Instant) -> Option<Self> {
        let mut stream = link.stream.bare();
        stream.shutdown().ok()?;
        Some(Self::new(stream, Wait::Closed, until, link.load))
    }

    /// One that was nobody's, and was told why. `None`: it is gone.
    pub(super) fn stranger(mut stream: Stream, load: Load, until: Instant) -> Option<Self> {
        stream.shutdown().ok()?;
        Some(Self::new(stream, Wait::Closed, until, Some(load)))
    }

    /// `None`: all has left already.
    pub(super) fn server(mut link: Link, until: Instant) -> Option<Self> {
        let lingers = link.phase == Phase::Open && link.stream.leave();
        lingers.then(|| Self::new(link.stream, Wait::Sent, until, None))
    }

    fn new(stream: Stream, wait: Wait, until: Instant, load: Option<Load>) -> Self {
        Self {
            stream,
            wait,
            until,
            _load: load,
        }
    }

    /// Whether it has been there for too long.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }

    /// Drops what the peer still sends.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        match self.wait {
            Wait::Sent if !matches!(self.stream.push(), Ok(false)) => return Read::End,
            Wait::Told => match self.stream.shutdown() {
                Ok(true) => self.wait = Wait::Closed,
                Ok(false) => {}
                Err(error) => return Read::Failed(error),
            },
            Wait::Sent | Wait::Closed => {}
        }
        match self.stream.read(buffer) {
            // It has closed its side, and still takes what is there for it.
            Ok(Got { bytes: 0, .. }) if self.wait != Wait::Closed => {
                self.wait = Wait::Sent;
                Read::Nothing
            }
            Ok(Got { bytes: 0, .. }) => Read::End,
            Ok(got) => Read::Bytes(got.bytes),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Read::Bytes(0),
                io::ErrorKind::WouldBlock => Read::Nothing,
                _ => Read::Failed(error),
            },
        }
    }
}

/// A connection that is counted as one of its worker's, and perhaps of its source's; uncounts it in the end.
#[derive(Debug)]
pub(super) struct Load {
    worker: Arc<AtomicUsize>,
    _place: Option<Place>,
}

impl Load {
    /// One that was counted.
    pub(super) fn of(worker: Arc<AtomicUsize>) -> Self {
        Self {
            worker,
            _place: None,
        }
    }

    /// It has a place among those of its source.
    pub(super) fn takes(&mut self, place: Place) {
        self._place = Some(place);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.worker.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connections of a worker.
#[derive(Debug, Default)]
pub(super) struct Links {
    clients: SecondaryMap<ClientKey, Link>,
    servers: SecondaryMap<ServerKey, Link>,
    tunnels: SecondaryMap<EndKey, Link>,
}

impl Links {
    pub(super) fn insert(&mut self, id: ConnectionId, link: Link) {
        match id {
            ConnectionId::Client(key) => self.clients.insert(key, link),
            ConnectionId::Server(key) => self.servers.insert(key, link),
            ConnectionId::Tunnel(key) => self.tunnels.insert(key, link),
        };
    }

    /// Whether this names a client whose handshake is under way.
    pub(super) fn is_shaking(&self, token: Token) -> bool {
        let link = match connection(token) {
            ConnectionId::Client(key) => self.clients.get(key),
            ConnectionId::Server(_) => None,
            ConnectionId::Tunnel(key) => self.tunnels.get(key),
        };
        link.is_some_and(Link::is_shaking)
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Link> {
        match id {
            ConnectionId::Client(key) => self.clients.get_mut(key),
            ConnectionId::Server(key) => self.servers.get_mut(key),
            ConnectionId::Tunnel(key) => self.tunnels.get_mut(key),
        }
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Link> {
        match id {
            ConnectionId::Client(key) => self.clients.remove(key),
            ConnectionId::Server(key) => self.servers.remove(key),
            ConnectionId::Tunnel(key) => self.tunnels.remove(key),
        }
    }

    pub(super) fn has_clients(&self) -> bool {
        !self.clients.is_empty() || !self.tunnels.is_empty()
    }
}

/// The name of a connection in the poll: version, index (below 2^30, as each has a file
/// descriptor), and which kind it is.
pub(super) fn token(id: ConnectionId) -> Token {
    let (key, kind) = match id {
        ConnectionId::Client(key) => (key.data(), 0),
        ConnectionId::Server(key) => (key.data(), 1),
        ConnectionId::Tunnel(key) => (key.data(), 2),
    };
    let key = key.as_ffi();
    let name = key & VERSION | (key << KIND) & !VERSION | kind;
    Token(usize::try_from(name).unwrap_or(usize::MAX))
}

/// The connection of this name, which may not be there any more.
pub(super) fn connection(Token(name): Token) -> ConnectionId {
    let name = name as u64;
    let key = KeyData::from_ffi(name & VERSION | (name & !VERSION) >> KIND);
    match name & ((1 << KIND) - 1) {
        0 => ConnectionId::Client(key.into()),
        1 => ConnectionId::Server(key.into()),
        _ => ConnectionId::Tunnel(key.into()),
    }
}

/// The name of a listening socket: no connection is of its kind.
pub(super) fn listening_token(number: u32) -> Token {
    let name = u64::from(number) << 32 | LISTENING;
    Token(usize::try_from(name).unwrap_or(usize::MAX))
}

/// Whether a listening socket has this name.
pub(super) fn is_listening(Token(name): Token) -> bool {
    name as u64 & !VERSION == LISTENING
}

/// Bits that tell which kind a connection is.
const KIND: u32 = 2;

/// The kind that no connection is of.
const LISTENING: u64 = 3;

/// The half of a key's number that tells those of one index apart.
const VERSION: u64 = 0xffff_ffff_0000_0000;

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn a_token_names_one_connection() {
        let mut clients = SlotMap::<ClientKey, ()>::with_key();
        let mut servers = SlotMap::<ServerKey, ()>::with_key();
        let mut tunnels = SlotMap::<EndKey, ()>::with_key();
        let mut seen = std::collections::HashSet::new();
        for i in 0..100 {
            let client = clients.insert(());
            for id in [
                ConnectionId::Client(client),
                ConnectionId::Server(servers.insert(())),
                ConnectionId::Tunnel(tunnels.insert(())),
            ] {
                assert_eq!(connection(token(id)), id);
                assert!(seen.insert(token(id)));
                assert!(!is_listening(token(id)));
            }
            assert!(is_listening(listening_token(i)));
            assert!(seen.insert(listening_token(i)));
            if i % 3 == 0 {
                clients.remove(client);
            }
        }
    }
}
