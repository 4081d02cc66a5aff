//! TLS between a socket and the engine: a state machine that is given what the socket has and gives
//! what the socket takes.
//!
//! What was taken from the engine has left as far as the engine knows. It may still wait here for
//! the socket, at most one write: nothing more is taken before, and a connection that is let go
//! stays until it is gone.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConnection;
use tracing::{debug, warn};

use super::stream::{Got, Put, Stream};
use crate::config::Address;
use crate::tls::{Failure, Tls};

/// Taken from the engine at once.
const MOST_TAKEN: usize = 64 * 1024;

/// A session on its socket.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: Stream,
    session: Session,
}

/// A session to an endpoint, still without a socket.
#[derive(Debug)]
pub(super) struct Session {
    state: ClientConnection,
    tls: Arc<Tls>,
    endpoint: Address,
    /// The socket is connected.
    begun: bool,
}

impl Session {
    pub(super) fn over(self, socket: Stream) -> TlsStream {
        TlsStream {
            socket,
            session: self,
        }
    }
}

impl TlsStream {
    /// A session that can begin.
    ///
    /// # Errors
    /// What it needs is missing or broken.
    pub(super) fn session(tls: &Arc<Tls>, endpoint: &Address) -> io::Result<Session> {
        let state = tls.connect(endpoint.ip()).map_err(|reason| {
            let error = io::Error::other(reason);
            tell(tls, endpoint, (Failure::Unavailable, &error));
            error
        })?;
        Ok(Session {
            state,
            tls: Arc::clone(tls),
            endpoint: endpoint.clone(),
            begun: false,
        })
    }

    pub(super) fn socket(&mut self) -> &mut Stream {
        &mut self.socket
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
        let state = &mut self.session.state;
        let read = loop {
            match state.read_tls(&mut Wire(&mut self.socket)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        // Also where nothing came: a session that failed says so each time.
        let processed = state.process_new_packets();
        // An alert that says why, or what the peer asked to be told. Nothing hangs on it.
        let _ = self.push();
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        read
    }

    pub(super) fn shutdown(&mut self) -> io::Result<()> {
        self.session.state.send_close_notify();
        self.push()?;
        self.socket.shutdown()
    }

    /// True: bytes that were taken, or the farewell, still wait for the socket.
    pub(super) fn leave(&mut self) -> bool {
        if self.session.state.is_handshaking() {
            return false;
        }
        self.session.state.send_close_notify();
        matches!(self.push(), Ok(false))
    }

    /// Where the socket itself could not be connected, that has nothing to do with TLS.
    pub(super) fn report(&mut self, error: &io::Error) {
        if !self.session.begun {
            return;
        }
        let (tls, endpoint) = (Arc::clone(&self.session.tls), self.session.endpoint.clone());
        if let Some(failure) = Failure::of(error) {
            return tell(&tls, &endpoint, (failure, error));
        }
        // A server that refuses says why before it closes: what cannot be written hides that.
        if let Err(said) = self.receive()
            && let Some(failure) = Failure::of(&said)
        {
            return tell(&tls, &endpoint, (failure, &said));
        }
        if self.session.state.is_handshaking() {
            let failure = match error.kind() {
                io::ErrorKind::TimedOut => Failure::Timeout,
                _ => Failure::Protocol,
            };
            tell(&tls, &endpoint, (failure, error));
        }
    }
}

/// Counts it, and tells it to people.
fn tell(tls: &Tls, endpoint: &Address, (failure, error): (Failure, &io::Error)) {
    let cluster = tls.cluster();
    let endpoint = endpoint.to_string();
    if tls.failures().add(failure, &endpoint, Instant::now()) {
        let reason = failure.as_str();
        let error = Failure::words(error);
        warn!(
            cluster,
            endpoint, reason, error, "TLS with an endpoint failed"
        );
    } else {
        debug!(cluster, endpoint, %error, "TLS with an endpoint failed again");
    }
}

/// The socket as `rustls` reads and writes it.
struct Wire<'s>(&'s mut Stream);

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
