//! Listeners whose connections say where they were going, and the services that are found by that.

use std::net::{IpAddr, SocketAddr};

use super::*;
use crate::config::Discovery;

/// A listener in this mode.
fn proxied(mode: own::listener::ProxyProtocol) -> listener::Listener {
    let config = own::Listener {
        max_connections_per_source: 0,
        mode: Some(own::listener::Mode::ProxyProtocol(mode)),
        source: None,
    };
    let mut listener = listener();
    listener.filter_chains[0].filters[0].config_type = Some(
        listener::filter::ConfigType::TypedConfig(Any::pack(&config)),
    );
    listener
}

fn of(identity: &str, patience: Option<i64>) -> own::listener::ProxyProtocol {
    own::listener::ProxyProtocol {
        own_identity: identity.to_owned(),
        patience: patience.map(|seconds| meltemi_proto::Duration { seconds, nanos: 0 }),
    }
}

#[test]
fn a_listener_reads_a_header() {
    let parsed = Listener::try_from(proxied(of("", None))).expect("valid");
    let mode = ProxyProtocol {
        own_identity: None,
        patience: Duration::from_secs(5),
    };
    assert_eq!(parsed.mode, Mode::ProxyProtocol(mode));
    let identity = "spiffe://cluster.local/ns/shop/sa/waypoint";
    let parsed = Listener::try_from(proxied(of(identity, Some(2)))).expect("valid");
    let mode = ProxyProtocol {
        own_identity: Some(identity.into()),
        patience: Duration::from_secs(2),
    };
    assert_eq!(parsed.mode, Mode::ProxyProtocol(mode));
    for bind in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
        let mut listener = proxied(of("", None));
        listener.address = address(socket(bind, 15088));
        Listener::try_from(listener).expect(bind);
    }
}

#[test]
fn who_can_be_reached_is_not_believed() {
    let forged = "is within reach of others, who could forge the header of the PROXY protocol and be \
                  whoever they say; bind a loopback address, or a Unix socket";
    for bind in ["0.0.0.0", "10.0.0.1", "::", "fd00::1", "::ffff:10.0.0.1"] {
        let mut listener = proxied(of("", None));
        listener.address = address(socket(bind, 15088));
        let error = Listener::try_from(listener).expect_err(bind);
        let bind = SocketAddr::new(bind.parse().unwrap(), 15088);
        assert_eq!(error.to_string(), format!("address: {bind} {forged}"));
    }
}

#[test]
fn what_a_header_listener_cannot_be() {
    let at = "filter_chains[0].filters[0].typed_config.proxy_protocol";
    for (mode, complaint) in [
        (
            of("cluster.local/ns/a/sa/b", None),
            "own_identity: \"cluster.local/ns/a/sa/b\" is no SPIFFE id: it begins with spiffe://",
        ),
        (of("", Some(0)), "patience: must be above 0"),
        (of("", Some(-1)), "patience: is negative or out of range"),
    ] {
        let error = Listener::try_from(proxied(mode)).expect_err(complaint);
        assert_eq!(error.to_string(), format!("{at}.{complaint}"));
    }
}

#[test]
fn addresses_of_services() {
    let mut message = own::Service {
        name: "s".to_owned(),
        addresses: ["10.96.0.1", "fd00:96::1", "::ffff:10.96.0.2"]
            .map(str::to_owned)
            .into(),
        ports: vec![own::service::Port {
            number: 20880,
            protocol: "echo".to_owned(),
            route_config_name: "r".to_owned(),
            default_cluster: "c".to_owned(),
            ..own::service::Port::default()
        }],
        ..own::Service::default()
    };
    let service = Service::try_from(message.clone()).expect("valid");
    let addresses: Vec<IpAddr> = ["10.96.0.1", "fd00:96::1", "10.96.0.2"]
        .map(|ip| ip.parse().unwrap())
        .into();
    assert_eq!((service.addresses, service.port), (addresses, 20880));
    assert_eq!(service.default_cluster.as_deref(), Some("c"));
    refuses::<_, Service>(
        &message,
        &[
            (
                |s| s.addresses[1] = "10.0.0.0/8".to_owned(),
                "addresses[1]: \"10.0.0.0/8\" is not an IP address",
            ),
            (
                |s| s.ports[0].number = 65536,
                "ports[0].number: 65536 is above 65535",
            ),
        ],
    );
    message.ports[0].number = 0;
    message.ports[0].default_cluster.clear();
    let service = Service::try_from(message).expect("valid");
    assert_eq!((service.port, service.default_cluster), (0, None));
}

