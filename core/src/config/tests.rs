use std::time::Duration;

use meltemi_policy::{
    Alternative, AttributeMatch, Condition, LocalityRule, PriorityLabel, RegionFailover, Text,
};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as route;
use meltemi_proto::envoy::config::cluster::v3::{self as cluster, cluster as choices};
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};
use meltemi_proto::envoy::config::endpoint::v3 as endpoint;
use meltemi_proto::envoy::config::listener::v3 as listener;
use meltemi_proto::envoy::config::route::v3 as matcher;
use meltemi_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meltemi_proto::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use meltemi_proto::envoy::r#type::v3::Percent;
use meltemi_proto::meltemi::config::v1 as own;
use meltemi_proto::{Any, EXTENSION_NAME};

use super::*;

mod adaptive_concurrency;
mod authorization;
mod balancing;
mod dns;
mod global_limits;
mod limits;
mod matching;
mod proxy_protocol;
mod settings;
mod tls;

/// One edit of a valid message, and the complaint that it must lead to.
type Edit<M> = (fn(&mut M), &'static str);

fn refuses<M, T>(valid: &M, edits: &[Edit<M>])
where
    M: Clone + std::fmt::Debug,
    T: TryFrom<M, Error = Invalid> + std::fmt::Debug,
{
    T::try_from(valid.clone()).expect("the message is valid before the edit");
    for (edit, complaint) in edits {
        let mut message = valid.clone();
        edit(&mut message);
        let error = T::try_from(message).expect_err(complaint);
        assert_eq!(error.to_string(), *complaint);
    }
}

fn socket(ip: &str, port: u32) -> core::SocketAddress {
    core::SocketAddress {
        address: ip.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..core::SocketAddress::default()
    }
}

fn address(socket: core::SocketAddress) -> Option<core::Address> {
    Some(core::Address {
        address: Some(core::address::Address::SocketAddress(socket)),
    })
}

fn metadata<M: prost::Message + prost::Name>(message: &M) -> core::Metadata {
    core::Metadata {
        typed_filter_metadata: [(EXTENSION_NAME.to_owned(), Any::pack(message))].into(),
        ..core::Metadata::default()
    }
}

fn other_socket() -> core::TransportSocket {
    core::TransportSocket {
        name: "tls".to_owned(),
        ..core::TransportSocket::default()
    }
}

fn listener() -> listener::Listener {
    let mode = own::listener::FixedService {
        name: "shop/edge/echo".to_owned(),
    };
    let config = own::Listener {
        max_connections_per_source: 0,
        mode: Some(own::listener::Mode::Service(mode)),
        source: None,
    };
    listener::Listener {
        name: "shop/edge/echo".to_owned(),
        address: address(socket("::1", 0)),
        filter_chains: vec![listener::FilterChain {
            filters: vec![listener::Filter {
                name: EXTENSION_NAME.to_owned(),
                config_type: Some(listener::filter::ConfigType::TypedConfig(Any::pack(
                    &config,
                ))),
            }],
            ..listener::FilterChain::default()
        }],
        ..listener::Listener::default()
    }
}

#[test]
fn listeners() {
    let parsed = Listener::try_from(listener()).expect("valid");
    assert_eq!(parsed.mode, Mode::Service("shop/edge/echo".to_owned()));
    assert_eq!(parsed.bind, Bind::Tcp("[::1]:0".parse().unwrap()));

    let mut unix = listener();
    unix.address = Some(core::Address {
        address: Some(core::address::Address::Pipe(core::Pipe {
            path: "/run/s".to_owned(),
            mode: 0,
        })),
    });
    let parsed = Listener::try_from(unix).expect("valid");
    assert_eq!(parsed.bind, Bind::Unix("/run/s".into()));

    refuses::<_, Listener>(
        &listener(),
        &[
            (|l| l.name.clear(), "name: is missing"),
            (
                |l| l.address = None,
                "address: is missing or of an unknown kind",
            ),
            (
                |l| l.address = address(socket("localhost", 1)),
                "address.socket_address.address: \"localhost\" is not an IP address",
            ),
            (
                |l| l.address = address(socket("::1", 65536)),
                "address.socket_address.port_value: 65536 is above 65535",
            ),
            (
                |l| {
                    let mut udp = socket("::1", 1);
                    udp.set_protocol(Protocol::Udp);
                    l.address = address(udp);
                },
                "address.socket_address.protocol: only TCP is supported",
            ),
            (
                |l| l.filter_chains.clear(),
                "filter_chains: one is expected, not 0",
            ),
            (
                |l| l.filter_chains[0].transport_socket = Some(other_socket()),
                "filter_chains[0].transport_socket: \"tls\" is not supported",
            ),
            (
                |l| l.filter_chains[0].filters[0].name = "other".to_owned(),
                "filter_chains[0].filters[0].name: \"other\" is not \"meltemi\"",
            ),
            (
                |l| {
                    let unknown = Any::pack(&own::Listener::default());
                    l.filter_chains[0].filters[0].config_type =
                        Some(listener::filter::ConfigType::TypedConfig(unknown));
                },
                "filter_chains[0].filters[0].typed_config.mode: is missing or unknown",
            ),
        ],
    );
}

#[test]
fn services() {
    let valid = own::Service {
        name: "s".to_owned(),
        ports: vec![own::service::Port {
            protocol: "echo".to_owned(),
            route_config_name: "r".to_owned(),
            ..own::service::Port::default()
        }],
        ..own::Service::default()
    };
    refuses::<_, Service>(
        &valid,
        &[
            (|s| s.name.clear(), "name: is missing"),
            (|s| s.ports.clear(), "ports: one is expected, not 0"),
            (
                |s| s.ports[0].protocol.clear(),
                "ports[0].route_config_name: there are no requests to route where there is no protocol",
            ),
            (
                |s| s.ports[0].route_config_name.clear(),
                "ports[0].route_config_name: is missing",
            ),
            (
                |s| s.ports[0] = own::service::Port::default(),
                "ports[0].default_cluster: is missing",
            ),
        ],
    );
}

#[test]
fn a_service_without_a_protocol_passes_bytes_to_its_cluster() {
    let tcp = own::Service {
        name: "s".to_owned(),
        ports: vec![own::service::Port {
            default_cluster: "c".to_owned(),
            ..own::service::Port::default()
        }],
        ..own::Service::default()
    };
    assert_eq!(Service::try_from(tcp), Ok(Service::tcp("s", "c")));
}

fn condition(name: &str, pattern: MatchPattern) -> matcher::HeaderMatcher {
    matcher::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(pattern),
            ignore_case: false,
        })),
        ..matcher::HeaderMatcher::default()
    }
}

