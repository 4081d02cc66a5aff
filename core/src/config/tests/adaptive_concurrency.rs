//! Adaptive concurrency of routes.

use super::*;
use route::adaptive_concurrency::{ConcurrencyLimitCalculationParams, MinimumRttCalculationParams};

const SECOND: Option<meltemi_proto::Duration> = Some(meltemi_proto::Duration {
    seconds: 1,
    nanos: 0,
});

fn adaptive() -> route::RouteConfiguration {
    let mut config = route_configuration();
    config.routes[0].adaptive_concurrency = Some(route::AdaptiveConcurrency {
        concurrency_limit_params: Some(ConcurrencyLimitCalculationParams {
            concurrency_update_interval: SECOND,
            ..ConcurrencyLimitCalculationParams::default()
        }),
        min_rtt_calc_params: Some(MinimumRttCalculationParams {
            interval: SECOND,
            ..MinimumRttCalculationParams::default()
        }),
        ..route::AdaptiveConcurrency::default()
    });
    config
}

#[test]
fn what_is_left_out_is_as_in_envoy_and_the_most_is_divided_among_workers() {
    let config = RouteConfig::try_from(adaptive()).expect("valid");
    let parsed = config.routes[0].adaptive_concurrency.as_ref();
    let params = parsed.expect("it has one").params(3);
    assert_eq!(
        params,
        meltemi_policy::GradientParams {
            sample_aggregate_percentile: 50.0,
            max_concurrency_limit: 334,
            concurrency_update_interval: Duration::from_secs(1),
            min_rtt_interval: Duration::from_secs(1),
            min_rtt_request_count: 50,
            min_rtt_jitter: 15.0,
            min_concurrency: 3,
            min_rtt_buffer: 25.0,
        }
    );
}

fn rule(config: &mut route::RouteConfiguration) -> &mut route::AdaptiveConcurrency {
    let rule = config.routes[0].adaptive_concurrency.as_mut();
    rule.expect("it has one")
}

fn limit(config: &mut route::RouteConfiguration) -> &mut ConcurrencyLimitCalculationParams {
    rule(config)
        .concurrency_limit_params
        .get_or_insert_default()
}

fn min_rtt(config: &mut route::RouteConfiguration) -> &mut MinimumRttCalculationParams {
    rule(config).min_rtt_calc_params.get_or_insert_default()
}

#[test]
fn what_finds_no_limit_is_refused() {
    refuses::<_, RouteConfig>(
        &adaptive(),
        &[
            (
                |c| rule(c).concurrency_limit_params = None,
                "routes[0].adaptive_concurrency.concurrency_limit_params.concurrency_update_interval: is missing",
            ),
            (
                |c| rule(c).min_rtt_calc_params = None,
                "routes[0].adaptive_concurrency.min_rtt_calc_params.interval: is missing",
            ),
            (
                |c| limit(c).max_concurrency_limit = Some(0),
                "routes[0].adaptive_concurrency.concurrency_limit_params.max_concurrency_limit: must be above 0",
            ),
            (
                |c| limit(c).max_concurrency_limit = Some(2),
                "routes[0].adaptive_concurrency.min_rtt_calc_params.min_concurrency: is above max_concurrency_limit",
            ),
            (
                |c| min_rtt(c).request_count = Some(0),
                "routes[0].adaptive_concurrency.min_rtt_calc_params.request_count: must be above 0",
            ),
            (
                |c| min_rtt(c).interval = Some(meltemi_proto::Duration::default()),
                "routes[0].adaptive_concurrency.min_rtt_calc_params.interval: must be above 0",
            ),
            (
                |c| min_rtt(c).buffer = Some(Percent { value: 100.5 }),
                "routes[0].adaptive_concurrency.min_rtt_calc_params.buffer: is not between 0 and 100",
            ),
            (
                |c| min_rtt(c).jitter = Some(Percent { value: f64::NAN }),
                "routes[0].adaptive_concurrency.min_rtt_calc_params.jitter: is not between 0 and 100",
            ),
        ],
    );
}