fn service(name: &str, addresses: &[&str], port: u16, cluster: Option<&str>) -> Service {
    Service {
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        port,
        default_cluster: cluster.map(str::to_owned),
        ..Service::new(name, "echo", "r")
    }
}

fn cluster(name: &str, hosts: &[&str]) -> Cluster {
    let hosts = hosts.iter().map(|address| Endpoint {
        address: Address::Tcp(address.parse().unwrap()),
        hostname: String::new(),
        weight: 1,
        locality: Locality::default(),
        priority: 0,
        health: Health::Healthy,
        labels: BTreeMap::new(),
    });
    Cluster {
        endpoints: Arc::new(Endpoints {
            hosts: hosts.collect(),
            ..Endpoints::default()
        }),
        discovery: Discovery::Eds(name.to_owned()),
        ..Cluster::new(name)
    }
}

fn snapshot(mode: Mode) -> Snapshot {
    let listener = Listener {
        mode,
        ..Listener::try_from(listener()).unwrap()
    };
    let services = [
        service("b", &["10.96.0.1", "fd00:96::1"], 80, Some("b")),
        service("a", &["10.96.0.1"], 81, Some("a")),
        service("c", &["10.96.0.1", "10.0.0.7"], 80, Some("absent")),
        service("headless", &[], 6379, Some("headless")),
        service("d", &[], 0, None),
        service("e", &["10.96.0.9"], 0, Some("headless")),
    ];
    let clusters = [
        cluster("a", &["10.0.0.1:8080", "10.0.0.2:8080"]),
        // One pod is of two services, and an address of a service counts first.
        cluster("b", &["10.0.0.2:8080", "10.0.0.7:80", "[fd00::1]:8080"]),
        cluster("headless", &["10.0.0.9:6379"]),
    ];
    let services = services.into_iter();
    let clusters = clusters.into_iter();
    Snapshot {
        listeners: [("l".to_owned(), Arc::new(listener))].into(),
        services: services.map(|s| (s.name.clone(), Arc::new(s))).collect(),
        clusters: clusters.map(|c| (c.name.clone(), Arc::new(c))).collect(),
        ..Snapshot::default()
    }
    .laid_out(&Layouts::default())
}

#[test]
fn destinations_are_services() {
    let snapshot = snapshot(Mode::ProxyProtocol(ProxyProtocol::default()));
    for (dialled, expected) in [
        ("10.96.0.1:80", Some("b")),
        ("10.96.0.1:81", Some("a")),
        ("10.96.0.1:82", None),
        ("10.96.0.1:0", None),
        ("10.96.0.9:0", None),
        ("[::ffff:10.96.0.1]:80", Some("b")),
        ("[fd00:96::1]:80", Some("b")),
        ("[fd00:96::1%7]:80", Some("b")),
        ("10.0.0.1:8080", Some("a")),
        ("10.0.0.2:8080", Some("a")),
        ("10.0.0.7:80", Some("c")),
        ("[fd00::1]:8080", Some("b")),
        ("10.0.0.9:6379", Some("e")),
        ("10.0.0.9:80", None),
    ] {
        let found = snapshot.destinations.service(dialled.parse().unwrap());
        assert_eq!(found.map(|it| it.name.as_str()), expected, "{dialled}");
    }
}

#[test]
fn destinations_cost_nothing_where_nobody_asks() {
    let snapshot = snapshot(Mode::Service("a".to_owned()));
    let found = snapshot
        .destinations
        .service("10.96.0.1:80".parse().unwrap());
    assert!(found.is_none());
}
