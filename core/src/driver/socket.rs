//! Listening sockets: how they are opened, and what can be wrong with that.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Type};
use tokio::net::{TcpListener, UnixListener};

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

/// An open listening socket. A Unix socket's path goes with it.
#[derive(Debug)]
pub(super) struct Listening {
    socket: Socket,
    bound: Bind,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// Opens the address for the listener of this name, on the current runtime.
    pub(super) fn open(listener: &str, bind: &Bind) -> Result<Self, ListenError> {
        let opened = match bind {
            Bind::Tcp(address) => open_tcp(*address),
            Bind::Unix(path) => open_unix(path),
        };
        opened.map_err(|reason| ListenError {
            listener: listener.to_owned(),
            bind: bind.clone(),
            reason,
        })
    }

    /// Where it listens: the system's choice in the place of port 0.
    pub(super) fn bound(&self) -> &Bind {
        &self.bound
    }

    /// The next connection, detached from this runtime.
    pub(super) async fn accept(&self) -> io::Result<(Accepted, Option<SocketAddr>)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Accepted::Tcp(stream.into_std()?), Some(peer)))
            }
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Accepted::Unix(stream.into_std()?), None))
            }
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

fn open_tcp(address: SocketAddr) -> io::Result<Listening> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A restart may bind while connections of its predecessor are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // As Envoy's default: the same port on 0.0.0.0 is another listener.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into())?;
    let bound = Bind::Tcp(listener.local_addr()?);
    let socket = Socket::Tcp(listener);
    Ok(Listening { socket, bound })
}

fn open_unix(path: &Path) -> io::Result<Listening> {
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
    let socket = Socket::Unix(UnixListener::from_std(socket.into())?);
    let bound = Bind::Unix(path.to_owned());
    Ok(Listening { socket, bound })
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
