//! Which protocol a port speaks, by its name.

use std::collections::BTreeMap;

use super::{Findings, Need, PortProtocol, Setting, objects_of};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{ApplicationProtocol, Object, Spec, nearest};
use crate::schema::{ProtocolSchema, RefusedSetting, Settings};

/// Names of protocols in lower case.
#[derive(Debug)]
pub(super) struct Protocols {
    /// With the plugins that speak them.
    names: BTreeMap<String, String>,
    /// With the codecs that no plugin implements.
    unserved: BTreeMap<String, String>,
    /// What plugins are told, where an ApplicationProtocol says something.
    settings: BTreeMap<String, Vec<Setting>>,
}

/// What a port's name says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PortName {
    Ours(PortProtocol),
    /// Some other protocol: the port passes as TCP in a mesh.
    NotOurs,
    /// An ApplicationProtocol names it, with a codec that no plugin implements.
    Unserved {
        codec: String,
    },
    /// It says that it is ours, and names a protocol that nobody speaks, or none.
    Unknown {
        named: Option<String>,
        did_you_mean: Option<String>,
    },
}

impl Protocols {
    pub(super) fn new(objects: &Objects, settings: &Settings, findings: &mut Findings) -> Self {
        let ids = || settings.protocols.iter().map(|p| p.id.as_str());
        let mut names: BTreeMap<String, String> =
            ids().map(|id| (id.to_lowercase(), id.to_owned())).collect();
        let mut unserved = BTreeMap::new();
        let mut settings_of = BTreeMap::new();
        for (object, spec) in objects_of!(objects, ApplicationProtocol) {
            let plugin = spec.plugin();
            if ids().any(|id| id == plugin) {
                let protocol = spec.protocol.value.to_lowercase();
                check_settings(object, spec, settings, findings);
                let settings = spec.settings.iter();
                let settings = settings.map(|(name, value)| Setting::plain(name, &value.value));
                settings_of.insert(protocol.clone(), settings.collect());
                names.insert(protocol, plugin.to_owned());
                continue;
            }
            let hint = nearest(plugin, ids());
            let hint = hint
                .map(|n| format!("; did you mean `{n}`?"))
                .unwrap_or_default();
            let message = format!(
                "no plugin implements the codec `{}`{hint}; ports of `{}` are not served",
                spec.codec.value, spec.protocol.value
            );
            let protocol = spec.protocol.value.to_lowercase();
            unserved.insert(protocol, spec.codec.value.clone());
            let known = ids().collect::<Vec<_>>().join(", ");
            let diagnostic = Diagnostic::warning(Code::UnknownProtocol, message);
            findings.at(
                object,
                spec.codec.at,
                diagnostic.remedy(format!("there is {known}")),
            );
        }
        Self {
            names,
            unserved,
            settings: settings_of,
        }
    }

    /// What the plugin is told about each service of a protocol.
    pub(super) fn settings(&self, protocol: &PortProtocol) -> Vec<Setting> {
        let settings = self.settings.get(&protocol.application);
        settings.cloned().unwrap_or_default()
    }

    /// Reads `tcp-metaprotocol-<application protocol>[-suffix]` and `tcp-<protocol>[-suffix]`,
    /// whatever the case.
    pub(super) fn of_port(&self, name: &str) -> PortName {
        let name = name.to_lowercase();
        let mut tokens = name.split('-');
        if tokens.next() != Some("tcp") {
            return PortName::NotOurs;
        }
        let named = tokens.next().unwrap_or_default();
        if named != "metaprotocol" {
            return self.resolve(named).unwrap_or(PortName::NotOurs);
        }
        let Some(named) = tokens.next().filter(|n| !n.is_empty()) else {
            return PortName::Unknown {
                named: None,
                did_you_mean: None,
            };
        };
        self.resolve(named).unwrap_or_else(|| {
            let known = self.names.keys().map(String::as_str);
            PortName::Unknown {
                named: Some(named.to_owned()),
                did_you_mean: nearest(named, known).map(str::to_owned),
            }
        })
    }

    fn resolve(&self, application: &str) -> Option<PortName> {
        let Some(plugin) = self.names.get(application) else {
            let codec = self.unserved.get(application)?.clone();
            return Some(PortName::Unserved { codec });
        };
        Some(PortName::Ours(PortProtocol {
            application: application.to_owned(),
            plugin: plugin.clone(),
        }))
    }

    /// What is wrong with a name that is [`PortName::Unknown`].
    pub(super) fn complaint(named: Option<&str>, did_you_mean: Option<&str>) -> Diagnostic {
        let Some(named) = named else {
            let message = "the port's name ends before it names a protocol";
            return Diagnostic::error(Code::UnknownProtocol, message)
                .remedy("write tcp-metaprotocol-NAME, for instance tcp-metaprotocol-dubbo");
        };
        let hint = did_you_mean
            .map(|n| format!("; did you mean `{n}`?"))
            .unwrap_or_default();
        let message = format!("no protocol is named `{named}`{hint}");
        Diagnostic::error(Code::UnknownProtocol, message)
            .remedy("an ApplicationProtocol gives a name to a plugin's protocol")
    }
}

/// What the plugin does not take: it would serve none of its services.
fn check_settings(
    object: &Object,
    spec: &ApplicationProtocol,
    settings: &Settings,
    findings: &mut Findings,
) {
    let given = spec.settings.iter();
    let given: Vec<_> = given.map(|(n, v)| (n.as_str(), v.value.as_str())).collect();
    let plugin = spec.plugin();
    let refused = settings.check.as_ref().filter(|_| !given.is_empty());
    let Some(refused) = refused.and_then(|check| check.ask(plugin, &given)) else {
        return;
    };
    let RefusedSetting { name, reason } = refused;
    let at = spec.settings.get(&name).map_or(object.at, |value| value.at);
    let message = format!("the plugin `{plugin}` refuses the setting `{name}`: {reason}");
    let diagnostic = Diagnostic::error(Code::InvalidValue, message);
    findings.at(
        object,
        at,
        diagnostic.remedy("change the setting as it says, or remove it"),
    );
}

/// The application protocol that a port's name speaks of.
pub(super) fn need(port: &str) -> Option<Need> {
    let name = port.to_lowercase();
    let named = name.strip_prefix("tcp-")?;
    let named = named.strip_prefix("metaprotocol-").unwrap_or(named);
    let named = named.split('-').next()?;
    Some(Need::Protocol(named.to_owned()))
}

/// The schema of a plugin that [`Protocols`] resolved.
pub(super) fn schema<'a>(settings: &'a Settings, plugin: &str) -> Option<&'a ProtocolSchema> {
    settings.protocols.iter().find(|p| p.id == plugin)
}
