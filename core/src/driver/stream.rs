//! A connected socket of any kind.

use std::io;
use std::net::{IpAddr, Shutdown};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{SockRef, TcpKeepalive};

use super::tls::{Session, TlsStream};
use crate::config::{Address, Dialled, Keepalive};
use crate::tls::{Tls, ToClients};

/// A socket that blocks nobody.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Either of them, and what is encrypted on it.
    Tls(Box<TlsStream>),
}

/// An accepted socket on its way to the worker that will serve it.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How an endpoint is connected to.
pub(super) struct Way {
    pub(super) keepalive: Option<Keepalive>,
    /// `None`: in plaintext.
    pub(super) tls: Option<Arc<Tls>>,
}

/// As the standard library reads a socket, which tells of an interruption, too.
fn received(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (bytes, _) = recv(socket, buffer, RecvFlags::empty())?;
    Ok(bytes)
}

/// As the standard library writes one: a peer that is gone is an error, and no signal.
fn sent(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(socket, bytes, SendFlags::NOSIGNAL)?)
}

/// What a read brought.
pub(super) struct Got {
    /// 0 is the end.
    pub(super) bytes: usize,
    /// The next read may find more without being told.
    pub(super) more: bool,
}

/// What a write took.
pub(super) struct Put {
    pub(super) bytes: usize,
    /// The poll tells when it takes more.
    pub(super) blocked: bool,
}

impl Stream {
    /// Begins to connect to an endpoint. The socket is writable when it is connected, or when it
    /// failed to; see [`Self::connected`].
    pub(super) fn connect(address: &Address, way: &Way) -> io::Result<Self> {
        // What is needed to encrypt is there first, or nothing is dialled.
        let session = way.tls.as_ref();
        let session = session.map(|tls| Session::to(tls, address)).transpose()?;
        let stream = match address.dialled() {
            Dialled::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                if let Some(keepalive) = way.keepalive {
                    SockRef::from(&stream).set_tcp_keepalive(&probes(keepalive))?;
                }
                Self::Tcp(stream)
            }
            Dialled::Unix(path) => UnixStream::connect(path).map(Self::Unix)?,
        };
        Ok(match session {
            Some(session) => Self::Tls(Box::new(session.over(stream))),
            None => stream,
        })
    }

    /// What a client has connected with, to be encrypted before anything more is read of it.
    ///
    /// # Errors
    /// What is needed for that is missing or broken.
    pub(super) fn encrypted(
        accepted: Self,
        peer: Option<IpAddr>,
        tls: &Tls<ToClients>,
    ) -> io::Result<Self> {
        let session = Session::from_client(tls, peer)?;
        Ok(Self::Tls(Box::new(session.over(accepted))))
    }

    /// Whether the connection that was begun is there, with all that has to be said on it first.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn connected(&mut self) -> io::Result<bool> {
        let (error, peer) = match self {
            Self::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Self::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Self::Tls(stream) => return stream.connected(),
        };
        match (error, peer) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
        }
    }

    /// Lets the poll of this registry tell, under this name, each time that the socket becomes
    /// readable or writable.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.register(registry, token, both),
            Self::Unix(stream) => stream.register(registry, token, both),
            Self::Tls(stream) => stream.socket().register(registry, token),
        }
    }

    /// The poll tells nothing more of it.
    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(registry),
            Self::Unix(stream) => stream.deregister(registry),
            Self::Tls(stream) => stream.socket().deregister(registry),
        }
    }

    /// The same under another name.
    pub(super) fn reregister(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.reregister(registry, token, both),
            Self::Unix(stream) => stream.reregister(registry, token, both),
            Self::Tls(stream) => stream.socket().reregister(registry, token),
        }
    }

    /// Drops the socket so that its peer takes it for a failure, where it can: nothing that was written
    /// and has not left does.
    pub(super) fn abort(self) -> io::Result<()> {
        match self.bare() {
            Self::Tcp(stream) => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            Self::Unix(_) | Self::Tls(_) => Ok(()),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        let bytes = match self {
            Self::Tcp(stream) => received(stream, buffer)?,
            Self::Unix(stream) => received(stream, buffer)?,
            Self::Tls(stream) => return stream.read(buffer),
        };
        // Less than was asked for: there is no more, and what comes will be told.
        let more = bytes == buffer.len();
        Ok(Got { bytes, more })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<Put> {
        let bytes = match self {
            Self::Tcp(stream) => sent(stream, bytes)?,
            Self::Unix(stream) => sent(stream, bytes)?,
            Self::Tls(stream) => return stream.write(bytes),
        };
        let blocked = false;
        Ok(Put { bytes, blocked })
    }

    /// Writes what was taken and has not left. False: not all of it.
    pub(super) fn push(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(true),
            Self::Tls(stream) => stream.push(),
        }
    }

    /// Whether it may hold what its socket has given already.
    pub(super) fn reads_ahead(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Says that nothing more will be written. False: the socket does not take that yet; say it again.
    pub(super) fn shutdown(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write)?,
            Self::Unix(stream) => stream.shutdown(Shutdown::Write)?,
            Self::Tls(stream) => return stream.shutdown(),
        }
        Ok(true)
    }

    /// The identity that the peer has proven.
    pub(super) fn principal(&self) -> Option<String> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::Tls(stream) => stream.principal(),
        }
    }

    /// Without what is encrypted on it.
    pub(super) fn bare(self) -> Self {
        match self {
            Self::Tls(stream) => stream.into_socket(),
            bare => bare,
        }
    }

    /// Says farewell where that is custom. True: it has not all left yet.
    pub(super) fn leave(&mut self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(stream) => stream.leave(),
        }
    }

    /// Tells the owner of the settings what went wrong, if they may be why; then it is returned, for people.
    pub(super) fn report(&mut self, error: &io::Error) -> Option<String> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::Tls(stream) => stream.report(error),
        }
    }
}

impl From<Accepted> for Stream {
    fn from(accepted: Accepted) -> Self {
        match accepted {
            Accepted::Tcp(stream) => Self::Tcp(stream),
            Accepted::Unix(stream) => Self::Unix(stream),
        }
    }
}

fn probes(keepalive: Keepalive) -> TcpKeepalive {
    let mut probes = TcpKeepalive::new();
    if let Some(time) = keepalive.time {
        probes = probes.with_time(time);
    }
    if let Some(interval) = keepalive.interval {
        probes = probes.with_interval(interval);
    }
    match keepalive.probes {
        Some(count) => probes.with_retries(count),
        None => probes,
    }
}
