//! TLS with endpoints and with clients as Envoy's transport sockets, and the secrets that they name.

use meltemi_proto::Any;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::config::core::v3::transport_socket::ConfigType;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as wire;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context as validation;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use meltemi_proto::envoy::r#type::matcher::v3::StringMatcher;
use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meltemi_tls::{PeerName, Versions};

use super::cluster::ads;
use crate::manifest::{Hidden, ObjectRef};
use crate::model::{ClusterTls, Identity, ListenerTls, Trust};

/// Envoy's name of it.
const NAME: &str = "envoy.transport_sockets.tls";
/// The secrets that Istio's agents give: the certificate of the workload, and the roots of the mesh.
const WORKLOAD: &str = "default";
const ROOTS: &str = "ROOTCA";
/// What Istio's sidecars speak of within: of `istio-peer-exchange` they would send something of their own first.
const ALPN: &str = "istio";

pub(super) fn upstream(tls: &ClusterTls) -> core::TransportSocket {
    let context = wire::UpstreamTlsContext {
        common_tls_context: Some(wire::CommonTlsContext {
            validation_context_type: Some(validation(tls.trust.as_ref(), &tls.names)),
            ..common(tls.identity.as_slice())
        }),
        sni: tls.sni.clone().unwrap_or_default(),
    };
    socket(&context)
}

pub(super) fn downstream(tls: &ListenerTls) -> core::TransportSocket {
    let clients = tls.clients.as_ref();
    let validation = clients.map(|clients| validation(Some(&clients.trust), &clients.names));
    let context = wire::DownstreamTlsContext {
        common_tls_context: Some(wire::CommonTlsContext {
            tls_params: Some(versions(tls.versions)),
            validation_context_type: validation,
            ..common(&tls.identities)
        }),
        require_client_certificate: Some(clients.is_some_and(|clients| clients.required)),
        require_sni: None,
    };
    socket(&context)
}

fn socket<M: prost::Message + prost::Name>(context: &M) -> core::TransportSocket {
    core::TransportSocket {
        name: NAME.to_owned(),
        config_type: Some(ConfigType::TypedConfig(Any::pack(context))),
    }
}

/// Envoy speaks 1.0 and 1.1 where it is told to, which nothing here does.
fn versions(versions: Versions) -> wire::TlsParameters {
    let (least, most) = match versions {
        Versions::Tls12 => (TlsProtocol::TlSv12, TlsProtocol::TlSv12),
        Versions::Tls13 => (TlsProtocol::TlSv13, TlsProtocol::TlSv13),
        Versions::Any => (TlsProtocol::TlSv12, TlsProtocol::TlSv13),
    };
    wire::TlsParameters {
        tls_minimum_protocol_version: least.into(),
        tls_maximum_protocol_version: most.into(),
        cipher_suites: vec![],
    }
}

fn common(identities: &[Identity]) -> wire::CommonTlsContext {
    let mut common = wire::CommonTlsContext::default();
    for identity in identities {
        let secrets = &mut common.tls_certificate_sds_secret_configs;
        match identity {
            Identity::Workload => {
                secrets.push(sds(WORKLOAD.to_owned()));
                common.alpn_protocols = vec![ALPN.to_owned()];
            }
            Identity::Files { chain, key } => common.tls_certificates.push(wire::TlsCertificate {
                certificate_chain: Some(file(chain)),
                private_key: Some(file(key)),
            }),
            Identity::Secret { id, .. } => secrets.push(sds(identity_name(id))),
        }
    }
    common
}

fn validation(trust: Option<&Trust>, names: &[PeerName]) -> ValidationContextType {
    let mut context = wire::CertificateValidationContext {
        match_typed_subject_alt_names: names.iter().map(name).collect(),
        ..wire::CertificateValidationContext::default()
    };
    match trust {
        None => context
            .set_trust_chain_verification(validation::TrustChainVerification::AcceptUntrusted),
        Some(Trust::Files {
            authorities,
            revoked,
        }) => {
            match authorities {
                Some(path) => context.trusted_ca = Some(file(path)),
                None => context.system_root_certs = Some(validation::SystemRootCerts {}),
            }
            context.crl = revoked.as_deref().map(file);
        }
        Some(Trust::Workload) => return combined(context, ROOTS.to_owned()),
        Some(Trust::Secret { id, .. }) => return combined(context, trust_name(id)),
    }
    ValidationContextType::ValidationContext(context)
}

fn combined(context: wire::CertificateValidationContext, secret: String) -> ValidationContextType {
    let both = CombinedCertificateValidationContext {
        default_validation_context: Some(context),
        validation_context_sds_secret_config: Some(sds(secret)),
    };
    ValidationContextType::CombinedValidationContext(both)
}

/// The secrets that TLS with a cluster's endpoints needs.
pub(super) fn of_cluster(tls: &ClusterTls) -> impl Iterator<Item = wire::Secret> {
    secrets_of(tls.identity.as_slice(), tls.trust.as_ref())
}

/// The secrets that TLS with a server's clients needs.
pub(super) fn of_server(tls: &ListenerTls) -> impl Iterator<Item = wire::Secret> {
    let trust = tls.clients.as_ref().map(|clients| &clients.trust);
    secrets_of(&tls.identities, trust)
}

fn secrets_of(
    identities: &[Identity],
    trust: Option<&Trust>,
) -> impl Iterator<Item = wire::Secret> {
    let identities = identities.iter().filter_map(|identity| match identity {
        Identity::Secret {
            id,
            chain,
            key: Hidden(key),
        } => Some(wire::Secret {
            name: identity_name(id),
            r#type: Some(Type::TlsCertificate(wire::TlsCertificate {
                certificate_chain: Some(inline(chain)),
                private_key: Some(inline(key)),
            })),
        }),
        _ => None,
    });
    let trust = match trust {
        Some(Trust::Secret {
            id,
            authorities,
            revoked,
        }) => Some(wire::Secret {
            name: trust_name(id),
            r#type: Some(Type::ValidationContext(
                wire::CertificateValidationContext {
                    trusted_ca: Some(inline(authorities)),
                    crl: revoked.as_deref().map(inline),
                    ..wire::CertificateValidationContext::default()
                },
            )),
        }),
        _ => None,
    };
    identities.chain(trust)
}

fn name(name: &PeerName) -> wire::SubjectAltNameMatcher {
    let kind = match name {
        PeerName::Dns(_) => SanType::Dns,
        PeerName::Uri(_) | PeerName::TrustDomain(_) => SanType::Uri,
        PeerName::Ip(_) => SanType::IpAddress,
    };
    wire::SubjectAltNameMatcher {
        san_type: kind.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(match name {
                PeerName::TrustDomain(_) => MatchPattern::Prefix(name.to_string()),
                _ => MatchPattern::Exact(name.to_string()),
            }),
            ignore_case: false,
        }),
    }
}

fn sds(name: String) -> wire::SdsSecretConfig {
    wire::SdsSecretConfig {
        name,
        sds_config: Some(ads()),
    }
}

fn identity_name(id: &ObjectRef) -> String {
    format!("{}/{}", id.namespace, id.name)
}

/// One Secret may be both.
fn trust_name(id: &ObjectRef) -> String {
    format!("{}/ca", identity_name(id))
}

fn file(path: &str) -> core::DataSource {
    core::DataSource {
        specifier: Some(Specifier::Filename(path.to_owned())),
    }
}

pub(super) fn inline(bytes: &[u8]) -> core::DataSource {
    core::DataSource {
        specifier: Some(Specifier::InlineBytes(bytes.to_vec().into())),
    }
}
