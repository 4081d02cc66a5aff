//! Global limits of routes.

use super::*;

fn limited() -> route::RouteConfiguration {
    let mut config = route_configuration();
    config.global_rate_limits = vec![route::GlobalRateLimit {
        r#match: config.routes[0].r#match.clone(),
        domain: "shop".to_owned(),
        timeout: Some(meltemi_proto::Duration {
            seconds: 1,
            nanos: 0,
        }),
        failure_mode_deny: true,
        descriptors: vec![route::global_rate_limit::Descriptor {
            property: "method".to_owned(),
            descriptor_key: "m".to_owned(),
        }],
        name: "shop/orders".to_owned(),
        cluster: "outbound|8081||ratelimit".to_owned(),
    }];
    config.routes[0].global_rate_limit = "shop/orders".to_owned();
    config
}

fn limit(config: &mut route::RouteConfiguration) -> &mut route::GlobalRateLimit {
    &mut config.global_rate_limits[0]
}

#[test]
fn a_route_has_the_global_limit_that_it_names() {
    let config = RouteConfig::try_from(limited()).expect("valid");
    let parsed = config.routes[0].global_limit.as_ref();
    let parsed = parsed.expect("it names one");
    assert_eq!(
        **parsed,
        GlobalRateLimit {
            name: "shop/orders".to_owned(),
            matches: config.routes[0].matches.clone(),
            domain: "shop".to_owned(),
            entries: vec![DescriptorEntry {
                key: "m".to_owned(),
                attribute: "method".to_owned(),
            }],
            cluster: "outbound|8081||ratelimit".to_owned(),
            timeout: Duration::from_secs(1),
            deny_on_fail: true,
            compiled: parsed.compiled.clone(),
        }
    );
    // The cluster of the service is one that the proxy needs.
    assert!(
        config
            .clusters()
            .any(|name| name == "outbound|8081||ratelimit")
    );
}

/// Aeraki's never limits without a condition, and ends without a time.
#[test]
fn without_a_condition_it_is_about_all_requests_and_without_a_time_it_waits_as_envoy_does() {
    let mut config = limited();
    limit(&mut config).r#match = None;
    limit(&mut config).timeout = None;
    let config = RouteConfig::try_from(config).expect("valid");
    let parsed = config.routes[0].global_limit.as_ref();
    let parsed = parsed.expect("it names one");
    assert_eq!(parsed.matches, [vec![]]);
    assert_eq!(parsed.timeout, Duration::from_millis(20));
}

#[test]
fn what_cannot_be_asked_is_refused() {
    refuses::<_, RouteConfig>(
        &limited(),
        &[
            (
                |c| limit(c).name.clear(),
                "global_rate_limits[0].name: is missing",
            ),
            (
                |c| {
                    c.global_rate_limits
                        .push(limited().global_rate_limits.remove(0))
                },
                "global_rate_limits[1].name: is another one's, too",
            ),
            (
                |c| c.routes[0].global_rate_limit = "other".to_owned(),
                "routes[0].global_rate_limit: \"other\" is no limit",
            ),
            (
                |c| limit(c).domain.clear(),
                "global_rate_limits[0].domain: is missing",
            ),
            (
                |c| limit(c).cluster.clear(),
                "global_rate_limits[0].cluster: is missing",
            ),
            (
                |c| limit(c).descriptors.clear(),
                "global_rate_limits[0].descriptors: is empty",
            ),
            (
                |c| limit(c).descriptors[0].property.clear(),
                "global_rate_limits[0].descriptors[0].property: is missing",
            ),
            (
                |c| limit(c).descriptors[0].descriptor_key.clear(),
                "global_rate_limits[0].descriptors[0].descriptor_key: is missing",
            ),
            (
                |c| limit(c).timeout = Some(meltemi_proto::Duration::default()),
                "global_rate_limits[0].timeout: must be above 0",
            ),
        ],
    );
}
