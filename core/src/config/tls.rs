//! What Envoy's TLS transport sockets of both sides have in common.

use std::path::PathBuf;

use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::config::core::v3::transport_socket::ConfigType;
use meltemi_proto::envoy::config::core::v3::{DataSource, TransportSocket};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context::TrustChainVerification;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meltemi_tls::PeerName;

use super::invalid::{Invalid, required};
use crate::tls::{IdentitySource, TrustSource};

/// Where it is said whom to believe.
pub(super) const VALIDATION: &str = "common_tls_context.validation_context";

const NAME: &str = "envoy.transport_sockets.tls";

/// What Istio calls the certificate of a workload, and those whom its mesh believes: every proxy has its own of them. Secrets
/// of the control plane have a slash in their names.
const WORKLOAD: &str = "default";
const ROOTS: &str = "ROOTCA";

/// What the socket is told, where it is one of TLS.
pub(super) fn context<M: prost::Message + prost::Name + Default>(
    socket: &TransportSocket,
) -> Result<M, Invalid> {
    if socket.name != NAME {
        let reason = format!("{:?} is not supported", socket.name);
        return Err(Invalid::new("", reason));
    }
    let Some(ConfigType::TypedConfig(config)) = &socket.config_type else {
        return Err(Invalid::new("typed_config", "is missing"));
    };
    Ok(config.unpack()?)
}

/// At most one.
pub(super) fn identity(
    certificates: Vec<proto::TlsCertificate>,
    secrets: Vec<proto::SdsSecretConfig>,
) -> Result<Option<IdentitySource>, Invalid> {
    for (field, count) in [
        ("tls_certificates", certificates.len()),
        ("tls_certificate_sds_secret_configs", secrets.len()),
    ] {
        if count > 1 {
            return Err(Invalid::new(field, "has more than one"));
        }
    }
    Ok(identities(certificates, secrets)?.into_iter().next())
}

/// As in Envoy, certificates that are named here count before secrets.
pub(super) fn identities(
    certificates: Vec<proto::TlsCertificate>,
    secrets: Vec<proto::SdsSecretConfig>,
) -> Result<Vec<IdentitySource>, Invalid> {
    if certificates.is_empty() {
        let secrets = secrets.into_iter().enumerate();
        return secrets
            .map(|(i, secret)| {
                let field = format!("tls_certificate_sds_secret_configs[{i}].name");
                let name = required(&field, secret.name)?;
                Ok(match name.as_str() {
                    WORKLOAD => IdentitySource::Workload,
                    _ => IdentitySource::Secret(name),
                })
            })
            .collect();
    }
    let certificates = certificates.into_iter().enumerate();
    certificates
        .map(|(i, certificate)| {
            let field = |name: &str| format!("tls_certificates[{i}].{name}");
            Ok(IdentitySource::Files {
                chain: file(&field("certificate_chain"), certificate.certificate_chain)?,
                key: file(&field("private_key"), certificate.private_key)?,
            })
        })
        .collect()
}

/// Whom to believe, `None` for anybody, and by which names.
pub(super) fn check(
    check: ValidationContextType,
) -> Result<(Option<TrustSource>, Vec<PeerName>), Invalid> {
    let (context, secret) = match check {
        ValidationContextType::ValidationContext(context) => (context, None),
        ValidationContextType::ValidationContextSdsSecretConfig(secret) => {
            (proto::CertificateValidationContext::default(), Some(secret))
        }
        ValidationContextType::CombinedValidationContext(both) => {
            let context = both.default_validation_context.unwrap_or_default();
            (context, both.validation_context_sds_secret_config)
        }
    };
    if context.trust_chain_verification() == TrustChainVerification::AcceptUntrusted {
        return Ok((None, vec![]));
    }
    let names = names(context.match_typed_subject_alt_names)?;
    let trust = match secret {
        Some(secret) => match required("name", secret.name)? {
            name if name == ROOTS => TrustSource::Workload,
            name => TrustSource::Secret(name),
        },
        None => TrustSource::Files {
            authorities: match (context.trusted_ca, context.system_root_certs) {
                (None, Some(_)) => None,
                (authorities, _) => Some(file("trusted_ca", authorities)?),
            },
            revoked: context.crl.map(|crl| file("crl", Some(crl))).transpose()?,
        },
    };
    Ok((Some(trust), names))
}

const NO_TRUST_DOMAIN: &str = "only a prefix such as spiffe://cluster.local/ is supported";

fn names(matchers: Vec<proto::SubjectAltNameMatcher>) -> Result<Vec<PeerName>, Invalid> {
    let matchers = matchers.into_iter().enumerate();
    let names = matchers.map(|(i, matcher)| {
        let field = format!("match_typed_subject_alt_names[{i}]");
        let kind = matcher.san_type();
        let pattern = matcher.matcher.and_then(|matcher| matcher.match_pattern);
        let name = match (kind, pattern) {
            (_, Some(MatchPattern::Exact(name))) => name,
            (SanType::Uri, Some(MatchPattern::Prefix(prefix))) => {
                return PeerName::of_trust_domain(&prefix)
                    .ok_or_else(|| Invalid::new(field, NO_TRUST_DOMAIN));
            }
            _ => return Err(Invalid::new(field, "only an exact name is supported")),
        };
        let parsed = name.parse().ok().filter(|parsed| {
            matches!(
                (kind, parsed),
                (SanType::Dns, PeerName::Dns(_))
                    | (SanType::Uri, PeerName::Uri(_))
                    | (SanType::IpAddress, PeerName::Ip(_))
            )
        });
        parsed.ok_or_else(|| Invalid::new(field, format!("{name:?} is no {}", kind.as_str_name())))
    });
    names.collect()
}

fn file(field: &str, source: Option<DataSource>) -> Result<PathBuf, Invalid> {
    match source.and_then(|source| source.specifier) {
        Some(Specifier::Filename(name)) => Ok(required(field, name)?.into()),
        Some(_) => Err(Invalid::new(
            field,
            "only a file is supported here; a secret holds the rest",
        )),
        None => Err(Invalid::new(field, "is missing")),
    }
}
