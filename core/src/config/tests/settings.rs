//! What manifests can ask of plugins, of connections and of copies.

use meltemi_policy::{Hashing, Warmup};

use super::*;

type Millis = fn(i32) -> Option<meltemi_proto::Duration>;

const MILLIS: Millis = |millis| {
    Some(meltemi_proto::Duration {
        seconds: (millis / 1000).into(),
        nanos: millis % 1000 * 1_000_000,
    })
};

fn setting(name: &str, value: &str) -> own::Setting {
    own::Setting {
        name: name.to_owned(),
        value: value.to_owned(),
        secret_name: String::new(),
    }
}

fn of_secret(name: &str, secret: &str) -> own::Setting {
    own::Setting {
        secret_name: secret.to_owned(),
        ..setting(name, "")
    }
}

fn service() -> own::Service {
    own::Service {
        name: "s".to_owned(),
        ports: vec![own::service::Port {
            protocol: "echo".to_owned(),
            route_config_name: "r".to_owned(),
            ..own::service::Port::default()
        }],
        settings: vec![
            setting("user", "app"),
            of_secret("password", "the/password"),
        ],
        faults: vec![own::Fault {
            percentage: Some(Percent { value: 0.0125 }),
            operations: vec!["GeT".to_owned()],
            delay: MILLIS(250),
            error: Some(own::fault::Error {
                text: "no".to_owned(),
            }),
        }],
        operation_metrics: true,
        slow_request_threshold: MILLIS(1500),
        buffering: Some(own::Buffering {
            bytes: 1024,
            timeout: MILLIS(3),
        }),
        ..own::Service::default()
    }
}

#[test]
fn what_a_service_asks_for() {
    let parsed = Service::try_from(service()).expect("valid");
    assert_eq!(parsed.settings[0].value, "app");
    assert_eq!(parsed.settings[0].secret, None);
    // Until the secret is there.
    assert_eq!(parsed.settings[1].value, "");
    assert_eq!(parsed.settings[1].secret.as_deref(), Some("the/password"));
    let [fault] = parsed.faults.as_slice() else {
        panic!("{parsed:?}");
    };
    assert_eq!(fault.share.per_million(), 125);
    assert_eq!(fault.operations, ["get"]);
    assert_eq!(fault.delay, Some(Duration::from_millis(250)));
    assert_eq!(fault.error.as_deref(), Some("no"));
    assert!(parsed.operation_metrics);
    assert_eq!(
        parsed.slow_request_threshold,
        Some(Duration::from_millis(1500))
    );
    let timeout = Duration::from_millis(3);
    let bytes = 1024;
    assert_eq!(parsed.buffering, Some(Buffering { bytes, timeout }));
}

#[test]
fn refused_requests_of_a_service() {
    refuses::<_, Service>(
        &service(),
        &[
            (
                |s| s.settings[1].name.clear(),
                "settings[1].name: is missing",
            ),
            (
                |s| s.settings[1].name = "user".to_owned(),
                "settings[1].name: \"user\" occurs twice",
            ),
            (
                |s| s.settings[1].value = "hunter2".to_owned(),
                "settings[1].value: is given beside secret_name",
            ),
            (
                |s| s.faults[0].percentage = Some(Percent { value: 100.1 }),
                "faults[0].percentage: is not between 0 and 100",
            ),
            (
                |s| (s.faults[0].delay, s.faults[0].error) = (None, None),
                "faults[0]: has neither delay nor error",
            ),
            (
                |s| s.faults[0].delay = MILLIS(0),
                "faults[0].delay: must be above 0",
            ),
            (
                |s| s.faults[0].operations.push(String::new()),
                "faults[0].operations: one of them is empty",
            ),
            (
                |s| s.slow_request_threshold = MILLIS(-1),
                "slow_request_threshold: is negative or out of range",
            ),
            (
                |s| s.buffering = Some(own::Buffering::default()),
                "buffering.bytes: must be above 0",
            ),
            (
                |s| {
                    let timeout = None;
                    s.buffering = Some(own::Buffering { bytes: 1, timeout });
                },
                "buffering.timeout: is missing",
            ),
        ],
    );
}

