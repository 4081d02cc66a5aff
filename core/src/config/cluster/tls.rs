//! TLS towards the endpoints of a cluster. What cannot be fulfilled is refused: what asks for TLS is
//! never dialled in plaintext.

use std::sync::Arc;

use meltemi_proto::envoy::config::cluster::v3 as wire;
use meltemi_proto::envoy::config::core::v3::TransportSocket;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use meltemi_tls::PeerName;

use super::super::invalid::Invalid;
use super::super::tls::{VALIDATION, check, context, identity};
use crate::tls::{Owner, Tls, TlsSettings, ToEndpoints};

/// `None`: the endpoints are dialled in plaintext.
pub(super) fn parse(cluster: &wire::Cluster) -> Result<Option<Arc<Tls>>, Invalid> {
    if !cluster.transport_socket_matches.is_empty() {
        return Err(Invalid::new("transport_socket_matches", "is not supported"));
    }
    let Some(socket) = &cluster.transport_socket else {
        return Ok(None);
    };
    let settings = settings(socket).map_err(|e| e.within("transport_socket"))?;
    let owner = Owner::Cluster(cluster.name.clone());
    Ok(Some(Arc::new(Tls::new(owner, settings))))
}

fn settings(socket: &TransportSocket) -> Result<TlsSettings, Invalid> {
    let context: proto::UpstreamTlsContext = context(socket)?;
    let sni = Some(context.sni).filter(|sni| !sni.is_empty());
    if let Some(name) = &sni
        && !matches!(name.parse(), Ok(PeerName::Dns(_)))
    {
        return Err(Invalid::new("sni", format!("{name:?} is no DNS name")));
    }
    let common = context.common_tls_context.unwrap_or_default();
    let alpn = common.alpn_protocols;
    // Envoy believes everybody where nothing is said. That somebody forgot is more likely.
    let forgotten = || Invalid::new(VALIDATION, "is missing: nothing says whom to believe");
    let validation = common.validation_context_type.ok_or_else(forgotten)?;
    let (trust, names) = check(validation).map_err(|e| e.within(VALIDATION))?;
    Ok(TlsSettings {
        side: ToEndpoints { sni },
        identities: identity(
            common.tls_certificates,
            common.tls_certificate_sds_secret_configs,
        )
        .map_err(|e| e.within("common_tls_context"))?
        .into_iter()
        .collect(),
        trust,
        names,
        alpn,
    })
}
