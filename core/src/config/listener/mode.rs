//! How the service of a connection is found.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use meltemi_proto::meltemi::config::v1::listener as proto;

use super::super::duration::duration;
use super::super::invalid::{Invalid, required};
use super::Bind;

/// How long a connection to an unknown destination waits where nothing is said.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the service of a listener's connections is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All belong to the [`Service`](super::super::Service) of this name.
    Service(String),
    /// Each says first where it was going.
    ProxyProtocol(ProxyProtocol),
}

/// Connections begin with a [header](crate::proxy_protocol) whose destination is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// This proxy's SPIFFE id, where it is known: a connection that comes from it has gone in a circle.
    pub own_identity: Option<Arc<str>>,
    /// How long a connection waits whose destination is not known.
    pub patience: Duration,
}

impl Default for ProxyProtocol {
    fn default() -> Self {
        Self {
            own_identity: None,
            patience: PATIENCE,
        }
    }
}

impl Mode {
    /// The service of all connections, where they have one.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Service(name) => Some(name),
            Self::ProxyProtocol(_) => None,
        }
    }

    pub(super) fn parse(mode: Option<proto::Mode>) -> Result<Self, Invalid> {
        match mode {
            Some(proto::Mode::Service(service)) => {
                required("service.name", service.name).map(Self::Service)
            }
            Some(proto::Mode::ProxyProtocol(mode)) => ProxyProtocol::parse(mode)
                .map(Self::ProxyProtocol)
                .map_err(|e| e.within("proxy_protocol")),
            None => Err(Invalid::new("mode", "is missing or unknown")),
        }
    }
}

impl ProxyProtocol {
    fn parse(mode: proto::ProxyProtocol) -> Result<Self, Invalid> {
        let identity = Some(mode.own_identity).filter(|identity| !identity.is_empty());
        if let Some(identity) = &identity
            && !identity.starts_with("spiffe://")
        {
            let reason = format!("{identity:?} is no SPIFFE id: it begins with spiffe://");
            return Err(Invalid::new("own_identity", reason));
        }
        let patience = mode.patience.map(|time| duration("patience", time));
        Ok(Self {
            own_identity: identity.map(Arc::from),
            patience: patience.transpose()?.unwrap_or(PATIENCE),
        })
    }
}

/// Whoever reaches a listener in this mode is believed.
pub(super) fn is_sheltered(bind: &Bind) -> Result<(), Invalid> {
    match bind {
        Bind::Tcp(address) if !is_loopback(address.ip()) => Err(Invalid::new(
            "address",
            format!(
                "{address} is within reach of others, who could forge the header of the PROXY \
                 protocol and be whoever they say; bind a loopback address, or a Unix socket"
            ),
        )),
        Bind::Tcp(_) | Bind::Unix(_) => Ok(()),
    }
}

/// Whether it leads to the same machine.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
