//! A connection's socket, and what is known of its readiness.
//!
//! The poll tells of changes only: that a socket became readable is told once, and is so until a
//! read has found less than it asked for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mio::Token;
use mio::event::Event;
use slotmap::{Key, KeyData, SecondaryMap};

use super::stream::{Got, Stream};
use crate::engine::{ClientKey, ConnectionId, ServerKey};

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
    /// Of a client.
    load: Option<Load>,
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
            load,
        }
    }

    /// Takes note of what the poll tells. True: the socket takes bytes again.
    pub(super) fn note(&mut self, event: &Event) -> bool {
        let broken = event.is_error();
        self.readable |= event.is_readable() || event.is_read_closed() || broken;
        self.read_closed |= event.is_read_closed() || broken;
        let writable = event.is_writable() || broken;
        self.phase == Phase::Open && writable && !std::mem::replace(&mut self.writable, true)
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

    /// Tells what went wrong, if the connection is encrypted and that may be why.
    pub(super) fn report(&mut self, error: &io::Error) {
        self.stream.report(error);
    }
}

/// A client that was sent its last answers: it may read them until it closes its side. A socket
/// that is closed with unread bytes of the client resets the connection and takes with it what the
/// client has not read. Or a server that is yet to be sent what was taken for it.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: Stream,
    /// It is over once all has left.
    until_sent: bool,
    _load: Option<Load>,
}

impl Lingering {
    /// `None`: the client has closed its side already.
    pub(super) fn client(mut link: Link) -> Option<Self> {
        let lingers = link.phase == Phase::Open && link.stream.shutdown().is_ok();
        lingers.then_some(Self {
            stream: link.stream,
            until_sent: false,
            _load: link.load,
        })
    }

    /// `None`: all has left already.
    pub(super) fn server(mut link: Link) -> Option<Self> {
        let lingers = link.phase == Phase::Open && link.stream.leave();
        lingers.then_some(Self {
            stream: link.stream,
            until_sent: true,
            _load: None,
        })
    }

    /// Drops what the peer still sends.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        if self.until_sent && !matches!(self.stream.push(), Ok(false)) {
            return Read::End;
        }
        match self.stream.read(buffer) {
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

/// A connection that the dispatcher counted; uncounts it in the end.
#[derive(Debug)]
pub(super) struct Load(pub(super) Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connections of a worker.
#[derive(Debug, Default)]
pub(super) struct Links {
    clients: SecondaryMap<ClientKey, Link>,
    servers: SecondaryMap<ServerKey, Link>,
}

impl Links {
    pub(super) fn insert(&mut self, id: ConnectionId, link: Link) {
        match id {
            ConnectionId::Client(key) => self.clients.insert(key, link),
            ConnectionId::Server(key) => self.servers.insert(key, link),
        };
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Link> {
        match id {
            ConnectionId::Client(key) => self.clients.get_mut(key),
            ConnectionId::Server(key) => self.servers.get_mut(key),
        }
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Link> {
        match id {
            ConnectionId::Client(key) => self.clients.remove(key),
            ConnectionId::Server(key) => self.servers.remove(key),
        }
    }

    pub(super) fn has_clients(&self) -> bool {
        !self.clients.is_empty()
    }
}

/// The name of a connection in the poll: version, index (below 2^31, as each has a file
/// descriptor), and which of the two it is.
pub(super) fn token(id: ConnectionId) -> Token {
    let (key, kind) = match id {
        ConnectionId::Client(key) => (key.data(), 0),
        ConnectionId::Server(key) => (key.data(), 1),
    };
    let key = key.as_ffi();
    let name = key & VERSION | (key << 1) & !VERSION | kind;
    Token(usize::try_from(name).unwrap_or(usize::MAX))
}

/// The connection of this name, which may not be there any more.
pub(super) fn connection(Token(name): Token) -> ConnectionId {
    let name = name as u64;
    let key = KeyData::from_ffi(name & VERSION | (name & !VERSION) >> 1);
    match name & 1 {
        0 => ConnectionId::Client(key.into()),
        _ => ConnectionId::Server(key.into()),
    }
}

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
        let mut seen = std::collections::HashSet::new();
        for i in 0..100 {
            let client = clients.insert(());
            for id in [
                ConnectionId::Client(client),
                ConnectionId::Server(servers.insert(())),
            ] {
                assert_eq!(connection(token(id)), id);
                assert!(seen.insert(token(id)));
            }
            if i % 3 == 0 {
                clients.remove(client);
            }
        }
    }
}