fn cluster() -> cluster::Cluster {
    let mut message = cluster_message();
    message.set_lb_policy(choices::LbPolicy::Maglev);
    message.lb_config = Some(choices::LbConfig::MaglevLbConfig(choices::MaglevLbConfig {
        table_size: Some(65_521),
    }));
    message.circuit_breakers = Some(cluster::CircuitBreakers {
        thresholds: vec![
            cluster::circuit_breakers::Thresholds {
                priority: core::RoutingPriority::High.into(),
                max_connections: Some(1),
                ..Default::default()
            },
            cluster::circuit_breakers::Thresholds {
                max_connections: Some(7),
                max_pending_requests: Some(8),
                max_requests: Some(9),
                max_retries: Some(10),
                ..Default::default()
            },
        ],
    });
    message.upstream_connection_options = Some(cluster::UpstreamConnectionOptions {
        tcp_keepalive: Some(core::TcpKeepalive {
            keepalive_probes: Some(3),
            keepalive_time: Some(60),
            keepalive_interval: None,
        }),
    });
    message.metadata = Some(metadata(&policy()));
    message
}

fn policy() -> own::ClusterPolicy {
    own::ClusterPolicy {
        settings: vec![of_secret("upstreamPassword", "the/password")],
        topology: Some(own::Topology {
            seeds: address(socket("10.0.0.1", 6379)).into_iter().collect(),
        }),
        max_unknown_nodes: Some(5),
        idle_timeout: MILLIS(30_000),
        max_requests_per_connection: Some(11),
        ..own::ClusterPolicy::default()
    }
}

#[test]
fn what_a_cluster_asks_for() {
    let parsed = Cluster::try_from(cluster()).expect("valid");
    assert_eq!(parsed.lb, LbPolicy::Random);
    assert_eq!(parsed.hashing, Some(Hashing::Maglev { table_size: 65_521 }));
    let limits = Limits {
        connections: Some(7),
        pending: Some(8),
        requests: Some(9),
        retries: Some(10),
        requests_per_connection: Some(11),
    };
    assert_eq!(parsed.limits, limits);
    assert_eq!(parsed.idle_timeout, Some(Duration::from_secs(30)));
    let keepalive = parsed.keepalive.expect("it is on");
    assert_eq!(keepalive.probes, Some(3));
    assert_eq!(keepalive.time, Some(Duration::from_secs(60)));
    assert_eq!(keepalive.interval, None);
    let secret = parsed.settings[0].secret.as_deref();
    assert_eq!(secret, Some("the/password"));
    let seeds = parsed.topology.expect("it has one").seeds;
    assert_eq!(seeds, [Address::Tcp("10.0.0.1:6379".parse().unwrap())]);
    assert_eq!(parsed.max_unknown_nodes, 5);

    let mut ring = cluster();
    ring.set_lb_policy(choices::LbPolicy::RingHash);
    let ring = Cluster::try_from(ring).expect("valid");
    assert_eq!(ring.hashing, Some(Hashing::Ring { minimum_size: 1024 }));
    assert!(!ring.hashes_hostnames);

    let mut named = cluster();
    named.common_lb_config = Some(choices::CommonLbConfig {
        consistent_hashing_lb_config: Some(choices::common_lb_config::ConsistentHashingLbConfig {
            use_hostname_for_hashing: true,
            hash_balance_factor: Some(125),
        }),
        ..Default::default()
    });
    let named = Cluster::try_from(named).expect("valid");
    assert!(named.hashes_hostnames);
    assert_eq!(named.hash_balance_factor, Some(125));

    let bare = Cluster::try_from(cluster_message()).expect("valid");
    assert_eq!(bare.hashing, None);
    assert_eq!(bare.max_unknown_nodes, 100);
    assert_eq!((bare.limits, bare.idle_timeout), (Limits::default(), None));
    assert!(bare.topology.is_none() && bare.keepalive.is_none() && bare.settings.is_empty());
}

fn slow(config: choices::SlowStartConfig) -> Option<choices::LbConfig> {
    Some(choices::LbConfig::LeastRequestLbConfig(
        choices::LeastRequestLbConfig {
            slow_start_config: Some(config),
        },
    ))
}

