//! What keeps endpoints in service or out of it.

use serde_json::{Value, json};

use super::duration;
use crate::config::{HealthCheck, OutlierDetection};

pub(super) fn outlier(outlier: &OutlierDetection) -> Value {
    json!({
        "consecutive_errors": outlier.consecutive_errors,
        "consecutive_gateway_errors": outlier.consecutive_gateway_errors,
        "split_external_local_origin_errors": outlier.split_errors,
        "consecutive_local_origin_failures": outlier.consecutive_local_errors,
        "application_errors": outlier.application_errors,
        "interval": duration(outlier.interval),
        "base_ejection_time": duration(outlier.base_ejection_time),
        "max_ejection_time": duration(outlier.max_ejection_time),
        "max_ejection_time_jitter": duration(outlier.max_ejection_time_jitter),
        "max_ejection_percent": outlier.max_ejection_percent,
        "always_eject_one_host": outlier.always_eject_one_host,
        "success_rate": outlier.success_rate.map(|rate| json!({
            "minimum_hosts": rate.minimum_hosts,
            "request_volume": rate.request_volume,
            "stdev_factor": rate.stdev_factor,
        })),
        "failure_percentage": outlier.failure_percentage.map(|rate| json!({
            "threshold": rate.threshold,
            "minimum_hosts": rate.minimum_hosts,
            "request_volume": rate.request_volume,
        })),
    })
}

pub(super) fn health_check(check: &HealthCheck) -> Value {
    let settings = check.protocol.iter().flat_map(|it| &it.settings);
    let settings = settings.map(|it| (it.name.clone(), it.shown().into()));
    json!({
        "interval": duration(check.interval),
        "interval_jitter": duration(check.interval_jitter),
        "timeout": duration(check.timeout),
        "unhealthy_threshold": check.unhealthy_threshold,
        "healthy_threshold": check.healthy_threshold,
        "protocol": check.protocol.as_ref().map(|it| &it.id),
        "settings": settings.collect::<serde_json::Map<_, _>>(),
    })
}
