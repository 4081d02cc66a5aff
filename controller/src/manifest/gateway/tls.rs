//! The wish for TLS with the clients of a server.

use super::super::decode::{Decoder, Field};
use super::super::{Located, Mark};
use crate::yaml::{Node, Value};

/// Istio's `ServerTLSSettings`, as they are written: whether they make sense together is known where a
/// server is made of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServerTls {
    /// Without one it is PASSTHROUGH, as in Istio.
    pub(crate) mode: Option<Located<String>>,
    /// Files of the proxy.
    pub(crate) server_certificate: Option<Located<String>>,
    pub(crate) private_key: Option<Located<String>>,
    pub(crate) ca_certificates: Option<Located<String>>,
    pub(crate) ca_crl: Option<Located<String>>,
    /// A Secret in the namespace of the Gateway, in the place of all of these files.
    pub(crate) credential_name: Option<Located<String>>,
    /// Where the Secret is, if not there.
    pub(crate) credential_namespace: Option<Located<String>>,
    pub(crate) subject_alt_names: Vec<Located<String>>,
    pub(crate) min_version: Option<Located<String>>,
    pub(crate) max_version: Option<Located<String>>,
    /// What would make it stricter, or another one, and cannot be given.
    pub(crate) unsupported: Option<Located<String>>,
    pub(crate) mark: Mark,
}

impl ServerTls {
    /// Certificates of the mesh on both sides.
    pub(crate) fn of_workloads(mark: Mark) -> Self {
        let name = Located {
            value: String::new(),
            at: mark.at,
        };
        let simple = Self::simple(name, None, mark);
        Self {
            mode: simple.mode.map(|mode| Located {
                value: "ISTIO_MUTUAL".to_owned(),
                at: mode.at,
            }),
            credential_name: None,
            ..simple
        }
    }

    /// A certificate of a Secret, and clients that are not asked for one.
    pub(crate) fn simple(
        name: Located<String>,
        namespace: Option<Located<String>>,
        mark: Mark,
    ) -> Self {
        Self {
            mode: Some(Located {
                value: "SIMPLE".to_owned(),
                at: mark.at,
            }),
            server_certificate: None,
            private_key: None,
            ca_certificates: None,
            ca_crl: None,
            credential_name: Some(name),
            credential_namespace: namespace,
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
    "credentialNames",
    "caCertCredentialName",
    "tlsCertificates",
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
    ServerTls {
        mark: Mark::new(mode.as_ref().map_or(node.at, |mode| mode.at)),
        mode,
        server_certificate: text("serverCertificate"),
        private_key: text("privateKey"),
        ca_certificates: text("caCertificates"),
        ca_crl: text("caCrl"),
        credential_name: text("credentialName"),
        credential_namespace: None,
        subject_alt_names: fields.strings(d, "subjectAltNames"),
        min_version,
        max_version,
        unsupported: unsupported.map(|entry| Located {
            value: entry.key.clone(),
            at: entry.at,
        }),
    }
}