#[test]
fn how_new_endpoints_warm_up() {
    let warmup = |lb_config| {
        let mut message = cluster_message();
        message.lb_config = lb_config;
        Cluster::try_from(message).map(|cluster| cluster.warmup)
    };
    let asked = choices::SlowStartConfig {
        slow_start_window: MILLIS(60_000),
        ..Default::default()
    };
    let default = Warmup {
        duration: Duration::from_secs(60),
        minimum: 0.1,
        aggression: 1.0,
    };
    assert_eq!(warmup(None), Ok(None));
    assert_eq!(warmup(slow(asked.clone())), Ok(Some(default)));
    let of = |aggression, percent| choices::SlowStartConfig {
        aggression: Some(core::RuntimeDouble {
            default_value: aggression,
            runtime_key: String::new(),
        }),
        min_weight_percent: Some(percent_message(percent)),
        ..asked.clone()
    };
    let expected = Warmup {
        minimum: 0.25,
        aggression: 2.0,
        ..default
    };
    assert_eq!(warmup(slow(of(2.0, 25.0))), Ok(Some(expected)));
    for (config, reason) in [
        (of(0.0, 10.0), "aggression: is not above 0"),
        (of(f64::NAN, 10.0), "aggression: is not above 0"),
        (
            of(1.0, 101.0),
            "min_weight_percent: is not between 0 and 100",
        ),
        (
            choices::SlowStartConfig::default(),
            "slow_start_window: is missing",
        ),
    ] {
        let refused = warmup(slow(config)).unwrap_err().to_string();
        let field = "least_request_lb_config.slow_start_config";
        assert_eq!(refused, format!("{field}.{reason}"));
    }
}

fn percent_message(value: f64) -> Percent {
    Percent { value }
}

fn with_seed(seed: Option<core::Address>) -> Option<core::Metadata> {
    let seeds = vec![seed.unwrap_or_default()];
    Some(metadata(&own::ClusterPolicy {
        topology: Some(own::Topology { seeds }),
        ..policy()
    }))
}

#[test]
fn refused_limits_of_a_cluster() {
    refuses::<_, Cluster>(
        &cluster(),
        &[
            (
                |c| {
                    c.metadata = Some(metadata(&own::ClusterPolicy {
                        max_requests_per_connection: Some(0),
                        ..policy()
                    }));
                },
                "metadata.typed_filter_metadata[meltemi].max_requests_per_connection: must be above 0",
            ),
            (
                |c| {
                    c.metadata = Some(metadata(&own::ClusterPolicy {
                        idle_timeout: MILLIS(-1),
                        ..policy()
                    }));
                },
                "metadata.typed_filter_metadata[meltemi].idle_timeout: is negative or out of range",
            ),
        ],
    );
}

#[test]
fn a_retry_budget_counts_in_the_place_of_a_limit() {
    let mut message = cluster();
    let breakers = message.circuit_breakers.as_mut().expect("given");
    let budget = cluster::circuit_breakers::thresholds::RetryBudget::default();
    breakers.thresholds[1].retry_budget = Some(budget);
    let parsed = Cluster::try_from(message).expect("valid");
    assert_eq!(parsed.limits.retries, None);
    assert_eq!(parsed.limits.requests, Some(9));
}

#[test]
fn refused_requests_of_a_cluster() {
    refuses::<_, Cluster>(
        &cluster(),
        &[
            (
                |c| {
                    let table_size = Some(65_536);
                    let maglev = choices::MaglevLbConfig { table_size };
                    c.lb_config = Some(choices::LbConfig::MaglevLbConfig(maglev));
                },
                "maglev_lb_config.table_size: 65536 is not a prime number",
            ),
            (
                |c| {
                    c.set_lb_policy(choices::LbPolicy::RingHash);
                    let minimum_ring_size = Some(1 << 40);
                    let ring = choices::RingHashLbConfig { minimum_ring_size };
                    c.lb_config = Some(choices::LbConfig::RingHashLbConfig(ring));
                },
                "ring_hash_lb_config.minimum_ring_size: 1099511627776 is not between 1 and 8388608",
            ),
            (
                |c| {
                    let options = c.upstream_connection_options.as_mut().expect("given");
                    let keepalive = options.tcp_keepalive.as_mut().expect("given");
                    keepalive.keepalive_time = Some(0);
                },
                "upstream_connection_options.tcp_keepalive.keepalive_time: must be above 0",
            ),
            (
                |c| {
                    let options = c.upstream_connection_options.as_mut().expect("given");
                    let keepalive = options.tcp_keepalive.as_mut().expect("given");
                    keepalive.keepalive_interval = Some(32_768);
                },
                "upstream_connection_options.tcp_keepalive.keepalive_interval: 32768 is above 32767",
            ),
            (
                |c| c.metadata = with_seed(address(socket("cache.shop", 1))),
                "metadata.typed_filter_metadata[meltemi].topology.seeds[0].socket_address.address: \
                 \"cache.shop\" is not an IP address",
            ),
            (
                |c| c.metadata = with_seed(address(socket("::1", 0))),
                "metadata.typed_filter_metadata[meltemi].topology.seeds[0]: port 0 cannot be \
                 dialled",
            ),
            (
                |c| {
                    let mut policy = policy();
                    policy.settings.push(policy.settings[0].clone());
                    c.metadata = Some(metadata(&policy));
                },
                "metadata.typed_filter_metadata[meltemi].settings[1].name: \"upstreamPassword\" \
                 occurs twice",
            ),
        ],
    );
}

