//! Who a client is, by the certificate that it has shown.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The first URI among its alternative names, else the first DNS name, else the subject: the order of
/// Envoy's `Principal.Authenticated.principal_name`. Envoy compares with each of them; a SPIFFE id is
/// the only URI of its certificate (X.509-SVID, section 2), so that nothing differs there.
///
/// A URI is given as it stands, with `spiffe://`. Call it with a certificate that was verified.
#[must_use]
pub fn principal(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let named = alternative(&certificate, |name| match name {
        GeneralName::URI(uri) => Some(uri),
        _ => None,
    });
    let named = named.or_else(|| {
        alternative(&certificate, |name| match name {
            GeneralName::DNSName(name) => Some(name),
            _ => None,
        })
    });
    let subject = || Some(rfc2253(certificate.subject())).filter(|subject| !subject.is_empty());
    named.or_else(subject)
}

/// An identity as [`principal`] gives it. A SPIFFE id may be written without its scheme, as in Istio's
/// `source.principals`: it is the only kind that has a slash in it and no `=`.
#[must_use]
pub fn identity(written: &str) -> String {
    let is_whole = written.contains("://") || written.contains('=') || !written.contains('/');
    match is_whole {
        true => written.to_owned(),
        false => format!("spiffe://{written}"),
    }
}

fn alternative(
    certificate: &X509Certificate<'_>,
    of_kind: impl for<'n> Fn(&GeneralName<'n>) -> Option<&'n str>,
) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    let names = &names.value.general_names;
    names.iter().find_map(of_kind).map(str::to_owned)
}

/// A subject as Envoy writes it (`subjectPeerCertificate`): the last part first.
fn rfc2253(subject: &X509Name<'_>) -> String {
    let parts = subject.iter_rdn().map(|part| {
        let part: Vec<_> = part.iter().map(attribute).collect();
        part.join("+")
    });
    let mut parts: Vec<_> = parts.collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type();
    let kind = oid2abbrev(kind, oid_registry()).map_or_else(|_| kind.to_id_string(), str::to_owned);
    let mut text = format!("{kind}=");
    let value = attribute.as_str().unwrap_or_default();
    for (i, c) in value.char_indices() {
        let is_last = i + c.len_utf8() == value.len();
        let is_special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (c == '#' && i == 0)
            || (c == ' ' && (i == 0 || is_last));
        if is_special {
            text.push('\\');
        }
        text.push(c);
    }
    text
}
