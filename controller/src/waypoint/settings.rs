//! What all waypoints have in common, as whoever installs the controller has said.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One YAML document: the chart's values `waypoint.*`, with what else its release knows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaypointSettings {
    /// Of the proxy, with its registry and tag.
    pub(super) image: String,
    #[serde(default)]
    pub(super) image_pull_policy: String,
    /// Names of Secrets in the Gateway's namespace.
    #[serde(default)]
    pub(super) image_pull_secrets: Vec<String>,
    /// HOST:PORT where its proxies reach the controller.
    pub(super) controller: String,
    /// Of the names of Services.
    #[serde(default = "cluster_local")]
    pub(super) cluster_domain: String,
    /// Where readiness and metrics are served.
    #[serde(default = "everywhere")]
    pub(super) bind_address: String,
    #[serde(default = "off")]
    pub(super) access_log: String,
    #[serde(default = "info")]
    pub(super) log_level: String,
    /// 0: one for each processor.
    #[serde(default)]
    pub(super) workers: u16,
    #[serde(default)]
    pub(super) extra_args: Vec<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) pod_labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) pod_annotations: BTreeMap<String, String>,
    /// Fields of Kubernetes, as they are: the API server says what may be in them.
    #[serde(default)]
    pub(super) resources: Map<String, Value>,
    #[serde(default)]
    pub(super) node_selector: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) affinity: Map<String, Value>,
    #[serde(default)]
    pub(super) tolerations: Vec<Map<String, Value>>,
    /// Unless given, over zones.
    #[serde(default)]
    pub(super) topology_spread_constraints: Vec<Map<String, Value>>,
    #[serde(default)]
    pub(super) priority_class_name: String,
    /// How long a pod that ends still takes connections.
    #[serde(default = "five")]
    pub(super) drain_delay_seconds: u32,
    #[serde(default = "sixty")]
    pub(super) termination_grace_period_seconds: u32,
    /// Where nobody scales.
    #[serde(default = "two")]
    pub(super) replica_count: u32,
    #[serde(default)]
    pub(super) autoscaling: Autoscaling,
    /// Without a field there is none.
    #[serde(default)]
    pub(super) pod_disruption_budget: Map<String, Value>,
    #[serde(default)]
    pub(super) network_policy: NetworkPolicy,
}

/// Who reaches its pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct NetworkPolicy {
    /// Without it, whoever may reach pods of the namespace.
    pub(super) enabled: bool,
    /// Peers of a NetworkPolicy, beside the pods of its own namespace.
    pub(super) metrics_from: Vec<Map<String, Value>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Autoscaling {
    pub(super) enabled: bool,
    pub(super) min_replicas: u32,
    pub(super) max_replicas: u32,
    #[serde(rename = "targetCPUUtilizationPercentage")]
    pub(super) target_cpu: u32,
    pub(super) behavior: Map<String, Value>,
}

impl Default for Autoscaling {
    fn default() -> Self {
        Self {
            enabled: true,
            min_replicas: 2,
            max_replicas: 5,
            target_cpu: 80,
            behavior: Map::new(),
        }
    }
}

/// Why it is none.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    #[error("{0}")]
    Unreadable(String),
    #[error("`image` is empty: name the proxy's, as in ghcr.io/meltemi-mesh/meltemi:1.0.0")]
    NoImage,
    #[error(
        "`controller` is `{0}`: write HOST:PORT, as in meltemi-controller.meltemi-system.svc:15010"
    )]
    Controller(String),
    #[error("`clusterDomain` is `{0}`: write a DNS name, as in cluster.local")]
    Domain(String),
    #[error("`bindAddress` is `{0}`: write 0.0.0.0, or [::] in a cluster of IPv6")]
    Bind(String),
    #[error("`autoscaling.maxReplicas` is {max}, and less than `minReplicas`, {min}")]
    Replicas { min: u32, max: u32 },
    #[error("`autoscaling.{0}` is 0: write at least 1")]
    Zero(&'static str),
    #[error(
        "`terminationGracePeriodSeconds` is {grace}, and `drainDelaySeconds` {drain}: leave time for what is in flight"
    )]
    Grace { grace: u32, drain: u32 },
}

