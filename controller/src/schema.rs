//! What the control plane has to know of a protocol: it links no plugin, the caller tells it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "kubernetes")]
use crate::standing::DEFAULT;

/// A protocol plugin, as far as rules can speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolSchema {
    /// The plugin's id, such as `dubbo`.
    pub id: String,
    /// What a rule can match on.
    pub attributes: Vec<AttributeDef>,
    /// Whether messages carry attributes of any other name too, such as Dubbo's attachments.
    pub open: bool,
    /// The attribute that names the service within the protocol, which a service's `interface`
    /// annotation restricts: Dubbo's `interface`, Thrift's `service`.
    pub service_attribute: Option<String>,
    /// The attributes whose values have no upper-case ASCII letters, such as Redis' `command`.
    pub lower_case: Vec<String>,
}

/// An attribute of a protocol's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeDef {
    pub name: String,
    /// What it means, in a sentence.
    pub description: String,
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
            root_namespace: "istio-system".to_owned(),
            locality: meltemi_policy::Locality::default(),
            labels: BTreeMap::new(),
            gateways_apart: false,
            revision: None,
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

    /// Where the proxy runs, and what it is called there.
    pub(crate) fn place(&self) -> meltemi_policy::Place<'_> {
        meltemi_policy::Place {
            locality: &self.locality,
            labels: &self.labels,
        }
    }
}