fn regex(regex: &str) -> MatchPattern {
    MatchPattern::SafeRegex(RegexMatcher {
        regex: regex.to_owned(),
    })
}

fn weighted(weights: &[u32]) -> Option<route::route_action::ClusterSpecifier> {
    let clusters = weights
        .iter()
        .map(|&weight| matcher::weighted_cluster::ClusterWeight {
            name: format!("c{weight}"),
            weight: Some(weight),
        });
    let clusters = clusters.collect();
    Some(route::route_action::ClusterSpecifier::WeightedClusters(
        matcher::WeightedCluster { clusters },
    ))
}

fn route_configuration() -> route::RouteConfiguration {
    route::RouteConfiguration {
        name: "r".to_owned(),
        routes: vec![route::Route {
            r#match: Some(route::RouteMatch {
                metadata: vec![
                    condition("method", MatchPattern::Exact("get".to_owned())),
                    condition("group", MatchPattern::Prefix("g".to_owned())),
                    condition("version", regex("1\\..*")),
                    matcher::HeaderMatcher {
                        name: "user".to_owned(),
                        header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
                        ..matcher::HeaderMatcher::default()
                    },
                ],
                alternatives: vec![],
            }),
            route: Some(route::RouteAction {
                cluster_specifier: weighted(&[80, 20]),
                timeout: Some(meltemi_proto::Duration {
                    seconds: 1,
                    nanos: 500_000_000,
                }),
                ..route::RouteAction::default()
            }),
            source: Some(own::SourceObject {
                kind: "MetaRouter".to_owned(),
                namespace: "shop".to_owned(),
                name: "orders".to_owned(),
                ..own::SourceObject::default()
            }),
            ..route::Route::default()
        }],
        ..route::RouteConfiguration::default()
    }
}

