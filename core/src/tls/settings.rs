//! What is asked for, by the names of files and secrets.

use std::path::PathBuf;

use meltemi_tls::PeerName;

use super::{ToClients, ToEndpoints};

/// What a cluster, or a listener, asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings<S = ToEndpoints> {
    pub side: S,
    /// None: nothing is shown to peers. Of a cluster there is one at most, of a listener one at least: clients are
    /// shown the one that fits what they ask for.
    pub identities: Vec<IdentitySource>,
    /// `None`: any server is believed, no client is asked who it is.
    pub trust: Option<TrustSource>,
    /// Of which a peer's certificate must have one; none: it may be for anybody.
    pub names: Vec<PeerName>,
    /// What is spoken within (RFC 7301), the first that both sides know; none: nothing is said of it.
    pub alpn: Vec<String>,
}

/// Where the certificate that is shown and its key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// The one that the mesh's CA has given this process.
    Workload,
    Secret(String),
    Files {
        chain: PathBuf,
        key: PathBuf,
    },
}

/// Where those come from who vouch for peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustSource {
    /// Those whom the mesh believes, which the same CA tells.
    Workload,
    Secret(String),
    Files {
        /// `None`: those of the system.
        authorities: Option<PathBuf>,
        revoked: Option<PathBuf>,
    },
}

impl TlsSettings<ToEndpoints> {
    /// Istio's name for it.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        match self.identities.first() {
            Some(IdentitySource::Workload) => "ISTIO_MUTUAL",
            Some(_) => "MUTUAL",
            None => "SIMPLE",
        }
    }
}

impl TlsSettings<ToClients> {
    /// Istio's name for it.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        match (&self.trust, self.side.required) {
            (None, _) => "SIMPLE",
            (Some(TrustSource::Workload), true) => "ISTIO_MUTUAL",
            (Some(_), true) => "MUTUAL",
            (Some(_), false) => "OPTIONAL_MUTUAL",
        }
    }
}

impl<S> TlsSettings<S> {
    /// For each identity, where it is a secret.
    pub(super) fn identity_secrets(&self) -> impl Iterator<Item = Option<&str>> {
        self.identities.iter().map(|identity| match identity {
            IdentitySource::Secret(name) => Some(name.as_str()),
            _ => None,
        })
    }

    pub(super) fn trust_secret(&self) -> Option<&str> {
        match &self.trust {
            Some(TrustSource::Secret(name)) => Some(name),
            _ => None,
        }
    }

    pub(super) fn uses_workload(&self) -> bool {
        self.identities.contains(&IdentitySource::Workload)
            || self.trust == Some(TrustSource::Workload)
    }

    pub(super) fn uses_system(&self) -> bool {
        matches!(
            self.trust,
            Some(TrustSource::Files {
                authorities: None,
                ..
            })
        )
    }
}
