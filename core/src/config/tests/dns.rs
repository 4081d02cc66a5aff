//! Clusters whose endpoints have names.

use super::*;

fn seconds(seconds: i64) -> Option<meltemi_proto::Duration> {
    Some(meltemi_proto::Duration { seconds, nanos: 0 })
}

fn named(name: &str) -> endpoint::LbEndpoint {
    endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(
            endpoint::Endpoint {
                address: address(socket(name, 6379)),
                hostname: String::new(),
            },
        )),
        ..endpoint::LbEndpoint::default()
    }
}

fn message(kind: choices::DiscoveryType) -> cluster::Cluster {
    cluster::Cluster {
        cluster_discovery_type: Some(choices::ClusterDiscoveryType::Type(kind.into())),
        load_assignment: Some(endpoint::ClusterLoadAssignment {
            endpoints: vec![endpoint::LocalityLbEndpoints {
                lb_endpoints: vec![named("orders.example")],
                ..endpoint::LocalityLbEndpoints::default()
            }],
            ..endpoint::ClusterLoadAssignment::default()
        }),
        ..cluster_message()
    }
}

fn strict() -> cluster::Cluster {
    message(choices::DiscoveryType::StrictDns)
}

fn endpoints(cluster: &mut cluster::Cluster) -> &mut Vec<endpoint::LbEndpoint> {
    let assignment = cluster.load_assignment.as_mut().unwrap();
    &mut assignment.endpoints[0].lb_endpoints
}

fn first(cluster: &mut cluster::Cluster) -> &mut core::SocketAddress {
    use endpoint::lb_endpoint::HostIdentifier::Endpoint;
    let Some(Endpoint(endpoint)) = &mut endpoints(cluster)[0].host_identifier else {
        panic!("an endpoint");
    };
    match endpoint.address.as_mut().and_then(|it| it.address.as_mut()) {
        Some(core::address::Address::SocketAddress(socket)) => socket,
        other => panic!("{other:?}"),
    }
}

fn dns(message: cluster::Cluster) -> Arc<Dns> {
    match Cluster::try_from(message).expect("valid").discovery {
        Discovery::Dns(dns) => dns,
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_are_envoys() {
    let bare = dns(strict());
    let rate = Duration::from_secs(5);
    let expected = Refresh {
        rate,
        respects_ttl: false,
        jitter: Duration::ZERO,
        failure_base: rate,
        failure_max: rate,
        family: Family::Auto,
    };
    assert_eq!((bare.kind, bare.refresh), (DnsKind::Strict, expected));
    let mut rich = message(choices::DiscoveryType::LogicalDns);
    rich.dns_failure_refresh_rate = Some(choices::RefreshRate {
        base_interval: seconds(2),
        max_interval: None,
    });
    rich.dns_lookup_family = choices::DnsLookupFamily::All.into();
    let rich = dns(rich);
    assert_eq!(rich.kind, DnsKind::Logical);
    assert_eq!(rich.refresh.failure_max, Duration::from_secs(20));
    assert_eq!(rich.refresh.family, Family::All);
}

#[test]
fn endpoints_are_names_or_addresses() {
    let mut mixed = strict();
    *endpoints(&mut mixed) = ["a.example.", "::1", "a_b", "10.0.0.1"].map(named).to_vec();
    let dns = dns(mixed);
    let shown = dns.endpoints.hosts.iter().map(|it| it.address.to_string());
    let expected = ["a.example.:6379", "[::1]:6379", "a_b:6379", "10.0.0.1:6379"];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[test]
fn what_cannot_be_resolved_is_refused() {
    let place = "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address";
    for (name, reason) in [
        ("", "address: is missing"),
        (
            "a b",
            "address: \"a b\" is neither an IP address nor a name of DNS",
        ),
        (
            "a..b",
            "address: \"a..b\" is neither an IP address nor a name of DNS",
        ),
        (
            "a:1",
            "address: \"a:1\" is neither an IP address nor a name of DNS",
        ),
    ] {
        let mut bad = strict();
        first(&mut bad).address = name.to_owned();
        let error = Cluster::try_from(bad).expect_err(name);
        assert_eq!(
            error.to_string(),
            format!("{place}.socket_address.{reason}")
        );
    }
}

#[test]
fn numbers_and_numbers_of_endpoints_are_checked() {
    refuses::<_, Cluster>(
        &strict(),
        &[
            (
                |c| first(c).port_specifier = Some(PortSpecifier::PortValue(0)),
                "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value: 0 cannot be dialled",
            ),
            (
                |c| c.dns_refresh_rate = seconds(-1),
                "dns_refresh_rate: is negative or out of range",
            ),
            (
                |c| c.dns_jitter = seconds(-1),
                "dns_jitter: is negative or out of range",
            ),
            (
                |c| c.dns_lookup_family = 9,
                "dns_lookup_family: 9 is unknown",
            ),
            (
                |c| {
                    c.dns_failure_refresh_rate = Some(choices::RefreshRate {
                        base_interval: seconds(5),
                        max_interval: seconds(4),
                    });
                },
                "dns_failure_refresh_rate.max_interval: is below base_interval",
            ),
            (
                |c| c.dns_failure_refresh_rate = Some(choices::RefreshRate::default()),
                "dns_failure_refresh_rate.base_interval: is missing",
            ),
        ],
    );
    refuses::<_, Cluster>(
        &message(choices::DiscoveryType::LogicalDns),
        &[
            (
                |c| endpoints(c).push(named("b.example")),
                "load_assignment.endpoints: LOGICAL_DNS has exactly one endpoint, not 2",
            ),
            (
                |c| c.load_assignment = None,
                "load_assignment.endpoints: LOGICAL_DNS has exactly one endpoint, not 0",
            ),
        ],
    );
}