fn matcher(config: &mut route::RouteConfiguration) -> &mut matcher::HeaderMatcher {
    let conditions = config.routes[0]
        .r#match
        .as_mut()
        .expect("it has conditions");
    &mut conditions.metadata[0]
}

fn action(config: &mut route::RouteConfiguration) -> &mut route::RouteAction {
    config.routes[0].route.as_mut().expect("it has an action")
}

#[test]
fn routes() {
    let parsed = RouteConfig::try_from(route_configuration()).expect("valid");
    let route = &parsed.routes[0];
    let matches = [
        ("method", Condition::Exact("get".into())),
        ("group", Condition::Prefix("g".into())),
        ("version", Condition::Regex("1\\..*".to_owned())),
        ("user", Condition::Present),
    ];
    let matches = matches.map(|(name, condition)| AttributeMatch::new(name, condition));
    assert_eq!(route.matches, [matches]);
    assert_eq!(route.owner, "MetaRouter/shop/orders");
    assert_eq!(route.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(parsed.clusters().collect::<Vec<_>>(), ["c80", "c20"]);
}

#[test]
fn refused_routes() {
    refuses::<_, RouteConfig>(
        &route_configuration(),
        &[
            (|c| c.name.clear(), "name: is missing"),
            (|c| c.routes[0].route = None, "routes[0].route: is missing"),
            (
                |c| action(c).cluster_specifier = None,
                "routes[0].route.cluster_specifier: is missing or unknown",
            ),
            (
                |c| action(c).cluster_specifier = weighted(&[0, 0]),
                "routes[0].route.weighted_clusters: the weights add up to 0",
            ),
            (
                |c| action(c).cluster_specifier = weighted(&[u32::MAX, 1]),
                "routes[0].route.weighted_clusters: the weights add up to more than 4294967295",
            ),
            (
                |c| action(c).timeout = Some(meltemi_proto::Duration::default()),
                "routes[0].route.timeout: must be above 0",
            ),
            (
                |c| matcher(c).name.clear(),
                "routes[0].match.metadata[0].name: is missing",
            ),
            (
                |c| {
                    c.routes[0]
                        .request_mutation
                        .push(route::KeyValue::default())
                },
                "routes[0].request_mutation[0].key: is missing",
            ),
            (
                |c| c.routes[0].response_mutation = vec![mutation("a", "", false)],
                "routes[0].response_mutation[0].value: is missing",
            ),
            (
                |c| c.routes[0].request_mutation = vec![mutation("a", "b", true)],
                "routes[0].request_mutation[0].value: is given although the key is removed",
            ),
            (
                |c| c.routes[0].request_mutation = vec![mutation("a", "${b", false)],
                "routes[0].request_mutation[0].value: `${b` has no closing brace",
            ),
        ],
    );

    let mut broken = route_configuration();
    *matcher(&mut broken) = condition("a", regex("("));
    let error = RouteConfig::try_from(broken).expect_err("no expression");
    let start = "routes[0].match.metadata[0].string_match: invalid regular expression `(`";
    assert!(error.to_string().starts_with(start), "{error}");
}

fn mutation(key: &str, value: &str, remove: bool) -> route::KeyValue {
    route::KeyValue {
        key: key.to_owned(),
        value: value.to_owned(),
        remove,
    }
}

fn cluster_message() -> cluster::Cluster {
    cluster::Cluster {
        name: "outbound|20880||orders".to_owned(),
        cluster_discovery_type: Some(choices::ClusterDiscoveryType::Type(
            choices::DiscoveryType::Eds.into(),
        )),
        ..cluster::Cluster::default()
    }
}

#[test]
fn clusters() {
    let bare = Cluster::try_from(cluster_message()).expect("valid");
    assert_eq!(bare.lb, LbPolicy::RoundRobin);
    assert_eq!(bare.connect_timeout, Duration::from_secs(5));
    assert_eq!(bare.panic_threshold, 50);
    assert_eq!(bare.outlier, None);
    assert_eq!(bare.locality, LocalityRule::Inactive);
    assert_eq!(bare.discovery, Discovery::Eds(bare.name));

    let mut rich = cluster_message();
    rich.outlier_detection = Some(cluster::OutlierDetection {
        base_ejection_time: Some(meltemi_proto::Duration {
            seconds: 400,
            nanos: 0,
        }),
        ..cluster::OutlierDetection::default()
    });
    let failover = own::locality_rule::Failover {
        from: "a".to_owned(),
        to: "b".to_owned(),
    };
    rich.metadata = Some(metadata(&own::ClusterPolicy {
        locality: Some(own::LocalityRule {
            failover: vec![failover],
            failover_priority: vec!["version=v1".to_owned()],
            ..own::LocalityRule::default()
        }),
        ..own::ClusterPolicy::default()
    }));
    let rich = Cluster::try_from(rich).expect("valid");
    let outlier = rich.outlier.expect("it is on");
    assert_eq!(outlier.consecutive_errors, 5);
    assert_eq!(outlier.max_ejection_time, Duration::from_secs(400));
    let regions = vec![RegionFailover {
        from: "a".to_owned(),
        to: "b".to_owned(),
    }];
    let labels = vec![PriorityLabel::parse("version=v1")];
    assert_eq!(rich.locality, LocalityRule::Failover { labels, regions });
}

fn distributing(from: &str, to: &[(&str, u32)]) -> own::LocalityRule {
    let to = to.iter().map(|&(to, share)| (to.to_owned(), share));
    own::LocalityRule {
        distribute: vec![own::locality_rule::Distribute {
            from: from.to_owned(),
            to: to.collect(),
        }],
        ..own::LocalityRule::default()
    }
}

#[test]
fn distributed_clusters() {
    let with = |rule: own::LocalityRule| {
        let mut cluster = cluster_message();
        cluster.metadata = Some(metadata(&own::ClusterPolicy {
            locality: Some(rule),
            ..own::ClusterPolicy::default()
        }));
        Cluster::try_from(cluster)
    };
    let cluster = with(distributing("r1/*", &[("r1", 60), ("r2", 40)])).expect("valid");
    assert!(!cluster.locality_weighted, "Envoy's own field says it");
    let LocalityRule::Distribute(rules) = cluster.locality else {
        panic!("{:?}", cluster.locality)
    };
    assert_eq!(
        (rules[0].from.to_string(), rules[0].to.len()),
        ("r1/*".to_owned(), 2)
    );

    let mut beside_failover = distributing("*", &[("*", 100)]);
    beside_failover.failover_priority = vec!["a".to_owned()];
    let nameless = own::LocalityRule {
        failover_priority: vec!["=a".to_owned()],
        ..own::LocalityRule::default()
    };
    for (rule, reason) in [
        (
            distributing("", &[("*", 100)]),
            "distribute[0].from: `` has an empty",
        ),
        (
            distributing("*", &[("r1", 90)]),
            "distribute[0].to: the weights",
        ),
        (
            distributing("*", &[("r1", 100), ("r2", 0)]),
            "distribute[0].to: the weights",
        ),
        (distributing("*", &[("r1/z1", 50), ("r1", 50)]), "overlap"),
        (
            distributing("*", &[("r1*", 100)]),
            "distribute[0].to: `*` in `r1*`",
        ),
        (beside_failover, "distribute: cannot be beside"),
        (nameless, "failover_priority[0]: has no name"),
    ] {
        let refused = with(rule.clone()).expect_err("refused").to_string();
        let prefix = "metadata.typed_filter_metadata[meltemi].locality.";
        assert!(refused.starts_with(prefix), "{refused}");
        assert!(refused.contains(reason), "{rule:?}: {refused}");
    }
}

#[test]
fn refused_clusters() {
    refuses::<_, Cluster>(
        &cluster_message(),
        &[
            (|c| c.name.clear(), "name: is missing"),
            (
                |c| c.cluster_discovery_type = None,
                "type: only EDS, STRICT_DNS and LOGICAL_DNS are supported",
            ),
            (
                |c| c.set_lb_policy(choices::LbPolicy::ClusterProvided),
                "lb_policy: CLUSTER_PROVIDED is not supported",
            ),
            (|c| c.lb_policy = 99, "lb_policy: 99 is unknown"),
            (
                |c| c.transport_socket = Some(other_socket()),
                "transport_socket: \"tls\" is not supported",
            ),
            (
                |c| {
                    c.common_lb_config = Some(choices::CommonLbConfig {
                        healthy_panic_threshold: Some(Percent { value: f64::NAN }),
                        ..choices::CommonLbConfig::default()
                    });
                },
                "common_lb_config.healthy_panic_threshold: is not between 0 and 100",
            ),
            (
                |c| {
                    let outlier = c.outlier_detection.get_or_insert_default();
                    outlier.max_ejection_percent = Some(101);
                },
                "outlier_detection.max_ejection_percent: 101 is above 100",
            ),
            (
                |c| {
                    let seconds = -1;
                    c.connect_timeout = Some(meltemi_proto::Duration { seconds, nanos: 0 });
                },
                "connect_timeout: is negative or out of range",
            ),
        ],
    );
}

fn assignment() -> endpoint::ClusterLoadAssignment {
    let host = |port| endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(
            endpoint::Endpoint {
                address: address(socket("10.0.0.1", port)),
                ..endpoint::Endpoint::default()
            },
        )),
        ..endpoint::LbEndpoint::default()
    };
    endpoint::ClusterLoadAssignment {
        cluster_name: "c".to_owned(),
        endpoints: vec![endpoint::LocalityLbEndpoints {
            lb_endpoints: vec![host(1), host(2)],
            ..endpoint::LocalityLbEndpoints::default()
        }],
        policy: Some(endpoint::cluster_load_assignment::Policy::default()),
    }
}

