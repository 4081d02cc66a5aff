//! What is done with requests and connections, beyond where they go.

use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::ClusterName;

use super::{Clusters, Rule};
use crate::manifest::{Buffering, Hidden, Object, ObjectRef, Route, Tcp};

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
    pub(crate) clients: ClientTimes,
    /// For the clusters that its rules lead to; none: the proxy's default.
    pub(crate) max_unknown_nodes: Option<u32>,
}

/// How long clients may stay; none: the proxy's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientTimes {
    pub(crate) idle: Option<Duration>,
    pub(crate) longest: Option<Duration>,
}

impl ClientTimes {
    /// The shortest that a destination of the rules asks for: a connection leads to all of them.
    pub(super) fn of(rules: &[Arc<Rule>], clusters: &Clusters) -> Self {
        let destinations = rules.iter().flat_map(|rule| &rule.destinations);
        let pools = destinations.filter_map(|to| Some(clusters.get(&to.cluster)?.pool.tcp));
        let pools: Vec<_> = pools.collect();
        let shortest = |time: fn(&Tcp) -> Option<Duration>| pools.iter().filter_map(time).min();
        Self {
            idle: shortest(|tcp| tcp.idle_timeout),
            longest: shortest(|tcp| tcp.max_connection_duration),
        }
    }
}

/// How many requests of a route may be unanswered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CircuitBreaker {
    /// The route: its requests count together on all servers.
    pub(crate) name: String,
    pub(crate) max_requests: u32,
}

impl CircuitBreaker {
    /// That of a route of an object, which has its name or its number.
    pub(super) fn of(object: &Object, route: &Route, number: usize) -> Option<Self> {
        let max_requests = route.max_requests?;
        let id = &object.id;
        let route = route.name.clone().unwrap_or_else(|| number.to_string());
        let (kind, namespace, name) = (id.kind.name(), &id.namespace, &id.name);
        Some(Self {
            name: format!("{kind}/{namespace}/{name}/{route}"),
            max_requests,
        })
    }
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
    Secret(SecretText),
}

/// A text that proxies are sent apart from the setting that it is for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SecretText {
    /// `kind/namespace/name/part`, by the object that says it or names the Secret that has it.
    pub(crate) name: String,
    pub(crate) text: Hidden<String>,
}

impl SecretText {
    pub(super) fn of(object: &ObjectRef, part: &str, text: Hidden<String>) -> Self {
        let (kind, namespace, name) = (object.kind.name(), &object.namespace, &object.name);
        Self {
            name: format!("{kind}/{namespace}/{name}/{part}"),
            text,
        }
    }
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
