//! Limits and faults of routes.

use meltemi_codec::Status;
use meltemi_proto::envoy::r#type::v3::TokenBucket as WireBucket;

use super::*;

const SECOND: meltemi_proto::Duration = meltemi_proto::Duration {
    seconds: 1,
    nanos: 0,
};

fn bucket() -> WireBucket {
    WireBucket {
        max_tokens: 5,
        tokens_per_fill: Some(2),
        fill_interval: Some(SECOND),
    }
}

fn limited() -> route::RouteConfiguration {
    let mut config = route_configuration();
    config.local_rate_limits = vec![route::LocalRateLimit {
        stat_prefix: "shop/orders".to_owned(),
        token_bucket: Some(bucket()),
        conditions: vec![route::LocalRateLimitCondition {
            r#match: config.routes[0].r#match.clone(),
            token_bucket: Some(WireBucket {
                tokens_per_fill: None,
                ..bucket()
            }),
        }],
    }];
    config.routes[0].local_rate_limit = "shop/orders".to_owned();
    config.routes[0].fault = Some(route::RouteFault {
        delay: Some(route::route_fault::Delay {
            percentage: Some(Percent { value: 2.5 }),
            fixed_delay: Some(SECOND),
        }),
        abort: Some(route::route_fault::Abort {
            percentage: Some(Percent { value: 100.0 }),
            status: route::route_fault::Status::Denied.into(),
        }),
    });
    config
}

#[test]
fn a_route_has_the_limit_that_it_names_and_its_fault() {
    let config = RouteConfig::try_from(limited()).expect("valid");
    let limit = config.routes[0].limit.as_ref().expect("it names one");
    let numbers =
        |bucket: &meltemi_policy::TokenBucket| (bucket.max_tokens(), bucket.tokens_per_fill());
    assert_eq!(limit.name, "shop/orders");
    assert_eq!(limit.default.as_ref().map(numbers), Some((5, 2)));
    assert_eq!(numbers(&limit.conditions[0].bucket), (5, 1));
    assert_eq!(limit.conditions[0].matches, config.routes[0].matches);
    let fault = config.routes[0].fault.as_ref().expect("it has one");
    let (share, delay) = fault.delay.expect("it delays");
    assert_eq!(
        (share.per_million(), delay),
        (25_000, Duration::from_secs(1))
    );
    assert_eq!(fault.abort, Some((Share::ALL, Status::Denied)));
}

fn limit(config: &mut route::RouteConfiguration) -> &mut route::LocalRateLimit {
    &mut config.local_rate_limits[0]
}

fn default(config: &mut route::RouteConfiguration) -> &mut WireBucket {
    limit(config).token_bucket.get_or_insert_default()
}

fn fault(config: &mut route::RouteConfiguration) -> &mut route::RouteFault {
    config.routes[0].fault.get_or_insert_default()
}

#[test]
fn limits_that_limit_nothing_or_everything_are_refused() {
    refuses::<_, RouteConfig>(
        &limited(),
        &[
            (
                |c| limit(c).stat_prefix.clear(),
                "local_rate_limits[0].stat_prefix: is missing",
            ),
            (
                |c| {
                    c.local_rate_limits
                        .push(limited().local_rate_limits.remove(0))
                },
                "local_rate_limits[1].stat_prefix: is another one's, too",
            ),
            (
                |c| c.routes[0].local_rate_limit = "other".to_owned(),
                "routes[0].local_rate_limit: \"other\" is no limit",
            ),
            (
                |c| {
                    limit(c).token_bucket = None;
                    limit(c).conditions.clear();
                },
                "local_rate_limits[0].token_bucket: is missing, and no condition has one",
            ),
            (
                |c| default(c).max_tokens = 0,
                "local_rate_limits[0].token_bucket: a bucket that holds no token admits nothing",
            ),
            (
                |c| default(c).tokens_per_fill = Some(0),
                "local_rate_limits[0].token_bucket: a bucket that is never filled admits nothing any more once it is empty",
            ),
            (
                |c| default(c).fill_interval = None,
                "local_rate_limits[0].token_bucket.fill_interval: is missing",
            ),
            (
                |c| default(c).fill_interval = Some(meltemi_proto::Duration::default()),
                "local_rate_limits[0].token_bucket.fill_interval: must be above 0",
            ),
            (
                |c| limit(c).conditions[0].r#match = None,
                "local_rate_limits[0].conditions[0].match: is missing",
            ),
            (
                |c| limit(c).conditions[0].token_bucket = None,
                "local_rate_limits[0].conditions[0].token_bucket: is missing",
            ),
        ],
    );
}

#[test]
fn faults_that_do_nothing_or_nothing_known_are_refused() {
    refuses::<_, RouteConfig>(
        &limited(),
        &[
            (
                |c| *fault(c) = route::RouteFault::default(),
                "routes[0].fault: has neither delay nor abort",
            ),
            (
                |c| fault(c).delay.get_or_insert_default().fixed_delay = None,
                "routes[0].fault.delay.fixed_delay: is missing",
            ),
            (
                |c| fault(c).abort.get_or_insert_default().status = 99,
                "routes[0].fault.abort.status: is unknown",
            ),
            (
                |c| {
                    fault(c).abort.get_or_insert_default().percentage =
                        Some(Percent { value: 101.0 });
                },
                "routes[0].fault.abort.percentage: is not between 0 and 100",
            ),
        ],
    );
}
