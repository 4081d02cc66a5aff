//! Whom we believe: the authorities that a peer's certificate must come from, and what they revoked.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::identity::certificates;
use crate::{Certificate, provider};

/// Authorities, and the lists of what they revoked.
#[derive(Clone)]
pub struct Trust {
    /// Of servers.
    pub(crate) chain: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    /// None of the system's.
    authorities: Vec<Certificate>,
}

/// Why nobody can be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Of an authority.
    #[error("the CA certificate {0}")]
    Authority(String),
    /// Of a revocation list.
    #[error("the revocation list {0}")]
    Revocation(String),
    /// The system has no certificates where they are looked for.
    #[error("this system has no CA certificates: {0}")]
    System(String),
}

impl Trust {
    /// Reads authorities and, where they are given, revocation lists, in PEM.
    ///
    /// As in Envoy, with a list given there has to be one of every authority in a server's chain.
    ///
    /// # Errors
    /// One of the two holds something else, or nothing.
    pub fn from_pem(authorities: &[u8], revoked: Option<&[u8]>) -> Result<Self, TrustError> {
        let authorities = certificates(authorities).map_err(TrustError::Authority)?;
        let read = authorities.iter().map(Certificate::read);
        let known: Option<Vec<_>> = read.collect();
        let unreadable = || TrustError::Authority("is no X.509 certificate".to_owned());
        let known = known.ok_or_else(unreadable)?;
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(|_| unreadable())?;
        }
        Self::new(roots, revoked, known)
    }

    /// Those that this system trusts.
    ///
    /// # Errors
    /// There are none, or the revocation list is none.
    pub fn system(revoked: Option<&[u8]>) -> Result<Self, TrustError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Some of what systems carry along is too old to be read.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let reason = found.errors.first();
            let reason = reason.map_or_else(|| "nothing was found".to_owned(), ToString::to_string);
            return Err(TrustError::System(reason));
        }
        Self::new(roots, revoked, vec![])
    }

    /// The authorities that were given; none where they are the system's.
    #[must_use]
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    fn new(
        roots: RootCertStore,
        revoked: Option<&[u8]>,
        authorities: Vec<Certificate>,
    ) -> Result<Self, TrustError> {
        let lists = revoked.map(lists).transpose()?.unwrap_or_default();
        let roots = Arc::new(roots);
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider())
            .with_crls(lists.clone())
            .build()
            .map_err(|error| TrustError::Revocation(format!("cannot be used: {error}")))?;
        Ok(Self {
            chain,
            roots,
            revoked: lists,
            authorities,
        })
    }

    /// What verifies clients, who may be let in without a certificate.
    pub(crate) fn clients(
        &self,
        required: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
        let roots = Arc::clone(&self.roots);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = builder.with_crls(self.revoked.clone());
        let builder = match required {
            true => builder,
            false => builder.allow_unauthenticated(),
        };
        let built = builder.build();
        built.map_err(|error| rustls::Error::General(error.to_string()))
    }
}

fn lists(text: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, TrustError> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            let reason = "is not there: the text has no PEM block `X509 CRL`";
            Err(TrustError::Revocation(reason.to_owned()))
        }
        Ok(found) => Ok(found),
        Err(_) => Err(TrustError::Revocation(
            "is broken: the text is not PEM".to_owned(),
        )),
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trust").field(&self.authorities).finish()
    }
}
