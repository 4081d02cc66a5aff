//! The settings of a server, with which its connections begin.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ResolvesServerCert};
use rustls::{Error, ServerConfig, SupportedProtocolVersion};

use crate::several::Several;
use crate::verify::KnownClients;
use crate::{Identity, PeerName, Trust, provider};

/// What is asked of clients.
#[derive(Clone, Debug)]
pub enum ClientCheck {
    /// Nothing: they are not asked who they are.
    None,
    /// A certificate of one of these authorities, for one of these names; without names, for any.
    Named {
        trust: Trust,
        names: Vec<PeerName>,
        /// False: a client without a certificate is served, too; one with a wrong one is not.
        required: bool,
    },
}

/// The versions of TLS that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Versions {
    /// 1.2 alone.
    Tls12,
    /// 1.3 alone.
    Tls13,
    /// Both.
    Any,
}

/// With these certificates, of which a client is shown the one that fits what it asks for, and session resumption. Sessions of other settings are never resumed, so that nobody is believed by
/// certificates that do not count any more.
///
/// # Errors
/// There is no certificate, the crypto provider does not do what TLS needs, or nobody can be verified.
pub fn server(
    identities: &[Identity],
    check: ClientCheck,
    versions: Versions,
) -> Result<Arc<ServerConfig>, Error> {
    let verifier: Arc<dyn ClientCertVerifier> = match check {
        ClientCheck::None => Arc::new(NoClientAuth),
        ClientCheck::Named {
            trust,
            names,
            required,
        } => Arc::new(KnownClients::new(&trust, names, required)?),
    };
    let shown: Arc<dyn ResolvesServerCert> = match identities {
        [] => return Err(Error::General("there is no certificate to show".to_owned())),
        [only] => only.key.clone(),
        several => Arc::new(Several::new(several)),
    };
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions.supported())?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(shown);
    Ok(Arc::new(config))
}

static ONLY_TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl Versions {
    fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => ONLY_TLS12,
            Self::Tls13 => ONLY_TLS13,
            Self::Any => rustls::ALL_VERSIONS,
        }
    }
}
