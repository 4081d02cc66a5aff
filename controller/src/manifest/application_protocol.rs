//! `ApplicationProtocol`: which plugin speaks a protocol by name.

use std::collections::BTreeMap;

use super::decode::{Decoder, Fields};
use super::shape::{Described, Shape, Takes};
use super::{Located, name};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApplicationProtocol {
    /// The name that port names use.
    pub(crate) protocol: Located<String>,
    /// The plugin, by Aeraki's codec name or by its own id.
    pub(crate) codec: Located<String>,
    /// What the plugin is told about each service of this protocol, by name.
    pub(crate) settings: BTreeMap<String, Located<String>>,
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

pub(crate) static APPLICATION_PROTOCOL: Shape = Shape {
    name: "ApplicationProtocol",
    meaning: "Which plugin speaks a protocol by name.",
    given: "",
    instead: &[],
    fields: &[
        Described::new("protocol", Takes::Text, "the name that port names use").required(),
        Described::new(
            "codec",
            Takes::Text,
            "the plugin: its id, or Aeraki's name for it (`aeraki.meta_protocol.codec.dubbo`)",
        )
        .required(),
        Described::new(
            "settings",
            Takes::Map(&Takes::Scalar),
            "our addition: what the plugin is told about each service of this protocol, by name. Which \
             names there are the plugin says",
        ),
    ],
};

pub(super) fn decode(d: &mut Decoder, spec: &Node) -> Option<ApplicationProtocol> {
    let fields = d.fields("spec", spec, &APPLICATION_PROTOCOL);
    let protocol = fields.required(d, "protocol");
    let protocol = protocol.filter(|p| d.check_name("spec.protocol", p, &name::WORD));
    let codec = fields.required(d, "codec");
    let settings = settings(d, &fields);
    Some(ApplicationProtocol {
        protocol: protocol?,
        codec: codec?,
        settings,
    })
}

/// Which names there are, and what their values mean, the plugin says.
fn settings(d: &mut Decoder, spec: &Fields<'_>) -> BTreeMap<String, Located<String>> {
    let mut settings = BTreeMap::new();
    for entry in spec.map(d, "settings") {
        if entry.key.is_empty() {
            let remedy = "name the setting of the plugin";
            d.invalid(entry.at, "a setting without a name", remedy);
            continue;
        }
        let path = format!("spec.settings.{}", entry.key);
        if let Some(value) = d.scalar(&path, &entry.value) {
            let at = entry.at;
            settings.insert(entry.key.clone(), Located { value, at });
        }
    }
    settings
}
