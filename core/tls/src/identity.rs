//! Who we are to a server: a chain of certificates and the key of its first.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::name::presented;
use crate::{Certificate, principal, provider};

/// A certificate that is shown, and its key, which fits.
#[derive(Clone)]
pub struct Identity {
    pub(crate) key: Arc<SingleCertAndKey>,
    pub(crate) certified: Arc<CertifiedKey>,
    /// The alternative names of the certificate.
    pub(crate) names: Vec<String>,
    certificate: Certificate,
    principal: Option<String>,
}

/// Why a certificate and a key cannot be shown. Nothing of the key is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Of the chain.
    #[error("the certificate {0}")]
    Certificate(String),
    /// Of the key.
    #[error("the private key {0}")]
    Key(String),
    /// Each is good, but of another pair.
    #[error("the private key is not that of the certificate")]
    Mismatch,
}

impl Identity {
    /// Reads the chain, the own certificate first, and the key, both in PEM.
    ///
    /// # Errors
    /// One of them cannot be read, or they do not fit.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = certificates(chain).map_err(IdentityError::Certificate)?;
        let unreadable = || IdentityError::Certificate("is no X.509 certificate".to_owned());
        let certificate = chain.first().and_then(Certificate::read);
        let certificate = certificate.ok_or_else(unreadable)?;
        let principal = chain.first().and_then(principal);
        let names = chain.first().map(presented).unwrap_or_default();
        let key = private_key(key)?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => IdentityError::Mismatch,
            rustls::Error::InvalidCertificate(_) => unreadable(),
            _ => IdentityError::Key("is of a kind that is not supported".to_owned()),
        })?;
        let certified = Arc::new(key);
        Ok(Self {
            key: Arc::new(SingleCertAndKey::from(Arc::clone(&certified))),
            certified,
            names,
            certificate,
            principal,
        })
    }

    /// The certificate that is shown.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Whose it is, as peers are told it.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.certificate).finish()
    }
}

/// All certificates of a text, at least one; else what is wrong with it.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err("is not there: the text has no PEM block `CERTIFICATE`".to_owned())
        }
        Ok(found) => Ok(found),
        Err(_) => Err("is broken: the text is not PEM".to_owned()),
    }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let encrypted = b"ENCRYPTED";
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        IdentityError::Key(match error {
            pem::Error::NoItemsFound if contains(text, encrypted) => {
                "is encrypted, and no password can be given".to_owned()
            }
            pem::Error::NoItemsFound => {
                "is not there: the text has no PEM block `PRIVATE KEY`".to_owned()
            }
            _ => "is broken: the text is not PEM".to_owned(),
        })
    })
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}
