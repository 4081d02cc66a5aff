//! The wish for TLS with the clients of a server.

use super::super::decode::{Decoder, Field, Fields};
use super::super::{Located, Mark};
use crate::yaml::{Node, Value};

/// Istio's `ServerTLSSettings`, as they are written: whether they make sense together is known where a
/// server is made of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServerTls {
    /// Without one it is PASSTHROUGH, as in Istio.
    pub(crate) mode: Option<Located<String>>,
    /// Files of the proxy, of which a client is shown those that fit what it asks for.
    pub(crate) certificates: Vec<CertificateFiles>,
    pub(crate) ca_certificates: Option<Located<String>>,
    pub(crate) ca_crl: Option<Located<String>>,
    /// Secrets, in the place of all of these files; the first has the authorities of clients as well.
    pub(crate) credentials: Vec<CredentialName>,
    /// The Secret of these, where it is another one.
    pub(crate) ca_credential: Option<CredentialName>,
    pub(crate) subject_alt_names: Vec<Located<String>>,
    pub(crate) min_version: Option<Located<String>>,
    pub(crate) max_version: Option<Located<String>>,
    /// What would make it stricter, or another one, and cannot be given.
    pub(crate) unsupported: Option<Located<String>>,
    pub(crate) mark: Mark,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CertificateFiles {
    pub(crate) server_certificate: Option<Located<String>>,
    pub(crate) private_key: Option<Located<String>>,
}

/// A Secret by its name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CredentialName {
    pub(crate) name: Located<String>,
    /// None: it is in the namespace of the Gateway.
    pub(crate) namespace: Option<String>,
}

impl From<Located<String>> for CredentialName {
    fn from(name: Located<String>) -> Self {
        Self {
            name,
            namespace: None,
        }
    }
}

impl ServerTls {
    /// Certificates of the mesh on both sides.
    pub(crate) fn of_workloads(mark: Mark) -> Self {
        Self::of_mode("ISTIO_MUTUAL", vec![], mark)
    }

    /// Certificates of Secrets, and clients that are not asked for one.
    pub(crate) fn simple(credentials: Vec<CredentialName>, mark: Mark) -> Self {
        Self::of_mode("SIMPLE", credentials, mark)
    }

    /// The same, and clients that have to show a certificate of these authorities.
    pub(crate) fn mutual(self, authorities: CredentialName) -> Self {
        Self {
            ca_credential: Some(authorities),
            ..Self::of_mode("MUTUAL", self.credentials, self.mark)
        }
    }

    fn of_mode(mode: &str, credentials: Vec<CredentialName>, mark: Mark) -> Self {
        Self {
            mode: Some(Located {
                value: mode.to_owned(),
                at: mark.at,
            }),
            certificates: vec![],
            ca_certificates: None,
            ca_crl: None,
            credentials,
            ca_credential: None,
            subject_alt_names: vec![],
            min_version: None,
            max_version: None,
            unsupported: None,
            mark,
        }
    }
}

const TLS: &[Field] = &[
    Field::InForce("mode"),
    Field::InForce("serverCertificate"),
    Field::InForce("privateKey"),
    Field::InForce("caCertificates"),
    Field::InForce("caCrl"),
    Field::InForce("credentialName"),
    Field::InForce("subjectAltNames"),
    Field::InForce("minProtocolVersion"),
    Field::InForce("maxProtocolVersion"),
    Field::NotYet("cipherSuites"),
    Field::InForce("httpsRedirect"),
    Field::InForce("verifyCertificateSpki"),
    Field::InForce("verifyCertificateHash"),
    Field::InForce("credentialNames"),
    Field::InForce("caCertCredentialName"),
    Field::InForce("tlsCertificates"),
];

/// Accepted, so that the server is known and refused: a Gateway that is refused as a whole would stay as
/// it was, perhaps in plaintext.
const UNSUPPORTED: &[&str] = &[
    "httpsRedirect",
    "verifyCertificateSpki",
    "verifyCertificateHash",
];

const MODES: &[&str] = &[
    "PASSTHROUGH",
    "SIMPLE",
    "MUTUAL",
    "AUTO_PASSTHROUGH",
    "ISTIO_MUTUAL",
    "OPTIONAL_MUTUAL",
];

const VERSIONS: &[&str] = &["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"];

pub(super) fn decode(d: &mut Decoder, node: &Node) -> ServerTls {
    let fields = d.fields("tls", node, TLS);
    let mut choice = |name, path, choices: &[&str]| {
        let chosen = fields.string(d, name);
        if let Some(chosen) = chosen
            .as_ref()
            .filter(|it| !choices.contains(&it.value.as_str()))
        {
            d.not_a_choice(path, chosen, choices);
        }
        chosen
    };
    let mode = choice("mode", "tls.mode", MODES);
    let min_version = choice("minProtocolVersion", "tls.minProtocolVersion", VERSIONS);
    let max_version = choice("maxProtocolVersion", "tls.maxProtocolVersion", VERSIONS);
    let is_given = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::List(items) => !items.is_empty(),
        _ => true,
    };
    let unsupported = fields
        .entries
        .iter()
        .find(|entry| UNSUPPORTED.contains(&entry.key.as_str()) && is_given(&entry.value.value));
    // As in protobuf, an empty text is one that is not given.
    let mut text = |name| fields.string(d, name).filter(|text| !text.value.is_empty());
    let (ca_certificates, ca_crl) = (text("caCertificates"), text("caCrl"));
    let ca_credential = text("caCertCredentialName").map(CredentialName::from);
    let own = CertificateFiles {
        server_certificate: text("serverCertificate"),
        private_key: text("privateKey"),
    };
    let credential = text("credentialName");
    let credentials = credential
        .into_iter()
        .chain(fields.strings(d, "credentialNames"));
    ServerTls {
        mark: Mark::new(mode.as_ref().map_or(node.at, |mode| mode.at)),
        mode,
        credentials: credentials.map(CredentialName::from).collect(),
        certificates: certificates(d, &fields, own),
        ca_certificates,
        ca_crl,
        ca_credential,
        subject_alt_names: fields.strings(d, "subjectAltNames"),
        min_version,
        max_version,
        unsupported: unsupported.map(|entry| Located {
            value: entry.key.clone(),
            at: entry.at,
        }),
    }
}

const CERTIFICATE: &[Field] = &[
    Field::InForce("serverCertificate"),
    Field::InForce("privateKey"),
    Field::NotYet("caCertificates"),
];

/// The one that is given by itself, and those of `tlsCertificates`.
fn certificates(
    d: &mut Decoder,
    fields: &Fields<'_>,
    own: CertificateFiles,
) -> Vec<CertificateFiles> {
    let own = Some(own).filter(|own| *own != CertificateFiles::default());
    let listed = fields.list(d, "tlsCertificates").iter().map(|node| {
        let fields = d.fields("tls.tlsCertificates", node, CERTIFICATE);
        CertificateFiles {
            server_certificate: fields.required(d, "serverCertificate"),
            private_key: fields.required(d, "privateKey"),
        }
    });
    own.into_iter().chain(listed).collect()
}
