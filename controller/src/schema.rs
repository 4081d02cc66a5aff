//! What the control plane has to know of a protocol: it links no plugin, the caller tells it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Diagnostic};

#[cfg(feature = "kubernetes")]
use crate::standing::DEFAULT;

/// A protocol plugin, as far as rules can speak of it.
///
/// As text it is `ID` or `ID:SERVICE_ATTRIBUTE`, of which every attribute is taken as it is, or a YAML mapping of these
/// fields, as `meltemi protocols` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProtocolSchema {
    /// The plugin's id, such as `dubbo`.
    pub id: String,
    /// The attribute that names the service within the protocol, which a service's `interface`
    /// annotation restricts: Dubbo's `interface`, Thrift's `service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_attribute: Option<String>,
    /// What a rule can match on.
    pub attributes: Vec<AttributeDef>,
    /// Whether messages carry attributes of any other name too, such as Dubbo's attachments.
    pub open: bool,
    /// The attributes whose values have no upper-case ASCII letters, such as Redis' `command`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lower_case: Vec<String>,
}

/// An attribute of a protocol's messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttributeDef {
    pub name: String,
    /// What it means, in a sentence.
    #[serde(default)]
    pub description: String,
}

/// Protocols as the value `protocols` of the controller's chart.
#[must_use]
pub fn values_of(protocols: &[ProtocolSchema]) -> String {
    let values = BTreeMap::from([("protocols", protocols)]);
    serde_saphyr::to_string(&values).expect("lists of texts can be written")
}

/// It is no protocol as [`ProtocolSchema`] is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write ID[:SERVICE_ATTRIBUTE], or a mapping as `meltemi protocols` prints it")]
pub struct InvalidProtocol(String);

impl FromStr for ProtocolSchema {
    type Err = InvalidProtocol;

    fn from_str(text: &str) -> Result<Self, InvalidProtocol> {
        // In no id and no attribute there is a brace, and a mapping over several lines has a colon and a blank.
        if text.contains(['{', '\n']) {
            return serde_saphyr::from_str(text).map_err(|it| InvalidProtocol(it.to_string()));
        }
        let (id, service) = match text.split_once(':') {
            Some((id, service)) => (id, Some(service.to_owned())),
            None => (text, None),
        };
        let is_name = |name: &str| !name.is_empty() && !name.contains([' ', ':']);
        if !is_name(id) || !service.as_deref().is_none_or(is_name) {
            return Err(InvalidProtocol(format!("`{text}` is no protocol")));
        }
        let attribute = |name: &String| AttributeDef {
            name: name.clone(),
            description: String::new(),
        };
        Ok(Self {
            id: id.to_owned(),
            attributes: service.iter().map(attribute).collect(),
            open: true,
            service_attribute: service,
            lower_case: vec![],
        })
    }
}

/// A setting that a plugin does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedSetting {
    pub name: String,
    /// What is wrong with it, and what would be right; without the value.
    pub reason: String,
}

/// What a plugin does as settings want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configured {
    /// Whether its messages have a place for attributes of any name then.
    pub open: bool,
}

type Ask = dyn Fn(&str, &[(&str, &str)]) -> Result<Configured, RefusedSetting> + Send + Sync;

/// Asks the plugins themselves about settings: only they know which there are.
#[derive(Clone)]
pub struct SettingsCheck(Arc<Ask>);

impl SettingsCheck {
    /// `ask` gets the id of a plugin, and settings by name.
    pub fn new(
        ask: impl Fn(&str, &[(&str, &str)]) -> Result<Configured, RefusedSetting>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(ask))
    }

    pub(crate) fn ask(&self, plugin: &str, settings: &[(&str, &str)]) -> Option<RefusedSetting> {
        (self.0)(plugin, settings).err()
    }

    /// [`Configured::open`]; none where a setting is refused.
    pub(crate) fn open(&self, plugin: &str, settings: &[(&str, &str)]) -> Option<bool> {
        let configured = (self.0)(plugin, settings).ok();
        configured.map(|configured| configured.open)
    }
}

impl fmt::Debug for SettingsCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SettingsCheck")
    }
}

type HashOf = dyn Fn(&str, &[(&str, &str)], &[(&str, &str)]) -> Option<u64> + Send + Sync;

