//! Envoy's `slow_start_config`.

use meltemi_policy::Warmup;
use meltemi_proto::envoy::config::cluster::v3::cluster::LbConfig;

use super::super::duration::duration;
use super::super::invalid::Invalid;

/// Envoy's, where the cluster gives none, in percent.
const DEFAULT_MINIMUM: f64 = 10.0;

/// None where nothing is said, or for no time.
pub(super) fn parse(config: Option<&LbConfig>) -> Result<Option<Warmup>, Invalid> {
    let (balancer, config) = match config {
        Some(LbConfig::RoundRobinLbConfig(config)) => {
            ("round_robin_lb_config", config.slow_start_config.as_ref())
        }
        Some(LbConfig::LeastRequestLbConfig(config)) => {
            ("least_request_lb_config", config.slow_start_config.as_ref())
        }
        _ => return Ok(None),
    };
    let Some(config) = config else {
        return Ok(None);
    };
    let invalid = |field: &str, reason: &str| {
        let field = format!("{balancer}.slow_start_config.{field}");
        Err(Invalid::new(field, reason.to_owned()))
    };
    let minimum = config.min_weight_percent.as_ref();
    let minimum = minimum.map_or(DEFAULT_MINIMUM, |percent| percent.value);
    if !(0.0..=100.0).contains(&minimum) {
        return invalid("min_weight_percent", "is not between 0 and 100");
    }
    let aggression = config.aggression.as_ref();
    let aggression = aggression.map_or(1.0, |aggression| aggression.default_value);
    if !aggression.is_finite() || aggression <= 0.0 {
        return invalid("aggression", "is not above 0");
    }
    let Some(window) = config.slow_start_window else {
        return invalid("slow_start_window", "is missing");
    };
    let duration = duration("slow_start_window", window)
        .map_err(|e| e.within(&format!("{balancer}.slow_start_config")))?;
    Ok((!duration.is_zero()).then_some(Warmup {
        duration,
        minimum: minimum / 100.0,
        aggression,
    }))
}
