//! A connected socket of either kind.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use crate::config::{Address, Keepalive};

/// A socket that blocks nobody.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// An accepted socket on its way to a worker.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Stream {
    /// Begins to connect to an endpoint. The socket is writable when it is connected, or when it
    /// failed to; see [`Self::connected`].
    pub(super) fn connect(address: &Address, keepalive: Option<Keepalive>) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(*address)?;
                stream.set_nodelay(true)?;
                if let Some(keepalive) = keepalive {
                    SockRef::from(&stream).set_tcp_keepalive(&probes(keepalive))?;
                }
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    /// Whether the connection that was begun is there.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn connected(&self) -> io::Result<bool> {
        let (error, peer) = match self {
            Self::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Self::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
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
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    /// Says that nothing more will be written.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl From<Accepted> for Stream {
    fn from(accepted: Accepted) -> Self {
        match accepted {
            Accepted::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream)),
            Accepted::Unix(stream) => Self::Unix(UnixStream::from_std(stream)),
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
