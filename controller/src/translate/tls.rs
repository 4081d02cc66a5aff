//! TLS towards endpoints as Envoy's transport socket, and the secrets that it names.

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
use meltemi_proto::envoy::r#type::matcher::v3::StringMatcher;
use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meltemi_tls::PeerName;

use super::cluster::ads;
use crate::manifest::{Hidden, ObjectRef};
use crate::model::{ClusterTls, Identity, Trust};

/// Envoy's name of it.
const NAME: &str = "envoy.transport_sockets.tls";

pub(super) fn transport_socket(tls: &ClusterTls) -> core::TransportSocket {
    let mut common = wire::CommonTlsContext {
        validation_context_type: Some(validation(tls)),
        ..wire::CommonTlsContext::default()
    };
    match &tls.identity {
        None => {}
        Some(Identity::Files { chain, key }) => {
            common.tls_certificates = vec![wire::TlsCertificate {
                certificate_chain: Some(file(chain)),
                private_key: Some(file(key)),
            }];
        }
        Some(Identity::Secret { id, .. }) => {
            common.tls_certificate_sds_secret_configs = vec![sds(identity_name(id))];
        }
    }
    let context = wire::UpstreamTlsContext {
        common_tls_context: Some(common),
        sni: tls.sni.clone().unwrap_or_default(),
    };
    core::TransportSocket {
        name: NAME.to_owned(),
        config_type: Some(ConfigType::TypedConfig(Any::pack(&context))),
    }
}

fn validation(tls: &ClusterTls) -> ValidationContextType {
    let mut context = wire::CertificateValidationContext {
        match_typed_subject_alt_names: tls.names.iter().map(name).collect(),
        ..wire::CertificateValidationContext::default()
    };
    match &tls.trust {
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
        Some(Trust::Secret { id, .. }) => {
            let both = CombinedCertificateValidationContext {
                default_validation_context: Some(context),
                validation_context_sds_secret_config: Some(sds(trust_name(id))),
            };
            return ValidationContextType::CombinedValidationContext(both);
        }
    }
    ValidationContextType::ValidationContext(context)
}

/// The secrets of a cluster.
pub(crate) fn secrets(tls: &ClusterTls) -> impl Iterator<Item = wire::Secret> {
    let identity = match &tls.identity {
        Some(Identity::Secret {
            id,
            chain,
            key: Hidden(key),
        }) => Some(wire::Secret {
            name: identity_name(id),
            r#type: Some(Type::TlsCertificate(wire::TlsCertificate {
                certificate_chain: Some(inline(chain)),
                private_key: Some(inline(key)),
            })),
        }),
        _ => None,
    };
    let trust = match &tls.trust {
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
    [identity, trust].into_iter().flatten()
}

fn name(name: &PeerName) -> wire::SubjectAltNameMatcher {
    let kind = match name {
        PeerName::Dns(_) => SanType::Dns,
        PeerName::Uri(_) => SanType::Uri,
        PeerName::Ip(_) => SanType::IpAddress,
    };
    wire::SubjectAltNameMatcher {
        san_type: kind.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(name.to_string())),
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

fn inline(bytes: &[u8]) -> core::DataSource {
    core::DataSource {
        specifier: Some(Specifier::InlineBytes(bytes.to_vec().into())),
    }
}
