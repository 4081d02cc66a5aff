//! The same outcomes of connections to the same endpoints, told to a real Envoy as a TCP proxy and to our
//! outlier detection: the same endpoints are ejected, after each of them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use meltemi_core::config::{Address, Cluster, OutlierDetection};
use meltemi_core::outlier::{Outcome, OutlierDetector};
use meltemi_proto::envoy::config::cluster::v3 as proto;
use meltemi_proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use meltemi_tests::redis::script::Random;
use meltemi_tests::{Envoy, PATIENCE};
use serde_json::{Value, json};

const CONNECTIONS: usize = 80;

/// One detection for so many endpoints.
struct Case {
    name: &'static str,
    endpoints: usize,
    rule: proto::OutlierDetection,
}

impl Case {
    fn new(name: &'static str, endpoints: usize, rule: proto::OutlierDetection) -> Self {
        Self {
            name,
            endpoints,
            rule,
        }
    }
}

fn rule(errors: u32, percent: u32) -> proto::OutlierDetection {
    proto::OutlierDetection {
        consecutive_5xx: Some(errors),
        max_ejection_percent: Some(percent),
        ..proto::OutlierDetection::default()
    }
}

/// How many may be ejected.
fn caps() -> Vec<Case> {
    let always = proto::OutlierDetection {
        always_eject_one_host: Some(true),
        ..rule(2, 0)
    };
    vec![
        Case::new("defaults", 3, proto::OutlierDetection::default()),
        Case::new("ten-of-ten", 10, rule(1, 10)),
        Case::new("ten-of-nine", 9, rule(1, 10)),
        Case::new("a-third-of-three", 3, rule(2, 33)),
        Case::new("two-thirds-of-three", 3, rule(2, 67)),
        Case::new("half-of-five", 5, rule(1, 50)),
        Case::new("all-of-four", 4, rule(3, 100)),
        Case::new("none-of-four", 4, rule(1, 0)),
        Case::new("always-one-of-four", 4, always),
    ]
}

/// Which rows of failures count.
fn rows() -> Vec<Case> {
    let not_enforced = proto::OutlierDetection {
        enforcing_consecutive_5xx: Some(0),
        ..rule(1, 100)
    };
    let gateway = proto::OutlierDetection {
        consecutive_gateway_failure: Some(2),
        enforcing_consecutive_gateway_failure: Some(100),
        ..rule(4, 75)
    };
    let gateway_by_default = proto::OutlierDetection {
        consecutive_gateway_failure: Some(1),
        ..rule(4, 75)
    };
    let split = proto::OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: Some(3),
        ..rule(1, 50)
    };
    let split_and_not_enforced = proto::OutlierDetection {
        consecutive_local_origin_failure: Some(1),
        enforcing_consecutive_local_origin_failure: Some(0),
        ..split
    };
    vec![
        Case::new("not-enforced", 2, not_enforced),
        Case::new("gateway-errors", 4, gateway),
        Case::new("gateway-errors-by-default", 4, gateway_by_default),
        Case::new("split", 4, split),
        Case::new("split-and-not-enforced", 3, split_and_not_enforced),
    ]
}

/// An endpoint that greets whom it accepts, while it is open.
struct Server {
    address: SocketAddr,
    open: Option<Open>,
}

struct Open {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Server {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        let address = listener.local_addr().expect("a bound socket");
        let open = Some(Open::serve(listener));
        Self { address, open }
    }

    fn set(&mut self, open: bool) {
        match (self.open.take(), open) {
            (None, true) => {
                let listener = TcpListener::bind(self.address).expect("its port is still free");
                self.open = Some(Open::serve(listener));
            }
            (Some(it), false) => {
                it.stop.store(true, Ordering::Release);
                let _ = TcpStream::connect(self.address);
                it.thread.join().expect("it ends");
            }
            (before, _) => self.open = before,
        }
    }
}

impl Open {
    fn serve(listener: TcpListener) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let _ = stream.and_then(|mut stream| stream.write_all(b"!"));
            }
        });
        Self { stop, thread }
    }
}

fn envoy_cluster(case: &Case, servers: &[Server]) -> Value {
    let endpoints = servers.iter().map(|server| {
        json!({"endpoint": {"address": {"socket_address": {
            "address": "127.0.0.1", "port_value": server.address.port()}}}})
    });
    let rule = &case.rule;
    json!({
        "name": case.name, "type": "STATIC", "lb_policy": "ROUND_ROBIN",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "load_assignment": {"cluster_name": case.name, "endpoints": [
            {"lb_endpoints": endpoints.collect::<Vec<_>>()}]},
        "outlier_detection": {
            "interval": "3600s", "base_ejection_time": "3600s",
            "consecutive_5xx": rule.consecutive_5xx,
            "enforcing_consecutive_5xx": rule.enforcing_consecutive_5xx,
            "max_ejection_percent": rule.max_ejection_percent,
            "always_eject_one_host": rule.always_eject_one_host,
            "consecutive_gateway_failure": rule.consecutive_gateway_failure,
            "enforcing_consecutive_gateway_failure": rule.enforcing_consecutive_gateway_failure,
            "split_external_local_origin_errors": rule.split_external_local_origin_errors,
            "consecutive_local_origin_failure": rule.consecutive_local_origin_failure,
            "enforcing_consecutive_local_origin_failure":
                rule.enforcing_consecutive_local_origin_failure,
        },
    })
}

