//! What the control plane has to know of the protocols that this command has.

use std::process::ExitCode;

use meltemi_controller::{
    AttributeDef, Configured, KeyHash, ProtocolSchema, RefusedSetting, Settings, SettingsCheck,
    values_of,
};
use meltemi_core::protocols::Protocols;

use crate::arguments::Place;
use crate::output;

/// The settings that manifests are read with.
pub(crate) fn settings(
    protocols: &Protocols,
    root_namespace: &str,
    place: Option<&Place>,
) -> Settings {
    let mut settings = Settings::new(schemas(protocols));
    settings.root_namespace = root_namespace.to_owned();
    if let Some(place) = place {
        settings.locality = place.locality.clone();
        settings.labels = place.labels();
    }
    settings.check = Some(check(protocols.clone()));
    settings.key_hash = Some(key_hash(protocols.clone()));
    settings
}

/// Prints what a controller has to be told of the protocols.
pub(crate) fn main(protocols: &Protocols) -> anyhow::Result<ExitCode> {
    output::answer(values_of(&schemas(protocols)).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn schemas(protocols: &Protocols) -> Vec<ProtocolSchema> {
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
        lower_case: protocol
            .lower_case_attributes()
            .iter()
            .map(|&name| name.to_owned())
            .collect(),
    });
    schemas.collect()
}

fn key_hash(protocols: Protocols) -> KeyHash {
    KeyHash::new(move |plugin, settings, attributes| {
        let protocol = protocols.find(plugin)?.configure(settings).ok()?;
        let name = protocol.key_attribute()?;
        let (_, key) = attributes
            .iter()
            .find(|(attribute, _)| *attribute == name)?;
        protocol.key_hash(key.as_bytes())
    })
}

/// A plugin that is told what it does not take serves nobody: better said before.
fn check(protocols: Protocols) -> SettingsCheck {
    SettingsCheck::new(move |plugin, settings| {
        let Some(protocol) = protocols.find(plugin) else {
            return Ok(Configured { open: true });
        };
        match protocol.configure(settings) {
            Ok(configured) => Ok(Configured {
                open: configured.carries_attributes(),
            }),
            Err(refused) => Err(RefusedSetting {
                name: refused.name.into(),
                reason: refused.reason.to_owned(),
            }),
        }
    })
}
