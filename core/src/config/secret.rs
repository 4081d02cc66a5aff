//! A secret of the control plane: a certificate with its key, the authorities to believe, or a text.

use std::fmt::{Debug, Formatter};

use meltemi_proto::envoy::config::core::v3::DataSource;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use meltemi_tls::{Identity, IdentityError, Trust, TrustError};

use super::invalid::{Invalid, required};

/// Read and found to be good. It prints without the key or the text.
#[derive(Clone, Debug)]
pub struct Secret {
    pub name: String,
    pub value: SecretValue,
}

/// What a secret holds.
#[derive(Clone, Debug)]
pub enum SecretValue {
    /// Shown to servers.
    Identity(Identity),
    /// Whom servers' certificates must come from.
    Trust(Trust),
    /// The value of a plugin's setting: a password or a user name.
    Text(Hidden),
}

/// A text that prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl Debug for Hidden {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl TryFrom<proto::Secret> for Secret {
    type Error = Invalid;

    fn try_from(secret: proto::Secret) -> Result<Self, Invalid> {
        let value = match secret.r#type {
            Some(Type::TlsCertificate(certificate)) => {
                identity(certificate).map_err(|e| e.within("tls_certificate"))?
            }
            Some(Type::ValidationContext(context)) => {
                trust(context).map_err(|e| e.within("validation_context"))?
            }
            Some(Type::GenericSecret(generic)) => {
                text(generic).map_err(|e| e.within("generic_secret"))?
            }
            None => {
                return Err(Invalid::new(
                    "type",
                    "only tls_certificate, validation_context and generic_secret are supported",
                ));
            }
        };
        Ok(Self {
            name: required("name", secret.name)?,
            value,
        })
    }
}

fn identity(certificate: proto::TlsCertificate) -> Result<SecretValue, Invalid> {
    let chain = inline("certificate_chain", certificate.certificate_chain)?;
    let key = inline("private_key", certificate.private_key)?;
    let identity = Identity::from_pem(&chain, &key).map_err(|error| {
        let field = match error {
            IdentityError::Certificate(_) => "certificate_chain",
            IdentityError::Key(_) | IdentityError::Mismatch => "private_key",
        };
        Invalid::new(field, error.to_string())
    })?;
    Ok(SecretValue::Identity(identity))
}

fn trust(context: proto::CertificateValidationContext) -> Result<SecretValue, Invalid> {
    let authorities = inline("trusted_ca", context.trusted_ca)?;
    let revoked = context.crl.map(|crl| inline("crl", Some(crl)));
    let revoked = revoked.transpose()?;
    let trust = Trust::from_pem(&authorities, revoked.as_deref()).map_err(|error| {
        let field = match error {
            TrustError::Authority(_) | TrustError::System(_) => "trusted_ca",
            TrustError::Revocation(_) => "crl",
        };
        Invalid::new(field, error.to_string())
    })?;
    Ok(SecretValue::Trust(trust))
}

fn text(generic: proto::GenericSecret) -> Result<SecretValue, Invalid> {
    let bytes = inline("secret", generic.secret)?;
    let text = String::from_utf8(bytes).map_err(|_| Invalid::new("secret", "is no UTF-8"))?;
    Ok(SecretValue::Text(Hidden(text)))
}

/// The bytes that the message holds itself: what a secret is comes from the control plane, files are
/// named by the cluster.
fn inline(field: &str, source: Option<DataSource>) -> Result<Vec<u8>, Invalid> {
    match source.and_then(|source| source.specifier) {
        Some(Specifier::InlineBytes(bytes)) => Ok(bytes.into()),
        Some(Specifier::InlineString(text)) => Ok(text.into_bytes()),
        Some(Specifier::Filename(_)) => Err(Invalid::new(field, "a secret names no file")),
        None => Err(Invalid::new(field, "is missing")),
    }
}
