//! Adaptive concurrency: how the number of requests under way is found that a route may have.

use std::time::Duration;

use meltemi_policy::GradientParams;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as proto;

use super::duration::duration;
use super::invalid::Invalid;
use super::share::Share;

/// What Envoy's gradient controller is told, with its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdaptiveConcurrency {
    pub sample_aggregate_percentile: Share,
    /// Of all workers.
    pub max_concurrency_limit: u32,
    pub concurrency_update_interval: Duration,
    pub min_rtt_interval: Duration,
    pub min_rtt_request_count: u32,
    pub min_rtt_jitter: Share,
    /// Of each worker, as each measures for itself.
    pub min_concurrency: u32,
    pub min_rtt_buffer: Share,
}

impl AdaptiveConcurrency {
    pub(super) fn parse(config: proto::AdaptiveConcurrency) -> Result<Self, Invalid> {
        let required = |field, value: Option<meltemi_proto::Duration>| {
            let value = value.ok_or_else(|| Invalid::new(field, "is missing"))?;
            duration(field, value)
        };
        let limit = config.concurrency_limit_params.unwrap_or_default();
        let min_rtt = config.min_rtt_calc_params.unwrap_or_default();
        let share = |field, value, percent| Share::parse(field, value, Share::percent_of(percent));
        let number = |field, value: Option<u32>, default| match value.unwrap_or(default) {
            0 => Err(Invalid::new(field, "must be above 0")),
            number => Ok(number),
        };
        let parsed = Self {
            sample_aggregate_percentile: share(
                "sample_aggregate_percentile",
                config.sample_aggregate_percentile,
                50,
            )?,
            max_concurrency_limit: number(
                "concurrency_limit_params.max_concurrency_limit",
                limit.max_concurrency_limit,
                1000,
            )?,
            concurrency_update_interval: required(
                "concurrency_limit_params.concurrency_update_interval",
                limit.concurrency_update_interval,
            )?,
            min_rtt_interval: required("min_rtt_calc_params.interval", min_rtt.interval)?,
            min_rtt_request_count: number(
                "min_rtt_calc_params.request_count",
                min_rtt.request_count,
                50,
            )?,
            min_rtt_jitter: share("min_rtt_calc_params.jitter", min_rtt.jitter, 15)?,
            min_concurrency: number(
                "min_rtt_calc_params.min_concurrency",
                min_rtt.min_concurrency,
                3,
            )?,
            min_rtt_buffer: share("min_rtt_calc_params.buffer", min_rtt.buffer, 25)?,
        };
        if parsed.min_concurrency > parsed.max_concurrency_limit {
            let field = "min_rtt_calc_params.min_concurrency";
            return Err(Invalid::new(field, "is above max_concurrency_limit"));
        }
        Ok(parsed)
    }

    /// What a worker finds its limit by: the most is divided among them.
    #[must_use]
    pub fn params(&self, workers: usize) -> GradientParams {
        let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        let most = self.max_concurrency_limit.div_ceil(workers);
        GradientParams {
            sample_aggregate_percentile: self.sample_aggregate_percentile.percent(),
            max_concurrency_limit: most.max(self.min_concurrency),
            concurrency_update_interval: self.concurrency_update_interval,
            min_rtt_interval: self.min_rtt_interval,
            min_rtt_request_count: self.min_rtt_request_count,
            min_rtt_jitter: self.min_rtt_jitter.percent(),
            min_concurrency: self.min_concurrency,
            min_rtt_buffer: self.min_rtt_buffer.percent(),
        }
    }
}
