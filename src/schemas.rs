//! What the control plane has to know of the protocols that this command has.

use meltemi_controller::{AttributeDef, ProtocolSchema, Settings};
use meltemi_core::protocols::Protocols;
use meltemi_policy::Locality;

/// The settings that manifests are read with.
pub(crate) fn settings(
    protocols: &Protocols,
    root_namespace: &str,
    locality: &Locality,
) -> Settings {
    let schemas = protocols.iter().map(|protocol| ProtocolSchema {
        id: protocol.id().to_owned(),
        attributes: protocol
            .attributes()
            .iter()
            .map(|attribute| AttributeDef {
                name: attribute.name.to_owned(),
                description: attribute.meaning.to_owned(),
            })
            .collect(),
        open: protocol.open_attributes(),
        service_attribute: protocol.service_attribute().map(str::to_owned),
    });
    let mut settings = Settings::new(schemas.collect());
    settings.root_namespace = root_namespace.to_owned();
    settings.locality = locality.clone();
    settings
}
