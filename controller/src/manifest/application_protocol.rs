//! `ApplicationProtocol`: which plugin speaks a protocol by name.

use super::decode::{Decoder, Field};
use super::{Located, name};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApplicationProtocol {
    /// The name that port names use.
    pub(crate) protocol: Located<String>,
    /// The plugin, by Aeraki's codec name or by its own id.
    pub(crate) codec: Located<String>,
}

impl ApplicationProtocol {
    /// The plugin's id: Aeraki's codec names are that with a prefix.
    pub(crate) fn plugin(&self) -> &str {
        let codec = self.codec.value.as_str();
        codec
            .strip_prefix("aeraki.meta_protocol.codec.")
            .unwrap_or(codec)
    }
}

const FIELDS: &[Field] = &[Field::InForce("protocol"), Field::InForce("codec")];

pub(super) fn decode(d: &mut Decoder, spec: &Node) -> Option<ApplicationProtocol> {
    let fields = d.fields("spec", spec, FIELDS);
    let protocol = fields.required(d, "protocol");
    let protocol = protocol.filter(|p| d.check_name("spec.protocol", p, &name::WORD));
    let codec = fields.required(d, "codec");
    Some(ApplicationProtocol {
        protocol: protocol?,
        codec: codec?,
    })
}