impl FromStr for WaypointSettings {
    type Err = InvalidSettings;

    fn from_str(text: &str) -> Result<Self, InvalidSettings> {
        let read: Self = serde_saphyr::from_str(text)
            .map_err(|error| InvalidSettings::Unreadable(error.to_string()))?;
        read.checked()
    }
}

impl WaypointSettings {
    fn checked(self) -> Result<Self, InvalidSettings> {
        let is_address = |text: &str| {
            let parts = text.rsplit_once(':');
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        let is_domain = |text: &str| {
            let is_part = |it: &str| it.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            text.split('.').all(|it| !it.is_empty() && is_part(it))
        };
        let Autoscaling {
            min_replicas: min,
            max_replicas: max,
            target_cpu,
            ..
        } = self.autoscaling;
        let (grace, drain) = (
            self.termination_grace_period_seconds,
            self.drain_delay_seconds,
        );
        if self.image.trim().is_empty() {
            return Err(InvalidSettings::NoImage);
        }
        if !is_address(&self.controller) {
            return Err(InvalidSettings::Controller(self.controller));
        }
        if !is_domain(&self.cluster_domain) {
            return Err(InvalidSettings::Domain(self.cluster_domain));
        }
        if !is_address(&format!("{}:1", self.bind_address)) {
            return Err(InvalidSettings::Bind(self.bind_address));
        }
        for (value, name) in [
            (min, "minReplicas"),
            (target_cpu, "targetCPUUtilizationPercentage"),
        ] {
            if value == 0 {
                return Err(InvalidSettings::Zero(name));
            }
        }
        if max < min {
            return Err(InvalidSettings::Replicas { min, max });
        }
        if grace <= drain {
            return Err(InvalidSettings::Grace { grace, drain });
        }
        Ok(self)
    }
}

fn cluster_local() -> String {
    "cluster.local".to_owned()
}

fn everywhere() -> String {
    "0.0.0.0".to_owned()
}

fn off() -> String {
    "off".to_owned()
}

fn info() -> String {
    "info".to_owned()
}

const fn two() -> u32 {
    2
}

const fn five() -> u32 {
    5
}

const fn sixty() -> u32 {
    60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_settings_says_why() {
        let rows = [
            ("{}", "image"),
            ("{image: ' ', controller: 'a:1'}", "`image` is empty"),
            ("{image: i, controller: a}", "HOST:PORT"),
            ("{image: i, controller: ':1'}", "HOST:PORT"),
            ("{image: i, controller: 'a:1', imge: x}", "imge"),
            ("{image: i, controller: 'a:1', workers: many}", "workers"),
            (
                "{image: i, controller: 'a:1', bindAddress: ''}",
                "`bindAddress`",
            ),
            (
                "{image: i, controller: 'a:1', clusterDomain: 'a..b'}",
                "DNS name",
            ),
            (
                "{image: i, controller: 'a:1', autoscaling: {enable: true}}",
                "enable",
            ),
            (
                "{image: i, controller: 'a:1', autoscaling: {minReplicas: 0}}",
                "at least 1",
            ),
            (
                "{image: i, controller: 'a:1', autoscaling: {minReplicas: 9}}",
                "less than",
            ),
            (
                "{image: i, controller: 'a:1', drainDelaySeconds: 60}",
                "in flight",
            ),
            ("image: [", "line"),
        ];
        for (text, words) in rows {
            let error = text.parse::<WaypointSettings>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let settings: WaypointSettings = "{image: i, controller: 'a:1'}".parse().unwrap();
        assert!(settings.autoscaling.enabled);
        assert_eq!(settings.cluster_domain, "cluster.local");
        assert_eq!(settings.termination_grace_period_seconds, 60);
    }
}
