//! The wish for TLS towards the endpoints.

use super::super::decode::{Decoder, Field};
use super::super::{Located, Mark};
use crate::yaml::{Node, Value};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tls {
    pub(crate) mode: Option<Located<String>>,
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
    Field::NoEffect("clientCertificate"),
    Field::NoEffect("privateKey"),
    Field::NoEffect("caCertificates"),
    Field::NoEffect("caCrl"),
    Field::NoEffect("credentialName"),
    Field::NoEffect("subjectAltNames"),
    Field::NoEffect("sni"),
    Field::NoEffect("insecureSkipVerify"),
];

// A mode that asks for TLS is accepted here, so that the cluster is known and refused: a rule that is
// refused as a whole would leave its host to be dialled in plaintext.
const MODES: &[&str] = &["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"];

pub(super) fn decode(d: &mut Decoder, node: &Node) -> Tls {
    let fields = d.fields("tls", node, TLS);
    let mode = fields.string(d, "mode");
    if let Some(mode) = mode.as_ref().filter(|m| !MODES.contains(&m.value.as_str())) {
        d.not_a_choice("tls.mode", mode, MODES);
    }
    let mut given = fields
        .entries
        .iter()
        .filter(|e| e.value.value != Value::Null);
    Tls {
        has_details: given.any(|e| e.key != "mode"),
        mark: Mark::new(mode.as_ref().map_or(node.at, |mode| mode.at)),
        mode,
    }
}
