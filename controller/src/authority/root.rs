//! A root and the certificates that it signs.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use meltemi_tls::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::schedule::{Time, Validity};

/// Clocks of proxies may be behind ours by as much.
const BACKDATED: Duration = Duration::from_secs(300);

/// A certificate that signs others, and its key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// In PEM.
    pub(super) certificate: String,
    /// In PEM.
    pub(super) key: String,
    pub(super) validity: Validity,
}

/// Why there is no root, or no certificate of one. Nothing of a key is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootError {
    #[error("the certificate is none")]
    Certificate,
    #[error("it cannot be used: {0}")]
    Unusable(#[from] rcgen::Error),
    #[error(transparent)]
    Unfit(#[from] meltemi_tls::IdentityError),
}

/// Without the key.
impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Root").field(&self.validity).finish()
    }
}

impl Root {
    /// A new one.
    pub(super) fn make(now: Time, lifetime: Duration) -> Result<Self, RootError> {
        let validity = Validity::of(now, lifetime);
        let key = KeyPair::generate()?;
        let mut params = params(validity);
        params.distinguished_name = subject("meltemi-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            certificate,
            key: key.serialize_pem(),
            validity,
        })
    }

    /// One that was kept.
    pub(super) fn read(certificate: String, key: String) -> Result<Self, RootError> {
        let validity = validity(&certificate).ok_or(RootError::Certificate)?;
        let root = Self {
            certificate,
            key,
            validity,
        };
        // The key is that of the certificate.
        Identity::from_pem(root.certificate.as_bytes(), root.key.as_bytes())?;
        root.issuer()?;
        Ok(root)
    }

    /// A certificate for a server of these DNS names and IP addresses, with a new key.
    pub(super) fn sign(&self, names: &[String], validity: Validity) -> Result<Identity, RootError> {
        let key = KeyPair::generate()?;
        let named = CertificateParams::new(names)?;
        let mut params = params(validity);
        params.subject_alt_names = named.subject_alt_names;
        params.distinguished_name = subject("meltemi-controller");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer()?)?.pem();
        let key = key.serialize_pem();
        Ok(Identity::from_pem(certificate.as_bytes(), key.as_bytes())?)
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, RootError> {
        let key = KeyPair::from_pem(&self.key)?;
        Ok(Issuer::from_ca_cert_pem(&self.certificate, key)?)
    }
}

fn params(validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    let at = |time: Time| UNIX_EPOCH + Duration::from_secs(time);
    params.not_before = (at(validity.from) - BACKDATED).into();
    params.not_after = at(validity.until).into();
    params
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// Ours are valid a little earlier than they are made.
fn validity(certificate: &str) -> Option<Validity> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    let validity = certificate.validity();
    let time = |seconds: i64| Time::try_from(seconds).ok();
    Some(Validity {
        from: time(validity.not_before.timestamp())? + BACKDATED.as_secs(),
        until: time(validity.not_after.timestamp())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = 1_900_000_000;

    #[test]
    fn what_is_kept_is_what_was_made() {
        let root = Root::make(NOW, Duration::from_secs(800)).unwrap();
        let read = Root::read(root.certificate.clone(), root.key.clone()).unwrap();
        assert_eq!(read, root);
        assert!(!format!("{root:?}").contains("KEY"));

        let other = Root::make(NOW, Duration::from_secs(800)).unwrap();
        let rows = [
            ("", root.key.as_str()),
            (root.certificate.as_str(), ""),
            (root.certificate.as_str(), root.certificate.as_str()),
            (root.key.as_str(), root.key.as_str()),
        ];
        for (certificate, key) in rows {
            let read = Root::read(certificate.to_owned(), key.to_owned());
            assert!(read.is_err());
        }
        // The key of another.
        assert!(Root::read(root.certificate, other.key).is_err());
    }

    #[test]
    fn a_certificate_is_for_its_names_and_time() {
        let root = Root::make(NOW, Duration::from_secs(800)).unwrap();
        let names = ["meltemi-controller.shop.svc", "127.0.0.1"].map(str::to_owned);
        let validity = root.validity.of_certificate(NOW);
        let identity = root.sign(&names, validity).unwrap();
        let until = i64::try_from(validity.until).unwrap();
        assert_eq!(identity.certificate().not_after, until);
        assert_eq!(identity.certificate().subject, "CN=meltemi-controller");
        assert!(root.sign(&["not a name ä".to_owned()], validity).is_err());
    }
}
