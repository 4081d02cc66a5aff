//! TLS of the clients of a listener. What cannot be fulfilled is refused: what asks for TLS is never
//! opened in plaintext.

use std::time::Duration;

use meltemi_proto::envoy::config::core::v3::TransportSocket;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use meltemi_tls::{PeerName, Versions};

use super::super::duration::duration;
use super::super::invalid::Invalid;
use super::super::tls::{VALIDATION, check, context, identities};
use crate::tls::{TlsSettings, ToClients, TrustSource};

/// How long a handshake may take where nothing is said. Envoy has no bound then: a client that never
/// ends it would be there for ever.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn settings(
    socket: &TransportSocket,
    patience: Option<meltemi_proto::Duration>,
) -> Result<TlsSettings<ToClients>, Invalid> {
    let field = "transport_socket_connect_timeout";
    // As in Envoy, 0 says nothing.
    let patience = patience.filter(|time| (time.seconds, time.nanos) != (0, 0));
    let patience = patience.map(|time| duration(field, time)).transpose()?;
    of(socket, patience.unwrap_or(PATIENCE)).map_err(|e| e.within("transport_socket"))
}

fn of(socket: &TransportSocket, patience: Duration) -> Result<TlsSettings<ToClients>, Invalid> {
    let context: proto::DownstreamTlsContext = context(socket)?;
    if context.require_sni == Some(true) {
        return Err(Invalid::new("require_sni", "is not supported"));
    }
    let within = |e: Invalid| e.within("common_tls_context");
    let common = context.common_tls_context.unwrap_or_default();
    let alpn = common.alpn_protocols;
    let identities = identities(
        common.tls_certificates,
        common.tls_certificate_sds_secret_configs,
    );
    let identities = identities.map_err(within)?;
    if identities.is_empty() {
        let reason = "is missing: there is nothing to show";
        return Err(within(Invalid::new("tls_certificates", reason)));
    }
    let versions = versions(common.tls_params.unwrap_or_default());
    let required = context.require_client_certificate == Some(true);
    let (trust, names) = clients(common.validation_context_type, required)?;
    Ok(TlsSettings {
        side: ToClients {
            required,
            versions: versions.map_err(|e| within(e.within("tls_params")))?,
            patience,
        },
        identities,
        trust,
        names,
        alpn,
    })
}

/// Whom clients have to come from; `None`: they are not asked.
fn clients(
    validation: Option<ValidationContextType>,
    required: bool,
) -> Result<(Option<TrustSource>, Vec<PeerName>), Invalid> {
    let Some(validation) = validation else {
        let reason = "is missing: nothing says whose certificates count";
        return match required {
            true => Err(Invalid::new(VALIDATION, reason)),
            false => Ok((None, vec![])),
        };
    };
    match check(validation).map_err(|e| e.within(VALIDATION))? {
        (None, _) => Err(Invalid::new(
            VALIDATION,
            "ACCEPT_UNTRUSTED is not supported: it would make anybody whoever he says he is",
        )),
        (trust, names) => Ok((trust, names)),
    }
}

/// As in Envoy, at least 1.2 unless something is said; what is older is not spoken here.
fn versions(parameters: proto::TlsParameters) -> Result<Versions, Invalid> {
    if !parameters.cipher_suites.is_empty() {
        return Err(Invalid::new("cipher_suites", "is not supported"));
    }
    let least = parameters.tls_minimum_protocol_version();
    let most = parameters.tls_maximum_protocol_version();
    match (least, most) {
        (_, TlsProtocol::TlSv10 | TlsProtocol::TlSv11) => Err(Invalid::new(
            "tls_maximum_protocol_version",
            "is below TLS 1.2, which is the least that is spoken",
        )),
        (TlsProtocol::TlSv13, TlsProtocol::TlSv12) => Err(Invalid::new(
            "tls_maximum_protocol_version",
            "is below the minimum",
        )),
        (TlsProtocol::TlSv13, _) => Ok(Versions::Tls13),
        (_, TlsProtocol::TlSv12) => Ok(Versions::Tls12),
        (_, TlsProtocol::TlSv13 | TlsProtocol::TlsAuto) => Ok(Versions::Any),
    }
}
