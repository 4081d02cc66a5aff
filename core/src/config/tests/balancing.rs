//! What decides among endpoints, beyond Envoy's own balancers.

use meltemi_policy::{HashPolicy, Hashed};

use super::*;

/// A policy that hashes an attribute, and behind it the source address.
fn hash_policy() -> Vec<own::HashPolicy> {
    use own::hash_policy::{Of, Property};
    let of = |of, terminal| own::HashPolicy {
        of: Some(of),
        terminal,
    };
    vec![
        of(Of::Attribute("user".into()), true),
        of(Of::Property(Property::SourceAddress.into()), false),
        of(Of::Property(Property::Connection.into()), false),
    ]
}

#[test]
fn what_is_hashed() {
    let expected = [
        (Hashed::Attribute("user".to_owned()), true),
        (Hashed::SourceAddress, false),
        (Hashed::Connection, false),
    ];
    let expected = expected.map(|(of, terminal)| HashPolicy { of, terminal });
    let mut message = cluster_message();
    message.metadata = Some(metadata(&own::ClusterPolicy {
        hash_policy: hash_policy(),
        ..own::ClusterPolicy::default()
    }));
    let parsed = Cluster::try_from(message).expect("valid");
    assert_eq!(parsed.hash_policy, expected);
    let mut routes = route_configuration();
    action(&mut routes).hash_policy = hash_policy();
    let routes = RouteConfig::try_from(routes).expect("valid");
    assert_eq!(routes.routes[0].hash_policy, expected);
    refuses::<_, RouteConfig>(
        &{
            let mut routes = route_configuration();
            action(&mut routes).hash_policy = hash_policy();
            routes
        },
        &[
            (
                |c| action(c).hash_policy[1].of = None,
                "routes[0].route.hash_policy[1].of: is missing or unknown",
            ),
            (
                |c| action(c).hash_policy[2].of = Some(own::hash_policy::Of::Property(7)),
                "routes[0].route.hash_policy[2].property: is unknown",
            ),
            (
                |c| {
                    action(c).hash_policy[0].of =
                        Some(own::hash_policy::Of::Attribute(String::new()));
                },
                "routes[0].route.hash_policy[0].attribute: is missing",
            ),
        ],
    );
}

#[test]
fn peak_ewma() {
    let with = |lb: choices::LbPolicy, decay: Option<u64>| {
        let mut message = cluster_message();
        message.set_lb_policy(lb);
        let decay = decay.map(|seconds| meltemi_proto::Duration {
            seconds: i64::try_from(seconds).expect("few"),
            nanos: 0,
        });
        message.metadata = Some(metadata(&own::ClusterPolicy {
            peak_ewma: Some(own::PeakEwma { decay }),
            ..own::ClusterPolicy::default()
        }));
        Cluster::try_from(message).map_err(|refused| refused.to_string())
    };
    let parsed = with(choices::LbPolicy::LeastRequest, Some(10)).expect("valid");
    let decay = Duration::from_secs(10);
    assert_eq!(parsed.lb, LbPolicy::PeakEwma { decay });
    let refused = with(choices::LbPolicy::Maglev, Some(10)).expect_err("another balancer");
    assert_eq!(refused, "lb_policy: is not LEAST_REQUEST beside peak_ewma");
    for (decay, expected) in [(None, "is missing"), (Some(0), "must be above 0")] {
        let refused = with(choices::LbPolicy::LeastRequest, decay).expect_err("no decay");
        let expected = format!("peak_ewma.decay: {expected}");
        assert!(refused.ends_with(&expected), "{refused}");
    }
}

#[test]
fn a_bound_is_at_least_the_average() {
    let mut message = cluster_message();
    let hashing = choices::common_lb_config::ConsistentHashingLbConfig {
        hash_balance_factor: Some(99),
        ..Default::default()
    };
    message.common_lb_config = Some(choices::CommonLbConfig {
        consistent_hashing_lb_config: Some(hashing),
        ..Default::default()
    });
    let refused = Cluster::try_from(message).expect_err("it is below");
    let field = "common_lb_config.consistent_hashing_lb_config.hash_balance_factor";
    assert_eq!(refused.to_string(), format!("{field}: 99 is below 100"));
}
