//! How endpoints are asked whether they can serve: our addition, with the names of Envoy.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Located;
use super::super::decode::{Decoder, Field};
use crate::yaml::Node;

/// Unset fields have the defaults of Kubernetes' probes: 10 s, 1 s, 3, 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HealthCheck {
    pub(crate) interval: Duration,
    pub(crate) interval_jitter: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) unhealthy_threshold: u32,
    pub(crate) healthy_threshold: u32,
    /// Only whether connections are accepted, whatever the protocol could ask.
    pub(crate) tcp: bool,
    /// What the plugin is told for its checks.
    pub(crate) settings: BTreeMap<String, Located<String>>,
}

const HEALTH_CHECK: &[Field] = &[
    Field::InForce("interval"),
    Field::InForce("intervalJitter"),
    Field::InForce("timeout"),
    Field::InForce("unhealthyThreshold"),
    Field::InForce("healthyThreshold"),
    Field::InForce("tcp"),
    Field::InForce("settings"),
];

pub(super) fn decode(d: &mut Decoder, node: &Node) -> HealthCheck {
    let fields = d.fields("healthCheck", node, HEALTH_CHECK);
    let tcp = fields.boolean(d, "tcp").unwrap_or(false);
    if let (true, Some(settings)) = (tcp, fields.entry("settings")) {
        let message = "`healthCheck` takes one of tcp and settings";
        let remedy = "remove one of the two: a connection alone has no settings";
        d.invalid(settings.at, message, remedy);
    }
    let threshold = |d: &mut Decoder, name: &str| {
        let number = fields.integer(d, name, 1..=u32::MAX.into())?;
        u32::try_from(number.value).ok()
    };
    let entries = fields.map(d, "settings").iter();
    let settings = entries.filter_map(|entry| {
        let path = format!("healthCheck.settings.{}", entry.key);
        let value = d.scalar(&path, &entry.value)?;
        let at = entry.value.at;
        Some((entry.key.clone(), Located { value, at }))
    });
    let settings = settings.collect();
    HealthCheck {
        interval: fields
            .duration(d, "interval")
            .unwrap_or(Duration::from_secs(10)),
        interval_jitter: fields.duration(d, "intervalJitter"),
        timeout: fields
            .duration(d, "timeout")
            .unwrap_or(Duration::from_secs(1)),
        unhealthy_threshold: threshold(d, "unhealthyThreshold").unwrap_or(3),
        healthy_threshold: threshold(d, "healthyThreshold").unwrap_or(1),
        tcp,
        settings,
    }
}
