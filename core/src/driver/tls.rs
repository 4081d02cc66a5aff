//! TLS between a socket and the engine: a state machine that is given what the socket has and gives
//! what the socket takes.
//!
//! What was taken from the engine has left as far as the engine knows. It may still wait here for
//! the socket, at most one write: nothing more is taken before, and a connection that is let go
//! stays until it is gone.

mod refused;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use meltemi_tls::principal;
use rustls::Connection;
use rustls::server::Accepted as Hello;

pub(super) use self::refused::Refused;
use super::stream::{Got, Put, Stream};
use crate::config::Address;
use crate::tls::{Failure, Failures, NotGreeted, Side, Tls, ToClients, Unavailable};

/// Taken from the engine at once.
const MOST_TAKEN: usize = 64 * 1024;

/// A session on its socket.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: Stream,
    session: Session,
}

/// A session with a peer, still without a socket.
#[derive(Debug)]
pub(super) struct Session {
    state: Connection,
    failures: Arc<Failures>,
    peer: Peer,
    /// The socket is connected.
    begun: bool,
    /// The peer has said something.
    heard: bool,
}

/// Who is at the other end, for people.
#[derive(Debug)]
enum Peer {
    Endpoint(Address),
    /// Without its port: the same client is told of once. None on a Unix socket.
    Client(Option<IpAddr>),
}

impl Peer {
    fn of_client(address: Option<IpAddr>) -> Self {
        Self::Client(address.map(|address| address.to_canonical()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(address) => address.fmt(f),
            Self::Client(Some(address)) => address.fmt(f),
            Self::Client(None) => f.write_str("a Unix socket"),
        }
    }
}

impl Session {
    /// One that can begin, with an endpoint.
    ///
    /// # Errors
    /// What it needs is missing or broken, which was counted and told.
    pub(super) fn to(tls: &Tls, endpoint: &Address) -> io::Result<Self> {
        let state = tls.connect(endpoint.ip()).map(Connection::Client);
        Self::new(tls, state, Peer::Endpoint(endpoint.clone()))
    }

    /// One that can begin, with a client that has connected.
    ///
    /// # Errors
    /// As [`Self::to`].
    pub(super) fn from_client(tls: &Tls<ToClients>, client: Option<IpAddr>) -> io::Result<Self> {
        let state = tls.accept().map(Connection::Server);
        Self::new(tls, state, Peer::of_client(client))
    }

    /// One with a client of which the first message was read, and not answered yet.
    ///
    /// # Errors
    /// What it needs is missing or broken, or not what the client can speak.
    pub(super) fn greeted(
        tls: &Tls<ToClients>,
        hello: Hello,
        client: Option<IpAddr>,
    ) -> Result<Self, Refused> {
        let state = tls.greeted(hello).map_err(|reason| match reason {
            NotGreeted::Unavailable(reason) => Refused::unavailable(reason),
            NotGreeted::Refused(refused) => Refused::from(*refused),
        })?;
        Ok(Self {
            state: Connection::Server(state),
            failures: Arc::clone(tls.failures()),
            peer: Peer::of_client(client),
            begun: true,
            heard: true,
        })
    }

    fn new<S: Side>(
        tls: &Tls<S>,
        state: Result<Connection, Unavailable>,
        peer: Peer,
    ) -> io::Result<Self> {
        let failures = tls.failures();
        let state = state.map_err(|reason| {
            let error = io::Error::other(reason);
            io::Error::other(failures.tell(&peer.to_string(), (Failure::Unavailable, &error)))
        })?;
        Ok(Self {
            begun: matches!(peer, Peer::Client(_)),
            state,
            failures: Arc::clone(failures),
            peer,
            heard: false,
        })
    }

    pub(super) fn over(self, socket: Stream) -> TlsStream {
        TlsStream {
            socket,
            session: self,
        }
    }

    fn tell(&self, failure: Failure, error: &io::Error) -> String {
        self.failures.tell(&self.peer.to_string(), (failure, error))
    }

    /// Where a client comes and goes without a word, as those do that only look whether a port is open,
    /// nothing went wrong.
    fn is_to_tell(&self, error: &io::Error) -> bool {
        let is_client = matches!(self.peer, Peer::Client(_));
        let is_closed = matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::QuotaExceeded
        );
        self.heard || !is_client || is_closed
    }
}

