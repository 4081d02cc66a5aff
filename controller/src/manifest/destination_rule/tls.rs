//! The wish for TLS towards the endpoints.

use super::super::decode::{Decoder, Field, Fields};
use super::super::{Located, Mark};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::{Node, Value};

/// Istio's `ClientTLSSettings`, as they are written: whether they make sense together is known where
/// a cluster is made of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tls {
    pub(crate) mode: Option<Located<String>>,
    /// Files of the proxy.
    pub(crate) client_certificate: Option<Located<String>>,
    pub(crate) private_key: Option<Located<String>>,
    pub(crate) ca_certificates: Option<Located<String>>,
    pub(crate) ca_crl: Option<Located<String>>,
    /// A Secret in the namespace of the rule, in the place of all of these files.
    pub(crate) credential_name: Option<Located<String>>,
    pub(crate) subject_alt_names: Vec<Located<String>>,
    pub(crate) sni: Option<Located<String>>,
    pub(crate) insecure_skip_verify: bool,
    /// Whether it says what only TLS needs, such as a certificate.
    has_details: bool,
    pub(crate) mark: Mark,
}

impl Tls {
    /// DISABLE is the only mode that plaintext fulfils. It is what Istio takes where no mode is
    /// given, but who names a credential hardly means plaintext.
    pub(crate) fn is_asked_for(&self) -> bool {
        match &self.mode {
            Some(mode) => mode.value != "DISABLE",
            None => self.has_details,
        }
    }
}

const TLS: &[Field] = &[
    Field::InForce("mode"),
    Field::InForce("clientCertificate"),
    Field::InForce("privateKey"),
    Field::InForce("caCertificates"),
    Field::InForce("caCrl"),
    Field::InForce("credentialName"),
    Field::InForce("subjectAltNames"),
    Field::InForce("sni"),
    Field::InForce("insecureSkipVerify"),
];

// A mode that cannot be given is accepted here, so that the cluster is known and refused: a rule that is
// refused as a whole would leave its host to be dialled in plaintext.
const MODES: &[&str] = &["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"];

pub(super) fn decode(d: &mut Decoder, node: &Node) -> Tls {
    let fields = d.fields("tls", node, TLS);
    let mode = fields.string(d, "mode");
    if let Some(mode) = mode.as_ref().filter(|m| !MODES.contains(&m.value.as_str())) {
        d.not_a_choice("tls.mode", mode, MODES);
    }
    if mode.as_ref().is_some_and(|mode| mode.value == "DISABLE") {
        has_no_effect(d, &fields);
    }
    let mut given = fields
        .entries
        .iter()
        .filter(|e| e.value.value != Value::Null);
    // As in protobuf, an empty text is one that is not given.
    let mut text = |name| fields.string(d, name).filter(|text| !text.value.is_empty());
    Tls {
        has_details: given.any(|e| e.key != "mode"),
        mark: Mark::new(mode.as_ref().map_or(node.at, |mode| mode.at)),
        mode,
        client_certificate: text("clientCertificate"),
        private_key: text("privateKey"),
        ca_certificates: text("caCertificates"),
        ca_crl: text("caCrl"),
        credential_name: text("credentialName"),
        sni: text("sni"),
        subject_alt_names: fields.strings(d, "subjectAltNames"),
        insecure_skip_verify: fields.boolean(d, "insecureSkipVerify").unwrap_or(false),
    }
}

/// What only TLS has a use for: Istio takes it and says nothing.
fn has_no_effect(d: &mut Decoder, fields: &Fields<'_>) {
    let is_given = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::List(items) => !items.is_empty(),
        _ => true,
    };
    let details = fields.entries.iter().filter(|entry| entry.key != "mode");
    for entry in details.filter(|entry| is_given(&entry.value.value)) {
        let message = format!("`tls.{}` has no effect: the mode is DISABLE", entry.key);
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        let remedy = "remove it, or set `mode: SIMPLE`, or `MUTUAL` to show a certificate";
        d.report(entry.at, diagnostic.remedy(remedy));
    }
}
