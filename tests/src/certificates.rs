//! Authorities and certificates of a test, made as it runs.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};

/// Issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
    serial: SerialNumber,
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let (uris, names): (Vec<&str>, _) = names.iter().partition(|name| name.contains("://"));
    let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
    let mut params = CertificateParams::new(names).expect("names of certificates");
    let uris = uris
        .into_iter()
        .map(|uri| SanType::URI(uri.try_into().expect("a URI")));
    params.subject_alt_names.extend(uris);
    params.distinguished_name = subject(name);
    params
}

impl Pair {
    /// One that somebody else has issued, in PEM.
    #[must_use]
    pub fn issued(certificate: String, key: String) -> Self {
        Self {
            certificate,
            key,
            serial: SerialNumber::from(0),
        }
    }
}

impl Authority {
    /// # Panics
    /// When no certificate can be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these alternative names, with `name` as its subject.
    #[must_use]
    pub fn issue(&self, name: &str, names: &[&str]) -> Pair {
        self.sign(params(name, names))
    }

    /// One whose subject is a member of a group, which Kubernetes reads there.
    #[must_use]
    pub fn issue_member(&self, name: &str, group: &str) -> Pair {
        let mut params = params(name, &[]);
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
        self.sign(params)
    }

    /// One that is not valid any more.
    #[must_use]
    pub fn issue_expired(&self, name: &str, names: &[&str]) -> Pair {
        let mut params = params(name, names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let digits = key.public_key_raw().iter().rev().take(8).copied();
        // Positive, and not beginning with a zero.
        let serial: Vec<_> = std::iter::once(1).chain(digits).collect();
        let serial = SerialNumber::from_slice(&serial);
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(&key, &self.issuer);
        Pair {
            certificate: certificate.expect("a certificate").pem(),
            key: key.serialize_pem(),
            serial,
        }
    }

    /// A list that says that these were revoked, in PEM.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn revoke(&self, pairs: &[&Pair]) -> String {
        let revoked = pairs.iter().map(|pair| RevokedCertParams {
            serial_number: pair.serial.clone(),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a revocation list");
        list.pem().expect("in PEM")
    }
}

/// The two halves of a key that signs tokens, in PEM.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn service_account_key() -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    (key.serialize_pem(), key.public_key_pem())
}
