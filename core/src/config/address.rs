//! Socket addresses, of listeners and of endpoints.

use std::fmt::{Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meltemi_proto::envoy::config::core::v3 as proto;
use meltemi_proto::envoy::config::core::v3::address::Address as Kind;
use meltemi_proto::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};

use super::invalid::{Invalid, required};
use super::logical::Logical;

/// Where an endpoint is dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// One endpoint, wherever its name leads.
    Logical(Arc<Logical>),
}

/// What a connection is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled<'a> {
    Tcp(SocketAddr),
    Unix(&'a Path),
}

impl Address {
    pub(super) fn parse(address: Option<proto::Address>) -> Result<Self, Invalid> {
        match address.and_then(|address| address.address) {
            Some(Kind::SocketAddress(socket)) => socket_address(&socket)
                .map(Self::Tcp)
                .map_err(|e| e.within("socket_address")),
            Some(Kind::Pipe(pipe)) => Ok(Self::Unix(required("pipe.path", pipe.path)?.into())),
            None => Err(Invalid::new("", "is missing or of an unknown kind")),
        }
    }

    /// What a connection that is made now is made to.
    #[must_use]
    pub fn dialled(&self) -> Dialled<'_> {
        match self {
            Self::Tcp(address) => Dialled::Tcp(*address),
            Self::Unix(path) => Dialled::Unix(path),
            Self::Logical(logical) => Dialled::Tcp(logical.current()),
        }
    }

    /// The IP address of a connection that is made now, where it has one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.dialled() {
            Dialled::Tcp(address) => Some(address.ip()),
            Dialled::Unix(_) => None,
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Logical(logical) => logical.fmt(f),
        }
    }
}

fn socket_address(socket: &proto::SocketAddress) -> Result<SocketAddr, Invalid> {
    let port = port(socket)?;
    let ip: IpAddr = socket.address.parse().map_err(|_| {
        Invalid::new(
            "address",
            format!("{:?} is not an IP address", socket.address),
        )
    })?;
    Ok(SocketAddr::new(ip, port))
}

/// The port of a socket of TCP.
pub(super) fn port(socket: &proto::SocketAddress) -> Result<u16, Invalid> {
    if socket.protocol() != Protocol::Tcp {
        return Err(Invalid::new("protocol", "only TCP is supported"));
    }
    match &socket.port_specifier {
        Some(PortSpecifier::PortValue(port)) => u16::try_from(*port)
            .map_err(|_| Invalid::new("port_value", format!("{port} is above 65535"))),
        Some(PortSpecifier::NamedPort(name)) => Err(Invalid::new(
            "named_port",
            format!("{name:?} is not a number"),
        )),
        None => Err(Invalid::new("port_specifier", "is missing")),
    }
}
