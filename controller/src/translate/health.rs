//! What keeps endpoints in service or out of it, in Envoy's own types.

use meltemi_proto::Any;
use meltemi_proto::envoy::config::cluster::v3 as wire;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::core::v3::health_check::custom_health_check::ConfigType;
use meltemi_proto::envoy::config::core::v3::health_check::{
    CustomHealthCheck, HealthChecker, TcpHealthCheck,
};
use meltemi_proto::meltemi::config::v1 as own;

use super::duration;
use super::policy::settings;
use crate::manifest::OutlierDetection;
use crate::model::HealthCheck;

pub(super) fn outlier_detection(outlier: &OutlierDetection) -> wire::OutlierDetection {
    let success = outlier.success_rate.unwrap_or_default();
    let failure = outlier.failure_percentage.unwrap_or_default();
    let rates = Some(all_or_nothing(outlier.success_rate.is_some()));
    let failures = outlier.failure_percentage.map(|_| 100);
    let split = outlier.split_errors;
    wire::OutlierDetection {
        consecutive_5xx: outlier.consecutive_5xx,
        // As Istio: 0 errors switches a detection off.
        enforcing_consecutive_5xx: outlier.consecutive_5xx.map(enforced),
        consecutive_gateway_failure: outlier.consecutive_gateway,
        enforcing_consecutive_gateway_failure: outlier.consecutive_gateway.map(enforced),
        split_external_local_origin_errors: split,
        // As Istio: of these two, 0 is Envoy's default.
        consecutive_local_origin_failure: outlier.consecutive_local.filter(|it| *it > 0),
        interval: outlier.interval.map(duration),
        base_ejection_time: outlier.base_ejection.map(duration),
        max_ejection_time: outlier.max_ejection.map(duration),
        max_ejection_time_jitter: outlier.max_ejection_jitter.map(duration),
        max_ejection_percent: outlier.max_ejection_percent.filter(|it| *it > 0),
        // Unlike Istio, which leaves Envoy's default: 10 % of a few endpoints would be nobody.
        always_eject_one_host: Some(outlier.always_eject_one_host.unwrap_or(true)),
        // As Istio, unless asked: rates of success are not judged.
        enforcing_success_rate: rates,
        enforcing_local_origin_success_rate: rates.filter(|_| split),
        success_rate_minimum_hosts: success.minimum_hosts,
        success_rate_request_volume: success.request_volume,
        success_rate_stdev_factor: success.stdev_factor,
        enforcing_failure_percentage: failures,
        enforcing_failure_percentage_local_origin: failures.filter(|_| split),
        failure_percentage_threshold: failure.threshold,
        failure_percentage_minimum_hosts: failure.minimum_hosts,
        failure_percentage_request_volume: failure.request_volume,
        ..wire::OutlierDetection::default()
    }
}

fn enforced(errors: u32) -> u32 {
    all_or_nothing(errors > 0)
}

fn all_or_nothing(on: bool) -> u32 {
    if on { 100 } else { 0 }
}

pub(super) fn check(check: &HealthCheck) -> core::HealthCheck {
    let rule = &check.rule;
    let checker = match &check.protocol {
        None => HealthChecker::TcpHealthCheck(TcpHealthCheck::default()),
        Some(protocol) => {
            let config = own::ProtocolCheck {
                settings: settings(&protocol.settings),
            };
            HealthChecker::CustomHealthCheck(CustomHealthCheck {
                name: protocol.plugin.clone(),
                config_type: Some(ConfigType::TypedConfig(Any::pack(&config))),
            })
        }
    };
    core::HealthCheck {
        timeout: Some(duration(rule.timeout)),
        interval: Some(duration(rule.interval)),
        interval_jitter: rule.interval_jitter.map(duration),
        unhealthy_threshold: Some(rule.unhealthy_threshold),
        healthy_threshold: Some(rule.healthy_threshold),
        // Whether there is traffic makes no difference here; Envoy would ask every 60 s.
        no_traffic_interval: Some(duration(rule.interval)),
        health_checker: Some(checker),
    }
}
