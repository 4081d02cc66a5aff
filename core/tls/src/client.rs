//! The settings of a client, with which connections begin.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;

use crate::verify::{Anybody, Named};
use crate::{Identity, PeerName, Trust, provider};

/// What is asked of a server's certificate.
#[derive(Clone, Debug)]
pub enum ServerCheck {
    /// Nothing.
    None,
    /// It comes from one of these authorities and is for one of these names; without names, for any.
    Named(Trust, Vec<PeerName>),
}

/// TLS 1.2 and 1.3, with session resumption. Sessions of other settings are never resumed.
///
/// # Errors
/// The crypto provider does not do what TLS needs.
pub fn client(
    identity: Option<&Identity>,
    check: ServerCheck,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let verifier: Arc<dyn ServerCertVerifier> = match check {
        ServerCheck::None => Arc::new(Anybody::new()),
        ServerCheck::Named(trust, names) => Arc::new(Named::new(&trust, names)),
    };
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(Arc::new(match identity {
        Some(identity) => config.with_client_cert_resolver(identity.key.clone()),
        None => config.with_no_client_auth(),
    }))
}