/// Asks the plugins for the hash of a request's key: only they know how it is made.
#[derive(Clone)]
pub struct KeyHash(Arc<HashOf>);

impl KeyHash {
    /// `hash` gets the id of a plugin, its settings and a request's attributes, both by name. None
    /// where the protocol has no keys, or the request.
    pub fn new(
        hash: impl Fn(&str, &[(&str, &str)], &[(&str, &str)]) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(hash))
    }

    pub(crate) fn of(
        &self,
        plugin: &str,
        settings: &[(&str, &str)],
        attributes: &[(&str, &str)],
    ) -> Option<u64> {
        (self.0)(plugin, settings, attributes)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

/// What manifests are read against.
#[derive(Clone, Debug)]
pub struct Settings {
    pub protocols: Vec<ProtocolSchema>,
    /// Whether those who serve have told of the protocols, and may be of another version by now: what a rule asks that
    /// no request of them has is a warning then.
    pub protocols_are_told: bool,
    /// The namespace whose rules count for every host: Istio's root namespace.
    pub root_namespace: String,
    /// Where the proxy runs that these manifests configure, as `region/zone/subzone`; empty where
    /// nobody said.
    pub locality: meltemi_policy::Locality,
    /// The labels of its workload, its node and its network among them.
    pub labels: BTreeMap<String, String>,
    /// Whether each Gateway is opened by proxies of its own: two that bind one address are no conflict then.
    pub gateways_apart: bool,
    /// Whose objects count, where there may be several controllers; none: all do.
    pub revision: Option<String>,
    /// Whether sidecars are led to the Gateways that services ask for.
    pub leads_sidecars: bool,
    /// Whether an Aeraki is in the cluster, too: rules count in namespaces that were handed over.
    pub beside_aeraki: bool,
    /// None: what plugins are told is not checked.
    pub check: Option<SettingsCheck>,
    /// None: which endpoint has a key is not explained.
    pub key_hash: Option<KeyHash>,
}

impl Settings {
    /// Istio's defaults with these protocols, in no locality.
    #[must_use]
    pub fn new(protocols: Vec<ProtocolSchema>) -> Self {
        Self {
            protocols,
            protocols_are_told: false,
            root_namespace: "istio-system".to_owned(),
            locality: meltemi_policy::Locality::default(),
            labels: BTreeMap::new(),
            gateways_apart: false,
            revision: None,
            leads_sidecars: false,
            beside_aeraki: false,
            check: None,
            key_hash: None,
        }
    }

    /// What a controller calls itself as the manager of fields: each revision is one of its own.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn manager(&self) -> String {
        let revision = self.revision.iter().filter(|it| *it != DEFAULT);
        let parts = std::iter::once("meltemi-controller").chain(revision.map(String::as_str));
        parts.collect::<Vec<_>>().join("-")
    }

    /// What is found wrong with what a rule asks of a protocol.
    pub(crate) fn of_protocols(&self, code: Code, message: String) -> Diagnostic {
        match self.protocols_are_told {
            true => Diagnostic::warning(code, message),
            false => Diagnostic::error(code, message),
        }
    }

    /// Where the proxy runs, and what it is called there.
    pub(crate) fn place(&self) -> meltemi_policy::Place<'_> {
        meltemi_policy::Place {
            locality: &self.locality,
            labels: &self.labels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_read_as_it_is_written() {
        let told = ProtocolSchema {
            id: "redis".to_owned(),
            service_attribute: None,
            attributes: vec![AttributeDef {
                name: "command".to_owned(),
                description: "The command: `get`.".to_owned(),
            }],
            open: false,
            lower_case: vec!["command".to_owned()],
        };
        let text = serde_saphyr::to_string(&told).unwrap();
        assert_eq!(text.parse(), Ok(told.clone()));
        // As charts write what they have read.
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(text.parse(), Ok(told));
        let short: ProtocolSchema = "thrift:service".parse().unwrap();
        assert_eq!(short.service_attribute.as_deref(), Some("service"));
        assert!(short.open);
        for wrong in ["", ":a", "a:", "a b", "{id: a, attribute: []}"] {
            let error = wrong.parse::<ProtocolSchema>().unwrap_err().to_string();
            assert!(error.contains("meltemi protocols"), "{error}");
        }
    }
}
