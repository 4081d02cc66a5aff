//! What differs by the end of connections that we are.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use meltemi_tls::{ClientCheck, Identity, PeerName, ServerCheck, Trust, Versions};
use rustls::{ClientConfig, ServerConfig};

/// One of the two ends.
pub trait Side: Clone + Debug + PartialEq + Eq + Send + Sync + 'static {
    /// What connections begin with.
    type Config: Send + Sync;
    /// What comes of connections while something is missing, for people.
    const WITHOUT: &'static str;

    /// # Errors
    /// TLS cannot be set up with it.
    fn config(
        &self,
        identities: &[Identity],
        check: Option<(Trust, Vec<PeerName>)>,
        alpn: &[String],
    ) -> Result<Arc<Self::Config>, rustls::Error>;
}

/// We connect to the endpoints of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToEndpoints {
    /// `None`: no name is sent.
    pub sni: Option<String>,
}

/// Clients connect to a listener of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToClients {
    /// Whether a client without a certificate is refused, where one is asked for.
    pub required: bool,
    pub versions: Versions,
    /// How long a handshake may take.
    pub patience: Duration,
}

impl Side for ToEndpoints {
    type Config = ClientConfig;
    const WITHOUT: &'static str = "no endpoint is dialled";

    fn config(
        &self,
        identities: &[Identity],
        check: Option<(Trust, Vec<PeerName>)>,
        alpn: &[String],
    ) -> Result<Arc<ClientConfig>, rustls::Error> {
        let check = check.map_or(ServerCheck::None, |(trust, names)| {
            ServerCheck::Named(trust, names)
        });
        let mut config = meltemi_tls::client(identities.first(), check)?;
        Arc::make_mut(&mut config).alpn_protocols = wire(alpn);
        Ok(config)
    }
}

impl Side for ToClients {
    type Config = ServerConfig;
    const WITHOUT: &'static str = "clients are refused";

    fn config(
        &self,
        identities: &[Identity],
        check: Option<(Trust, Vec<PeerName>)>,
        alpn: &[String],
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let check = check.map_or(ClientCheck::None, |(trust, names)| ClientCheck::Named {
            trust,
            names,
            required: self.required,
        });
        let mut config = meltemi_tls::server(identities, check, self.versions)?;
        Arc::make_mut(&mut config).alpn_protocols = wire(alpn);
        Ok(config)
    }
}

fn wire(alpn: &[String]) -> Vec<Vec<u8>> {
    alpn.iter().map(|it| it.as_bytes().to_vec()).collect()
}
