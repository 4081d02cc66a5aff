//! When an endpoint is ejected, and for how long.

use std::time::Duration;

use super::super::decode::{Decoder, Field, Fields};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;

/// Unset fields have Envoy's defaults: 5 errors, 10 s, 30 s, 10 %.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OutlierDetection {
    pub(crate) consecutive_5xx: Option<u32>,
    pub(crate) consecutive_gateway: Option<u32>,
    pub(crate) split_errors: bool,
    pub(crate) consecutive_local: Option<u32>,
    pub(crate) interval: Option<Duration>,
    pub(crate) base_ejection: Option<Duration>,
    pub(crate) max_ejection_percent: Option<u32>,
    pub(crate) min_health_percent: Option<u32>,
    /// What follows are our additions, with Envoy's names.
    pub(crate) max_ejection: Option<Duration>,
    pub(crate) max_ejection_jitter: Option<Duration>,
    pub(crate) always_eject_one_host: Option<bool>,
    pub(crate) success_rate: Option<SuccessRate>,
    pub(crate) failure_percentage: Option<FailurePercentage>,
    /// Whether errors of the application count.
    pub(crate) application_errors: bool,
}

/// Unset fields have Envoy's defaults: 5, 100, 1900.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SuccessRate {
    pub(crate) minimum_hosts: Option<u32>,
    pub(crate) request_volume: Option<u32>,
    pub(crate) stdev_factor: Option<u32>,
}

/// Unset fields have Envoy's defaults: 85 %, 5, 50.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct FailurePercentage {
    pub(crate) threshold: Option<u32>,
    pub(crate) minimum_hosts: Option<u32>,
    pub(crate) request_volume: Option<u32>,
}

const OUTLIER: &[Field] = &[
    Field::InForce("consecutive5xxErrors"),
    Field::InForce("consecutiveErrors"),
    Field::InForce("consecutiveGatewayErrors"),
    Field::InForce("splitExternalLocalOriginErrors"),
    Field::InForce("consecutiveLocalOriginFailures"),
    Field::InForce("interval"),
    Field::InForce("baseEjectionTime"),
    Field::InForce("maxEjectionPercent"),
    Field::InForce("minHealthPercent"),
    Field::InForce("maxEjectionTime"),
    Field::InForce("maxEjectionTimeJitter"),
    Field::InForce("alwaysEjectOneHost"),
    Field::InForce("successRate"),
    Field::InForce("failurePercentage"),
    Field::InForce("applicationErrors"),
];

const SUCCESS_RATE: &[Field] = &[
    Field::InForce("minimumHosts"),
    Field::InForce("requestVolume"),
    Field::InForce("stdevFactor"),
];

const FAILURE_PERCENTAGE: &[Field] = &[
    Field::InForce("threshold"),
    Field::InForce("minimumHosts"),
    Field::InForce("requestVolume"),
];

pub(super) fn decode(d: &mut Decoder, node: &Node) -> OutlierDetection {
    let fields = d.fields("outlierDetection", node, OUTLIER);
    older_name(d, &fields);
    let split = fields.boolean(d, "splitExternalLocalOriginErrors");
    let consecutive_5xx = fields.natural(d, "consecutive5xxErrors");
    OutlierDetection {
        consecutive_5xx,
        consecutive_gateway: gateway(d, &fields, consecutive_5xx),
        split_errors: split.unwrap_or(false),
        consecutive_local: local(d, &fields, split.unwrap_or(false)),
        interval: fields.duration(d, "interval"),
        base_ejection: fields.duration(d, "baseEjectionTime"),
        max_ejection_percent: percentage(d, &fields, "maxEjectionPercent"),
        min_health_percent: percentage(d, &fields, "minHealthPercent"),
        max_ejection: fields.duration(d, "maxEjectionTime"),
        max_ejection_jitter: fields.duration(d, "maxEjectionTimeJitter"),
        always_eject_one_host: fields.boolean(d, "alwaysEjectOneHost"),
        success_rate: fields.node("successRate").map(|node| success_rate(d, node)),
        failure_percentage: fields
            .node("failurePercentage")
            .map(|node| failure_percentage(d, node)),
        application_errors: fields.boolean(d, "applicationErrors").unwrap_or(false),
    }
}

/// Deprecated in Istio, which still takes it and makes nothing of it (`applyOutlierDetection`).
fn older_name(d: &mut Decoder, fields: &Fields<'_>) {
    let number = fields.natural(d, "consecutiveErrors");
    if let (Some(number), Some(entry)) = (number, fields.entry("consecutiveErrors")) {
        let message = "`outlierDetection.consecutiveErrors` has no effect, as in Istio";
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        let remedy = match fields.entry("consecutive5xxErrors") {
            Some(_) => "remove it: `consecutive5xxErrors` counts".to_owned(),
            None => format!("write `consecutive5xxErrors: {number}` in its place"),
        };
        d.report(entry.at, diagnostic.remedy(remedy));
    }
}

/// They are counted among the errors too, so that these eject no later where they are no more.
fn gateway(d: &mut Decoder, fields: &Fields<'_>, errors: Option<u32>) -> Option<u32> {
    /// Envoy's, where nothing is said.
    const ERRORS: u32 = 5;
    let gateway = fields.natural(d, "consecutiveGatewayErrors")?;
    let errors = errors.unwrap_or(ERRORS);
    if let Some(entry) = fields.entry("consecutiveGatewayErrors")
        && errors > 0
        && gateway >= errors
    {
        let message = format!(
            "`outlierDetection.consecutiveGatewayErrors` has no effect: {errors} errors of any kind \
             eject"
        );
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        let remedy = "make it less than `consecutive5xxErrors` (5 unless given), or set that to 0";
        d.report(entry.at, diagnostic.remedy(remedy));
    }
    Some(gateway)
}

/// It means something only where failures to reach an endpoint are told apart.
fn local(d: &mut Decoder, fields: &Fields<'_>, split: bool) -> Option<u32> {
    let failures = fields.natural(d, "consecutiveLocalOriginFailures");
    if let (false, Some(entry)) = (split, fields.entry("consecutiveLocalOriginFailures")) {
        let message = "`outlierDetection.consecutiveLocalOriginFailures` needs \
                       `splitExternalLocalOriginErrors`";
        let remedy = "add `splitExternalLocalOriginErrors: true`, or remove it";
        d.invalid(entry.at, message, remedy);
    }
    failures
}

fn percentage(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Option<u32> {
    let number = fields.integer(d, name, 0..=100)?;
    u32::try_from(number.value).ok()
}

fn success_rate(d: &mut Decoder, node: &Node) -> SuccessRate {
    let fields = d.fields("outlierDetection.successRate", node, SUCCESS_RATE);
    SuccessRate {
        minimum_hosts: fields.natural(d, "minimumHosts"),
        request_volume: fields.natural(d, "requestVolume"),
        stdev_factor: fields.natural(d, "stdevFactor"),
    }
}

fn failure_percentage(d: &mut Decoder, node: &Node) -> FailurePercentage {
    let fields = d.fields(
        "outlierDetection.failurePercentage",
        node,
        FAILURE_PERCENTAGE,
    );
    FailurePercentage {
        threshold: percentage(d, &fields, "threshold"),
        minimum_hosts: fields.natural(d, "minimumHosts"),
        request_volume: fields.natural(d, "requestVolume"),
    }
}