fn listener(name: &str) -> Value {
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "it", "cluster": name, "max_connect_attempts": 1,
            },
        }]}],
    })
}

/// What our border makes of the same message.
fn ours(case: &Case) -> OutlierDetection {
    let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
    let message = proto::Cluster {
        name: case.name.to_owned(),
        cluster_discovery_type: Some(eds),
        outlier_detection: Some(proto::OutlierDetection {
            enforcing_success_rate: Some(0),
            ..case.rule
        }),
        ..proto::Cluster::default()
    };
    let cluster = Cluster::try_from(message).expect("valid");
    cluster.outlier.expect("it has a detection")
}

/// What Envoy says of each endpoint of a cluster: connections, those that failed, whether it is ejected.
fn hosts(envoy: &Envoy, cluster: &str) -> Vec<(u16, u64, u64, bool)> {
    let page = envoy.page("/clusters?format=json");
    let clusters = page["cluster_statuses"].as_array().expect("clusters");
    let found = clusters
        .iter()
        .find(|it| it["name"] == cluster)
        .expect("it is there");
    let hosts = found["host_statuses"].as_array().expect("endpoints").iter();
    let stat = |host: &Value, name: &str| {
        let stats = host["stats"].as_array().into_iter().flatten();
        let value = stats
            .filter(|it| it["name"] == name)
            .find_map(|it| it["value"].as_str());
        value.map_or(0, |value| value.parse().expect("a number"))
    };
    hosts
        .map(|host| {
            let port = host["address"]["socket_address"]["port_value"].as_u64();
            (
                u16::try_from(port.expect("a port")).expect("a port"),
                stat(host, "cx_total"),
                stat(host, "cx_connect_fail"),
                host["health_status"]["failed_outlier_check"] == true,
            )
        })
        .collect()
}

/// Whether somebody greets a new connection.
fn connect(to: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(to).expect("Envoy listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    matches!(stream.read(&mut [0]), Ok(1))
}

fn compare(envoy: &Envoy, case: &Case, servers: &mut [Server], random: &mut Random) -> usize {
    let address = |port| Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let ports = servers.iter().map(|server| address(server.address.port()));
    let now = Instant::now();
    let mut detector = OutlierDetector::new(ours(case), ports, now, 1);
    let mut before = hosts(envoy, case.name);
    for step in 0..CONNECTIONS {
        let any = random.below(servers.len());
        servers[any].set(random.below(5) < 2);
        let greeted = connect(envoy.listener(case.name));
        let after = hosts(envoy, case.name);
        for (old, new) in before.iter().zip(&after) {
            assert!(
                new.1 + new.2 <= old.1 + old.2 + 2,
                "one connection at a time"
            );
            if new.2 > old.2 {
                assert!(!greeted);
                detector.report(&address(new.0), Outcome::Unreachable, now);
            } else if new.1 > old.1 {
                assert!(greeted, "{}: step {step}", case.name);
                detector.report(&address(new.0), Outcome::Success, now);
            }
        }
        let theirs = after.iter().filter(|it| it.3).map(|it| address(it.0));
        let theirs: BTreeSet<_> = theirs.collect();
        let ours: BTreeSet<_> = detector.ejected().cloned().collect();
        assert_eq!(ours, theirs, "{}: after connection {step}", case.name);
        before = after;
    }
    before.iter().filter(|it| it.3).count()
}

#[test]
fn the_same_endpoints_are_ejected_as_by_envoy() {
    let Some(binary) = Envoy::binary() else {
        return;
    };
    let cases: Vec<_> = caps().into_iter().chain(rows()).collect();
    let servers = |case: &Case| (0..case.endpoints).map(|_| Server::new()).collect();
    let mut servers: Vec<Vec<Server>> = cases.iter().map(servers).collect();
    let clusters = cases.iter().zip(&servers);
    let clusters: Vec<_> = clusters
        .map(|(case, servers)| envoy_cluster(case, servers))
        .collect();
    let listeners: Vec<_> = cases.iter().map(|case| listener(case.name)).collect();
    let bootstrap = json!({
        "node": {"id": "envoy", "cluster": "test"},
        "static_resources": {"clusters": clusters, "listeners": listeners},
    });
    let envoy = Envoy::start(&binary, bootstrap);
    let mut random = Random::new(7);
    let ejected: Vec<_> = cases
        .iter()
        .zip(&mut servers)
        .map(|(case, servers)| (case.name, compare(&envoy, case, servers, &mut random)))
        .collect();
    let of = |name| ejected.iter().find(|it| it.0 == name).map(|it| it.1);
    // That the comparison is of something.
    assert_eq!(of("ten-of-nine"), Some(0), "{ejected:?}");
    assert_eq!(of("ten-of-ten"), Some(1), "{ejected:?}");
    assert_eq!(of("always-one-of-four"), Some(1), "{ejected:?}");
    assert_eq!(of("two-thirds-of-three"), Some(2), "{ejected:?}");
    assert_eq!(of("all-of-four"), Some(4), "{ejected:?}");
}
