//! Listening sockets: how they are opened, and what can be wrong with that.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use mio::net::{TcpListener, UnixListener};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Type};
use tokio::sync::oneshot;

use super::stream::Accepted;
use crate::config::Bind;

/// Connections that the system keeps ready for us; it may allow fewer.
const BACKLOG: i32 = 4096;

/// A listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener}: cannot listen on {bind}: {reason}")]
pub struct ListenError {
    /// `NAMESPACE/GATEWAY/SERVER`.
    pub listener: String,
    /// The address that was asked for.
    pub bind: Bind,
    reason: io::Error,
}

impl ListenError {
    /// Whether it is because this machine has no IPv6 of its own: neither `::1` nor sockets for it.
    pub(super) fn is_without_ipv6(&self) -> bool {
        let no_family = Some(Errno::AFNOSUPPORT.raw_os_error());
        let is_missing = self.reason.kind() == io::ErrorKind::AddrNotAvailable
            || self.reason.raw_os_error() == no_family;
        let is_loopback = |address: &SocketAddr| address.is_ipv6() && address.ip().is_loopback();
        is_missing && matches!(&self.bind, Bind::Tcp(address) if is_loopback(address))
    }
}

/// An open listening socket, which several may accept from. A Unix socket's path goes with it.
#[derive(Debug)]
pub(super) struct Listening {
    socket: Socket,
    bound: Bind,
    /// That it is gone says that the socket is closed.
    _open: oneshot::Sender<Infallible>,
}

/// Tells, as an error, when the socket is closed.
pub(super) type Closed = oneshot::Receiver<Infallible>;

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// Opens the address for the listener of this name.
    pub(super) fn open(listener: &str, bind: &Bind) -> Result<(Self, Closed), ListenError> {
        let opened = match bind {
            Bind::Tcp(address) => open_tcp(*address),
            Bind::Unix(path) => open_unix(path),
        };
        let (socket, bound) = opened.map_err(|reason| ListenError {
            listener: listener.to_owned(),
            bind: bind.clone(),
            reason,
        })?;
        let (_open, closed) = oneshot::channel();
        let listening = Self {
            socket,
            bound,
            _open,
        };
        Ok((listening, closed))
    }

    /// Where it listens: the system's choice in the place of port 0.
    pub(super) fn bound(&self) -> &Bind {
        &self.bound
    }

    /// The next connection.
    ///
    /// # Errors
    /// There is none now, it broke before it was accepted, or the system has no room for it.
    pub(super) fn accept(&self) -> io::Result<(Accepted, Option<SocketAddr>)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Accepted::Tcp(stream), Some(peer)))
            }
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                Ok((Accepted::Unix(stream), None))
            }
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Bind::Unix(path) = &self.bound {
            // Whoever finds it in the way removes it, too.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn open_tcp(address: SocketAddr) -> io::Result<(Socket, Bind)> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A restart may bind while connections of its predecessor are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // As Envoy's default: the same port on 0.0.0.0 is another listener.
        socket.set_only_v6(true)?;
    }
    // Accepted sockets have it from the one that listens: a system call less for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into());
    let bound = Bind::Tcp(listener.local_addr()?);
    Ok((Socket::Tcp(listener), bound))
}

fn open_unix(path: &Path) -> io::Result<(Socket, Bind)> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse || !is_abandoned(path) {
            return Err(error);
        }
        std::fs::remove_file(path)?;
        socket.bind(&address)?;
    }
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let socket = Socket::Unix(UnixListener::from_std(socket.into()));
    Ok((socket, Bind::Unix(path.to_owned())))
}

/// Whether the path is a socket that a process left behind when it ended.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = path
        .symlink_metadata()
        .is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).is_err_and(refused)
}

impl fmt::Display for Bind {
    /// `ADDRESS:PORT` or `unix://PATH`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_sends_at_once_and_a_socket_that_closed_says_so() {
        let loopback = Bind::Tcp("127.0.0.1:0".parse().unwrap());
        let (listening, mut closed) = Listening::open("l", &loopback).unwrap();
        let Bind::Tcp(address) = listening.bound().clone() else {
            panic!("it listens on TCP");
        };
        let client = std::net::TcpStream::connect(address).unwrap();
        let (accepted, peer) = listening.accept().unwrap();
        assert_eq!(peer, client.local_addr().ok());
        assert!(matches!(accepted, Accepted::Tcp(stream) if stream.nodelay().unwrap()));
        let nobody = listening.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(nobody, Err(io::ErrorKind::WouldBlock));
        assert_eq!(closed.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        drop(listening);
        assert_eq!(closed.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn a_machine_without_ipv6_is_told_from_other_reasons() {
        let missing = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let no_family = io::Error::from(Errno::AFNOSUPPORT);
        let taken = io::Error::from(io::ErrorKind::AddrInUse);
        for (bind, reason, expected) in [
            ("[::1]:15088", missing, true),
            ("[::1]:15088", no_family, true),
            ("[::1]:15088", taken, false),
            (
                "127.0.0.1:15088",
                io::ErrorKind::AddrNotAvailable.into(),
                false,
            ),
            (
                "[fd00::1]:15088",
                io::ErrorKind::AddrNotAvailable.into(),
                false,
            ),
        ] {
            let error = ListenError {
                listener: "l".into(),
                bind: Bind::Tcp(bind.parse().unwrap()),
                reason,
            };
            assert_eq!(error.is_without_ipv6(), expected, "{error}");
        }
    }
}
