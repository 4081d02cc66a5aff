//! Adaptive concurrency of routes.

use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as route;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::adaptive_concurrency::{
    ConcurrencyLimitCalculationParams, MinimumRttCalculationParams,
};

use super::duration;
use super::policy::percent;
use crate::manifest::AdaptiveConcurrency;

pub(super) fn wire(written: &AdaptiveConcurrency) -> route::AdaptiveConcurrency {
    let min_rtt = &written.min_rtt;
    route::AdaptiveConcurrency {
        sample_aggregate_percentile: Some(percent(written.sample_aggregate_percentile)),
        concurrency_limit_params: Some(ConcurrencyLimitCalculationParams {
            max_concurrency_limit: Some(written.max_concurrency_limit),
            concurrency_update_interval: Some(duration(written.concurrency_update_interval)),
        }),
        min_rtt_calc_params: Some(MinimumRttCalculationParams {
            interval: Some(duration(min_rtt.interval)),
            request_count: Some(min_rtt.request_count),
            jitter: Some(percent(min_rtt.jitter)),
            min_concurrency: Some(min_rtt.min_concurrency),
            buffer: Some(percent(min_rtt.buffer)),
        }),
    }
}
