//! Socket addresses, of listeners and of endpoints.

use std::fmt::{Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use meltemi_proto::envoy::config::core::v3 as proto;
use meltemi_proto::envoy::config::core::v3::address::Address as Kind;
use meltemi_proto::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};

use super::invalid::{Invalid, required};

/// Where an endpoint is dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
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
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

fn socket_address(socket: &proto::SocketAddress) -> Result<SocketAddr, Invalid> {
    if socket.protocol() != Protocol::Tcp {
        return Err(Invalid::new("protocol", "only TCP is supported"));
    }
    let ip: IpAddr = socket.address.parse().map_err(|_| {
        Invalid::new(
            "address",
            format!("{:?} is not an IP address", socket.address),
        )
    })?;
    let port = match &socket.port_specifier {
        Some(PortSpecifier::PortValue(port)) => u16::try_from(*port)
            .map_err(|_| Invalid::new("port_value", format!("{port} is above 65535")))?,
        Some(PortSpecifier::NamedPort(name)) => {
            return Err(Invalid::new(
                "named_port",
                format!("{name:?} is not a number"),
            ));
        }
        None => return Err(Invalid::new("port_specifier", "is missing")),
    };
    Ok(SocketAddr::new(ip, port))
}
