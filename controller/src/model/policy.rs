//! What is done with requests and connections, beyond where they go.

use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::ClusterName;

use crate::manifest::{Buffering, Hidden, Object};

/// What a server's connections are served with.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerPolicy {
    /// The RedisService that decides it, where there is one.
    pub(crate) source: Option<Arc<Object>>,
    /// What the plugin is told; no name occurs twice.
    pub(crate) settings: Vec<Setting>,
    pub(crate) faults: Vec<Fault>,
    /// Whether requests are counted by operation as well.
    pub(crate) operation_metrics: bool,
    /// Requests that take at least as long are logged.
    pub(crate) slow_request: Option<Duration>,
    pub(crate) buffering: Option<Buffering>,
    /// For the clusters that its rules lead to; none: the proxy's default.
    pub(crate) max_unknown_nodes: Option<u32>,
}

/// What a plugin is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: SettingValue,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SettingValue {
    Plain(String),
    Secret(Hidden<String>),
}

impl Setting {
    pub(super) fn plain(name: &str, value: &str) -> Self {
        Self::new(name, SettingValue::Plain(value.to_owned()))
    }

    pub(super) fn new(name: &str, value: SettingValue) -> Self {
        Self {
            name: name.to_owned(),
            value,
        }
    }

    /// Its name and value, unless that is a secret.
    pub(super) fn as_plain(&self) -> Option<(&str, &str)> {
        match &self.value {
            SettingValue::Plain(value) => Some((&self.name, value)),
            SettingValue::Secret(_) => None,
        }
    }

    /// Puts it among the others, in the place of the one of its name.
    pub(super) fn put(self, settings: &mut Vec<Self>) {
        settings.retain(|other| other.name != self.name);
        settings.push(self);
    }
}

/// A fault on purpose: a delay, an error, or both.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// From 0 to 100.
    pub(crate) percentage: f64,
    /// In lower case; none: all.
    pub(crate) operations: Vec<String>,
    pub(crate) delay: Option<Duration>,
    pub(crate) error: Option<String>,
}

/// What is taken off an attribute's values before a request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemovePrefix {
    pub(crate) attribute: String,
    pub(crate) prefix: String,
}

/// A cluster that gets a copy of requests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mirror {
    pub(crate) cluster: ClusterName,
    /// From 0 to 100.
    pub(crate) percentage: f64,
    /// Whether requests that change nothing are left out.
    pub(crate) exclude_idempotent: bool,
}
