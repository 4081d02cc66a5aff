//! A name that a peer's certificate may be for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::{CertificateDer, DnsName, ServerName};
use x509_parser::extensions::GeneralName;

/// One of the kinds of alternative names that certificates have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerName {
    /// A certificate's `*.example.com` covers `a.example.com`, and its `*.example` covers `a.example`.
    Dns(String),
    /// Such as a SPIFFE id; compared as it stands.
    Uri(String),
    Ip(IpAddr),
    /// Any SPIFFE id of this trust domain, where it is the only URI of its certificate (X.509-SVID, section 2).
    TrustDomain(String),
}

/// It is neither a DNS name, nor a URI, nor an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no DNS name, URI or IP address")]
pub struct InvalidName;

impl FromStr for PeerName {
    type Err = InvalidName;

    /// What has `://` in it is a URI.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.contains("://") {
            return Ok(Self::Uri(text.to_owned()));
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        DnsName::try_from(text).map_err(|_| InvalidName)?;
        Ok(Self::Dns(text.to_owned()))
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) | Self::Uri(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
            Self::TrustDomain(name) => write!(f, "{SPIFFE}{name}/"),
        }
    }
}

const SPIFFE: &str = "spiffe://";

impl PeerName {
    /// As in `spiffe://cluster.local/`, which is how it prints. None where it is something else.
    #[must_use]
    pub fn of_trust_domain(prefix: &str) -> Option<Self> {
        let name = prefix.strip_prefix(SPIFFE)?.strip_suffix('/')?;
        let is_one = !name.is_empty() && !name.contains('/');
        is_one.then(|| Self::TrustDomain(name.to_owned()))
    }

    /// Whether the certificate, which was verified, is for this name.
    pub(crate) fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        let is_for = |name: ServerName<'_>| {
            let parsed = rustls::server::ParsedCertificate::try_from(certificate);
            parsed.is_ok_and(|parsed| rustls::client::verify_server_name(&parsed, &name).is_ok())
        };
        match self {
            Self::Dns(name) => {
                ServerName::try_from(name.as_str()).is_ok_and(is_for)
                    || presented(certificate).iter().any(|it| is_covered(name, it))
            }
            Self::Ip(ip) => is_for(ServerName::from(*ip)),
            Self::Uri(uri) => presented(certificate).contains(uri),
            Self::TrustDomain(name) => {
                let presented = presented(certificate);
                let mut uris = presented.iter().filter(|it| it.contains("://"));
                let id = uris.next().and_then(|id| id.strip_prefix(SPIFFE));
                let rest = id.and_then(|id| id.strip_prefix(name.as_str()));
                uris.next().is_none() && rest.is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

/// Whether a name is one of the wildcard's, however few labels are behind that: in a cluster hosts have as
/// many as they like. Envoy's `Utility::dnsNameMatch` compares so; rustls, as browsers, wants two.
fn is_covered(name: &str, presented: &str) -> bool {
    let parent = name.split_once('.').map(|(_, parent)| parent);
    let covered = presented.strip_prefix("*.").zip(parent);
    covered.is_some_and(|(wildcard, parent)| parent.eq_ignore_ascii_case(wildcard))
}

/// The alternative names of a certificate, for comparing URIs and for people.
pub(crate) fn presented(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return vec![];
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return vec![];
    };
    let names = names.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|ip| IpAddr::from(ip).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|ip| IpAddr::from(ip).to_string()),
        },
        _ => None,
    });
    names.collect()
}
