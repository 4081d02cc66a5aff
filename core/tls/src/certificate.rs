//! What people want to know of a certificate.

use rustls::pki_types::CertificateDer;

/// Whose it is, and how long it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// As in `CN=client, O=Example`; empty where only the alternative names say whose it is.
    pub subject: String,
    /// The last second that it is valid in, as seconds since 1970.
    pub not_after: i64,
    /// The same for people.
    pub expires: String,
}

impl Certificate {
    /// `None`: it is no certificate.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let not_after = certificate.validity().not_after;
        Some(Self {
            subject: certificate.subject().to_string(),
            not_after: not_after.timestamp(),
            expires: not_after.to_string(),
        })
    }
}