fn copied() -> route::RouteConfiguration {
    let mut config = route_configuration();
    let prefix = condition("key", MatchPattern::Prefix("Cache:".to_owned()));
    *matcher(&mut config) = prefix;
    let Some(HeaderMatchSpecifier::StringMatch(string)) =
        &mut matcher(&mut config).header_match_specifier
    else {
        panic!("a string is matched");
    };
    string.ignore_case = true;
    action(&mut config).remove_prefix = Some(route::RemovePrefix {
        attribute: "key".to_owned(),
        prefix: "Cache:".to_owned(),
    });
    action(&mut config).mirrors = vec![
        route::Mirror {
            cluster: "copy".to_owned(),
            ..route::Mirror::default()
        },
        route::Mirror {
            cluster: "writes".to_owned(),
            percentage: Some(Percent { value: 12.5 }),
            exclude_idempotent: true,
        },
    ];
    config
}

#[test]
fn prefixes_that_go_and_copies() {
    let parsed = RouteConfig::try_from(copied()).expect("valid");
    let clusters: Vec<_> = parsed.clusters().collect();
    assert_eq!(clusters, ["c80", "c20", "copy", "writes"]);
    let route = &parsed.routes[0];
    assert_eq!(
        route.matches[0][0].condition,
        Condition::Prefix(Text::ignoring_case("Cache:"))
    );
    let removed = route.remove_prefix.as_ref().expect("one goes");
    assert_eq!((&*removed.attribute, &*removed.prefix), ("key", "Cache:"));
    assert_eq!(route.mirrors[0].share, Share::ALL);
    assert!(!route.mirrors[0].exclude_idempotent);
    assert_eq!(route.mirrors[1].share.per_million(), 125_000);
    assert!(route.mirrors[1].exclude_idempotent);

    refuses::<_, RouteConfig>(
        &copied(),
        &[
            (
                |c| {
                    let removed = action(c).remove_prefix.as_mut().expect("given");
                    removed.prefix.clear();
                },
                "routes[0].route.remove_prefix.prefix: is missing",
            ),
            (
                |c| action(c).mirrors[1].cluster.clear(),
                "routes[0].route.mirrors[1].cluster: is missing",
            ),
            (
                |c| action(c).mirrors[0].percentage = Some(Percent { value: -1.0 }),
                "routes[0].route.mirrors[0].percentage: is not between 0 and 100",
            ),
            (
                |c| {
                    let specifier = &mut matcher(c).header_match_specifier;
                    let Some(HeaderMatchSpecifier::StringMatch(string)) = specifier else {
                        panic!("a string is matched");
                    };
                    string.match_pattern = Some(regex("a"));
                },
                "routes[0].match.metadata[0].string_match.ignore_case: has no effect on \
                 safe_regex: write (?i) into it",
            ),
        ],
    );
}

fn falling_back() -> route::RouteConfiguration {
    let mut config = route_configuration();
    action(&mut config).fallbacks = vec![route::Fallback {
        cluster: "c20".to_owned(),
        next: vec!["c80".to_owned(), "spare".to_owned()],
    }];
    config
}

#[test]
fn what_is_asked_in_the_place_of_a_destination() {
    let parsed = RouteConfig::try_from(falling_back()).expect("valid");
    let clusters: Vec<_> = parsed.clusters().collect();
    assert_eq!(clusters, ["c80", "c20", "c80", "spare"]);
    let asked: Vec<_> = parsed.routes[0].destinations[1].asked().collect();
    assert_eq!(asked, ["c20", "c80", "spare"]);

    refuses::<_, RouteConfig>(
        &falling_back(),
        &[
            (
                |c| action(c).fallbacks[0].cluster = "other".to_owned(),
                "routes[0].route.fallbacks[0].cluster: is no destination of the route",
            ),
            (
                |c| {
                    let again = action(c).fallbacks[0].clone();
                    action(c).fallbacks.push(again);
                },
                "routes[0].route.fallbacks[1].cluster: has fallbacks already",
            ),
            (
                |c| action(c).fallbacks[0].next.clear(),
                "routes[0].route.fallbacks[0].next: is empty",
            ),
            (
                |c| action(c).fallbacks[0].next.push("c20".to_owned()),
                "routes[0].route.fallbacks[0].next: `c20` is empty, or asked twice",
            ),
        ],
    );
}
