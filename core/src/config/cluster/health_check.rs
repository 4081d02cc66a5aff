//! Envoy's `health_checks`.

use std::time::Duration;

use meltemi_proto::envoy::config::core::v3 as proto;
use meltemi_proto::envoy::config::core::v3::health_check::custom_health_check::ConfigType;
use meltemi_proto::envoy::config::core::v3::health_check::{HealthChecker, TcpHealthCheck};
use meltemi_proto::meltemi::config::v1 as own;

use super::super::duration::duration;
use super::super::invalid::{Invalid, required};
use super::super::setting::Setting;

/// How endpoints are asked whether they can serve, with or without traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// From the end of one check to the next.
    pub interval: Duration,
    /// The interval is at most so much longer, at random.
    pub interval_jitter: Duration,
    /// From the connection to the answer.
    pub timeout: Duration,
    /// So many checks without an answer in a row make a healthy endpoint unhealthy; an answer that
    /// says no does so at once.
    pub unhealthy_threshold: u32,
    /// So many checks in a row make an unhealthy endpoint healthy; the very first one does alone.
    pub healthy_threshold: u32,
    /// `None`: that it accepts a connection is enough.
    pub protocol: Option<ProtocolCheck>,
}

/// The protocol whose own question is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolCheck {
    pub id: String,
    /// What the plugin is told, those of the cluster included.
    pub settings: Vec<Setting>,
}

/// None where there is none.
pub(super) fn parse(
    mut checks: Vec<proto::HealthCheck>,
    cluster: &[Setting],
) -> Result<Option<HealthCheck>, Invalid> {
    let Some(check) = checks.pop() else {
        return Ok(None);
    };
    if !checks.is_empty() {
        return Err(Invalid::new("health_checks", "only one is supported"));
    }
    let within = |e: Invalid| e.within("health_checks[0]");
    HealthCheck::parse(check, cluster).map(Some).map_err(within)
}

impl HealthCheck {
    fn parse(check: proto::HealthCheck, cluster: &[Setting]) -> Result<Self, Invalid> {
        let time = |field, value: Option<_>| {
            let value = value.ok_or_else(|| Invalid::new(field, "is missing"))?;
            duration(field, value)
        };
        let interval_jitter = match check.interval_jitter {
            Some(value) if (value.seconds, value.nanos) != (0, 0) => {
                duration("interval_jitter", value)?
            }
            _ => Duration::ZERO,
        };
        Ok(Self {
            interval: time("interval", check.interval)?,
            interval_jitter,
            timeout: time("timeout", check.timeout)?,
            unhealthy_threshold: threshold("unhealthy_threshold", check.unhealthy_threshold)?,
            healthy_threshold: threshold("healthy_threshold", check.healthy_threshold)?,
            protocol: protocol(check.health_checker, cluster)?,
        })
    }
}

fn threshold(field: &str, value: Option<u32>) -> Result<u32, Invalid> {
    match value {
        Some(0) => Err(Invalid::new(field, "must be above 0")),
        Some(value) => Ok(value),
        None => Err(Invalid::new(field, "is missing")),
    }
}

fn protocol(
    checker: Option<HealthChecker>,
    cluster: &[Setting],
) -> Result<Option<ProtocolCheck>, Invalid> {
    let custom = match checker {
        Some(HealthChecker::TcpHealthCheck(TcpHealthCheck { send, receive })) => {
            if send.is_some() || !receive.is_empty() {
                let reason = "only connections are supported, without bytes to send or receive";
                return Err(Invalid::new("tcp_health_check", reason));
            }
            return Ok(None);
        }
        Some(HealthChecker::CustomHealthCheck(custom)) => custom,
        None => {
            let reason = "is missing, or neither tcp_health_check nor custom_health_check";
            return Err(Invalid::new("health_checker", reason));
        }
    };
    let id = required("custom_health_check.name", custom.name)?;
    let own: own::ProtocolCheck = match custom.config_type {
        Some(ConfigType::TypedConfig(config)) => config
            .unpack()
            .map_err(|e| Invalid::from(e).within("custom_health_check.typed_config"))?,
        None => own::ProtocolCheck::default(),
    };
    let mut settings = Setting::parse_all(own.settings)
        .map_err(|e| e.within("custom_health_check.typed_config"))?;
    settings.extend(cluster.iter().cloned());
    Ok(Some(ProtocolCheck { id, settings }))
}
