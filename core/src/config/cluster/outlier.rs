//! Envoy's `outlier_detection`.

use std::time::Duration;

use meltemi_proto::envoy::config::cluster::v3 as proto;

use super::super::duration::duration;
use super::super::invalid::Invalid;
use super::percent;

/// When an endpoint that fails is left out, and for how long. Defaults are Envoy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Consecutive failures of any kind that eject; 0 never does. With `split_errors` only those that
    /// the endpoint itself answered with.
    pub consecutive_errors: u32,
    /// Consecutive failures to reach the endpoint, or to hear of it in time; 0 never ejects.
    pub consecutive_gateway_errors: u32,
    /// Whether failures to reach the endpoint have a count of their own.
    pub split_errors: bool,
    /// With `split_errors`: so many of them in a row eject; 0 never does.
    pub consecutive_local_errors: u32,
    /// Whether errors of the application are failures.
    pub application_errors: bool,
    /// How often ejected endpoints are looked at again, and rates of success are judged.
    pub interval: Duration,
    /// An ejection lasts this long times the number of ejections so far.
    pub base_ejection_time: Duration,
    /// Bounds the length of one ejection.
    pub max_ejection_time: Duration,
    /// An ejection lasts at most so much longer, at random.
    pub max_ejection_time_jitter: Duration,
    /// Of the cluster's endpoints, at most so many percent are ejected at a time.
    pub max_ejection_percent: u32,
    /// One may be ejected whatever the percentage.
    pub always_eject_one_host: bool,
    /// Whether an active health check that passes ends an ejection.
    pub unejected_by_health_check: bool,
    /// `None`: endpoints are not compared with each other.
    pub success_rate: Option<SuccessRate>,
    /// `None`: the part of failures in an interval does not matter.
    pub failure_percentage: Option<FailurePercentage>,
}

/// Ejects endpoints whose rate of success in an interval is far below the others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRate {
    /// So many endpoints must have had `request_volume` requests.
    pub minimum_hosts: u32,
    pub request_volume: u32,
    /// In thousandths of a standard deviation below the mean.
    pub stdev_factor: u32,
    /// With split errors: whether failures to reach endpoints are judged so too.
    pub local: bool,
}

/// Ejects endpoints that fail so many percent of the requests of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePercentage {
    pub threshold: u32,
    /// So many endpoints must have had `request_volume` requests.
    pub minimum_hosts: u32,
    pub request_volume: u32,
    /// With split errors: whether failures to reach endpoints are judged so too.
    pub local: bool,
}

impl OutlierDetection {
    /// Whether every outcome is counted, and not only rows of failures.
    pub(crate) fn counts_rates(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some()
    }

    pub(super) fn parse(
        outlier: proto::OutlierDetection,
        application_errors: bool,
    ) -> Result<Self, Invalid> {
        let success_rate = success_rate(&outlier)?;
        let failure_percentage = failure_percentage(&outlier)?;
        let time = |field, value: Option<_>, default| {
            value.map_or(Ok(Duration::from_secs(default)), |d| duration(field, d))
        };
        let base_ejection_time = time("base_ejection_time", outlier.base_ejection_time, 30)?;
        let max_ejection_time = match outlier.max_ejection_time {
            Some(time) => duration("max_ejection_time", time)?,
            None => Duration::from_secs(300).max(base_ejection_time),
        };
        Ok(Self {
            consecutive_errors: row(
                (
                    "enforcing_consecutive_5xx",
                    outlier.enforcing_consecutive_5xx.unwrap_or(100),
                ),
                outlier.consecutive_5xx,
            )?,
            consecutive_gateway_errors: row(
                (
                    "enforcing_consecutive_gateway_failure",
                    outlier.enforcing_consecutive_gateway_failure.unwrap_or(0),
                ),
                outlier.consecutive_gateway_failure,
            )?,
            split_errors: outlier.split_external_local_origin_errors,
            consecutive_local_errors: row(
                (
                    "enforcing_consecutive_local_origin_failure",
                    outlier
                        .enforcing_consecutive_local_origin_failure
                        .unwrap_or(100),
                ),
                outlier.consecutive_local_origin_failure,
            )?,
            application_errors,
            interval: time("interval", outlier.interval, 10)?,
            base_ejection_time,
            max_ejection_time,
            max_ejection_time_jitter: jitter(outlier.max_ejection_time_jitter)?,
            max_ejection_percent: percent(
                "max_ejection_percent",
                outlier.max_ejection_percent.unwrap_or(10),
            )?,
            always_eject_one_host: outlier.always_eject_one_host.unwrap_or(false),
            unejected_by_health_check: outlier
                .successful_active_health_check_uneject_host
                .unwrap_or(true),
            success_rate,
            failure_percentage,
        })
    }
}

/// So many failures in a row; Envoy's 5 where nothing is said, 0 where they eject nobody.
fn row(enforcing: (&str, u32), count: Option<u32>) -> Result<u32, Invalid> {
    let enforced = enforced(enforcing)?;
    Ok(if enforced { count.unwrap_or(5) } else { 0 })
}

/// Ejection is all or nothing here: a share of the ejections would need a random draw that no
/// manifest can ask for.
fn enforced((field, percent): (&str, u32)) -> Result<bool, Invalid> {
    match percent {
        0 => Ok(false),
        100 => Ok(true),
        _ => Err(Invalid::new(field, "is neither 0 nor 100")),
    }
}

fn success_rate(outlier: &proto::OutlierDetection) -> Result<Option<SuccessRate>, Invalid> {
    let enforcing = outlier.enforcing_success_rate.unwrap_or(100);
    let local = outlier.enforcing_local_origin_success_rate.unwrap_or(100);
    let is_on = enforced(("enforcing_success_rate", enforcing))?;
    let local = enforced(("enforcing_local_origin_success_rate", local))?;
    Ok(is_on.then(|| SuccessRate {
        minimum_hosts: outlier.success_rate_minimum_hosts.unwrap_or(5),
        request_volume: outlier.success_rate_request_volume.unwrap_or(100),
        stdev_factor: outlier.success_rate_stdev_factor.unwrap_or(1900),
        local: local && outlier.split_external_local_origin_errors,
    }))
}

fn failure_percentage(
    outlier: &proto::OutlierDetection,
) -> Result<Option<FailurePercentage>, Invalid> {
    let enforcing = outlier.enforcing_failure_percentage.unwrap_or(0);
    let local = outlier
        .enforcing_failure_percentage_local_origin
        .unwrap_or(0);
    let is_on = enforced(("enforcing_failure_percentage", enforcing))?;
    let local = enforced(("enforcing_failure_percentage_local_origin", local))?;
    let threshold = outlier.failure_percentage_threshold.unwrap_or(85);
    let threshold = percent("failure_percentage_threshold", threshold)?;
    Ok(is_on.then(|| FailurePercentage {
        threshold,
        minimum_hosts: outlier.failure_percentage_minimum_hosts.unwrap_or(5),
        request_volume: outlier.failure_percentage_request_volume.unwrap_or(50),
        local: local && outlier.split_external_local_origin_errors,
    }))
}

/// Unlike the other times, it may be nothing.
fn jitter(value: Option<meltemi_proto::Duration>) -> Result<Duration, Invalid> {
    match value {
        Some(value) if (value.seconds, value.nanos) != (0, 0) => {
            duration("max_ejection_time_jitter", value)
        }
        _ => Ok(Duration::ZERO),
    }
}