fn second(assignment: &mut endpoint::ClusterLoadAssignment) -> &mut endpoint::LbEndpoint {
    &mut assignment.endpoints[0].lb_endpoints[1]
}

#[test]
fn endpoints() {
    let mut message = assignment();
    second(&mut message).set_health_status(core::HealthStatus::Timeout);
    let labels = [("version".to_owned(), "v2".to_owned())].into();
    second(&mut message).metadata = Some(metadata(&own::EndpointMetadata { labels }));
    let parsed = Endpoints::try_from(message).expect("valid");
    assert_eq!(parsed.overprovisioning, 140);
    assert_eq!(parsed.hosts[0].health, Health::Healthy);
    assert_eq!(parsed.hosts[0].weight, 1);
    assert_eq!(parsed.hosts[1].health, Health::Unhealthy);
    assert_eq!(parsed.hosts[1].labels["version"], "v2");

    refuses::<_, Endpoints>(
        &assignment(),
        &[
            (
                |a| second(a).host_identifier = None,
                "endpoints[0].lb_endpoints[1].endpoint: is missing",
            ),
            (
                |a| second(a).load_balancing_weight = Some(0),
                "endpoints[0].lb_endpoints[1].load_balancing_weight: must be at least 1",
            ),
            (
                |a| second(a).health_status = 77,
                "endpoints[0].lb_endpoints[1].health_status: 77 is unknown",
            ),
            (
                |a| *second(a) = a.endpoints[0].lb_endpoints[0].clone(),
                "endpoints: 10.0.0.1:1 occurs twice",
            ),
            (
                |a| a.policy.get_or_insert_default().overprovisioning_factor = Some(0),
                "policy.overprovisioning_factor: must be above 0",
            ),
        ],
    );
}