impl TlsStream {
    pub(super) fn socket(&mut self) -> &mut Stream {
        &mut self.socket
    }

    pub(super) fn into_socket(self) -> Stream {
        self.socket
    }

    /// Of a client that has shown a certificate, which was verified: no other is let in.
    pub(super) fn principal(&self) -> Option<String> {
        match &self.session.state {
            Connection::Server(state) => principal(state.peer_certificates()?.first()?),
            Connection::Client(_) => None,
        }
    }

    /// Whether the handshake is done, which goes on as far as it can.
    pub(super) fn connected(&mut self) -> io::Result<bool> {
        if !self.session.begun {
            self.session.begun = self.socket.connected()?;
        }
        while self.session.begun {
            let blocked = !self.push()?;
            if !self.session.state.is_handshaking() {
                return Ok(!blocked);
            }
            match self.receive() {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Fills the buffer as far as there is something: less than all of it is all that there is.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        let mut filled = 0;
        let ended = loop {
            let rest = buffer.get_mut(filled..).unwrap_or_default();
            match self.session.state.reader().read(rest) {
                Ok(0) => break Ok(()),
                Ok(n) => {
                    filled += n;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => break Err(error),
            }
            match self.receive() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && filled > 0 => {
                    return Ok(Got {
                        bytes: filled,
                        more: false,
                    });
                }
                Err(error) => break Err(error),
            }
        };
        match ended {
            // The buffer is full, or the end comes behind these bytes.
            _ if filled > 0 => Ok(Got {
                bytes: filled,
                more: true,
            }),
            Ok(()) => Ok(Got {
                bytes: 0,
                more: false,
            }),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<Put> {
        if !self.push()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = bytes.get(..MOST_TAKEN).unwrap_or(bytes);
        let bytes = self.session.state.writer().write(taken)?;
        let blocked = !self.push()?;
        Ok(Put { bytes, blocked })
    }

    /// Writes what is encrypted. False: the socket does not take all of it.
    pub(super) fn push(&mut self) -> io::Result<bool> {
        while self.session.state.wants_write() {
            match self.session.state.write_tls(&mut Wire(&mut self.socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Takes in what the socket has. 0: the peer closed it.
    fn receive(&mut self) -> io::Result<usize> {
        let read = loop {
            match self.session.state.read_tls(&mut Wire(&mut self.socket)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.session.heard |= matches!(read, Ok(1..));
        // Also where nothing came: a session that failed says so each time.
        let processed = self.session.state.process_new_packets();
        // An alert that says why, or what the peer asked to be told. Nothing hangs on it.
        let _ = self.push();
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        read
    }

    pub(super) fn shutdown(&mut self) -> io::Result<bool> {
        self.session.state.send_close_notify();
        match self.push()? {
            true => self.socket.shutdown(),
            false => Ok(false),
        }
    }

    /// True: bytes that were taken, or the farewell, still wait for the socket.
    pub(super) fn leave(&mut self) -> bool {
        if self.session.state.is_handshaking() {
            return false;
        }
        self.session.state.send_close_notify();
        matches!(self.push(), Ok(false))
    }

    /// Counts and tells what went wrong, and returns it. Where the socket itself could not be connected, that has
    /// nothing to do with TLS.
    pub(super) fn report(&mut self, error: &io::Error) -> Option<String> {
        if !self.session.begun {
            return None;
        }
        if let Some(failure) = Failure::of(error) {
            return Some(self.session.tell(failure, error));
        }
        // A peer that refuses says why before it closes: what cannot be written hides that.
        if let Err(said) = self.receive()
            && let Some(failure) = Failure::of(&said)
        {
            return Some(self.session.tell(failure, &said));
        }
        let is_to_tell = self.session.state.is_handshaking() && self.session.is_to_tell(error);
        is_to_tell.then(|| self.session.tell(Failure::of_handshake(error), error))
    }
}

/// The socket as `rustls` reads and writes it.
pub(super) struct Wire<'s>(pub(super) &'s mut Stream);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0 {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
            // There is no TLS in TLS.
            Stream::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0 {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self.0 {
            Stream::Tcp(stream) => stream.write_vectored(bytes),
            Stream::Unix(stream) => stream.write_vectored(bytes),
            Stream::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
