//! Where to accept connections, and what they are for.

mod mode;
mod server_names;
mod tls;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use meltemi_proto::EXTENSION_NAME;
use meltemi_proto::envoy::config::listener::v3 as proto;
use meltemi_proto::envoy::config::listener::v3::filter::ConfigType;
use meltemi_proto::meltemi::config::v1 as own;

use super::address::{Address, Dialled};
use super::invalid::{Invalid, required};
use crate::tls::{Owner, Tls, TlsSettings, ToClients};
pub(crate) use mode::is_loopback;
pub use mode::{Mode, ProxyProtocol};
pub use server_names::ServerNames;

/// An address to open, and how the services of its connections are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `NAMESPACE/GATEWAY/SERVER`, unique in a snapshot.
    pub name: String,
    pub bind: Bind,
    pub mode: Mode,
    /// Whom it is for, where others are at the same address.
    pub server_names: ServerNames,
    /// So many connections one source may have to it.
    pub max_connections_per_source: Option<NonZeroU32>,
    /// `None`: clients are served in plaintext.
    pub tls: Option<Arc<Tls<ToClients>>>,
}

/// What a listener binds to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bind {
    /// Port 0 leaves the choice to the system.
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Listener {
    /// One whose clients speak plaintext, and are all alike.
    #[must_use]
    pub fn plain(name: &str, bind: Bind, mode: Mode) -> Self {
        Self {
            name: name.to_owned(),
            bind,
            mode,
            server_names: ServerNames::default(),
            max_connections_per_source: None,
            tls: None,
        }
    }
}

impl Bind {
    /// Whether the system chooses the port, so that no two of them are the same.
    pub(crate) fn is_left_open(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.port() == 0)
    }
}

impl TryFrom<proto::Listener> for Listener {
    type Error = Invalid;

    fn try_from(listener: proto::Listener) -> Result<Self, Invalid> {
        let address = Address::parse(listener.address).map_err(|e| e.within("address"))?;
        let bind = match address.dialled() {
            Dialled::Tcp(address) => Bind::Tcp(address),
            Dialled::Unix(path) => Bind::Unix(path.to_owned()),
        };
        let [mut chain] = <[_; 1]>::try_from(listener.filter_chains).map_err(|chains| {
            Invalid::new(
                "filter_chains",
                format!("one is expected, not {}", chains.len()),
            )
        })?;
        let name = required("name", listener.name)?;
        let within = |e: Invalid| e.within("filter_chains[0]");
        let patience = chain.transport_socket_connect_timeout;
        let socket = chain.transport_socket.as_ref();
        let tls = socket.map(|socket| tls::settings(socket, patience));
        let tls = tls.transpose().map_err(within)?;
        let tls = tls.map(|settings| Tls::new(Owner::Listener(name.clone()), settings));
        let server_names = chain.filter_chain_match.take();
        let server_names = server_names::of(server_names);
        let server_names = server_names.map_err(|e| within(e.within("filter_chain_match")))?;
        let (mode, most) = filter(chain).map_err(within)?;
        if !server_names.is_for_anybody() {
            is_told_apart(&mode, tls.as_ref()).map_err(within)?;
        }
        if let Mode::ProxyProtocol(_) = &mode {
            match &tls {
                None => mode::is_sheltered(&bind)?,
                Some(tls) => has_proven_clients(tls.settings()).map_err(within)?,
            }
        }
        Ok(Self {
            name,
            bind,
            mode,
            server_names,
            max_connections_per_source: NonZeroU32::new(most),
            tls: tls.map(Arc::new),
        })
    }
}

/// Only within TLS clients say first whom they ask for, and there where nothing else comes before.
fn is_told_apart(mode: &Mode, tls: Option<&Tls<ToClients>>) -> Result<(), Invalid> {
    let field = "filter_chain_match.server_names";
    match (mode, tls) {
        (Mode::ProxyProtocol(_), _) => Err(Invalid::new(
            field,
            "have no meaning where connections begin with a PROXY header, which says where they go",
        )),
        (Mode::Service(_), None) => Err(Invalid::new(
            field,
            "are asked for within TLS alone: transport_socket is missing",
        )),
        (Mode::Service(_), Some(_)) => Ok(()),
    }
}

/// Who has a header before TLS is whom its certificate says, whatever the header does.
fn has_proven_clients(tls: &TlsSettings<ToClients>) -> Result<(), Invalid> {
    if tls.trust.is_some() && tls.side.required {
        return Ok(());
    }
    Err(Invalid::new(
        "transport_socket",
        "has to ask clients for certificates where connections begin with a PROXY header: that could be forged",
    ))
}

/// How the services of a filter chain's connections are found, and how many a source may have.
fn filter(chain: proto::FilterChain) -> Result<(Mode, u32), Invalid> {
    let [filter] = <[_; 1]>::try_from(chain.filters).map_err(|filters| {
        Invalid::new("filters", format!("one is expected, not {}", filters.len()))
    })?;
    if filter.name != EXTENSION_NAME {
        return Err(Invalid::new(
            "filters[0].name",
            format!("{:?} is not {EXTENSION_NAME:?}", filter.name),
        ));
    }
    let Some(ConfigType::TypedConfig(config)) = filter.config_type else {
        return Err(Invalid::new("filters[0].typed_config", "is missing"));
    };
    let within = |e: Invalid| e.within("filters[0].typed_config");
    let config: own::Listener = config.unpack().map_err(|e| within(e.into()))?;
    let mode = Mode::parse(config.mode).map_err(within)?;
    Ok((mode, config.max_connections_per_source))
}
