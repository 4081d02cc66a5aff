//! What a trial's engine is configured with.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use meltemi_core::config::{
    Address, Bind, Cluster, Endpoint, Endpoints, Health, LbPolicy, Listener, Mode, Route,
    RouteConfig, Service, Snapshot,
};
use meltemi_core::engine::Settings;
use meltemi_policy::Locality;

pub(crate) const LISTENER: &str = "default/gateway/server";
pub(crate) const CLUSTER: &str = "outbound|1||echo.default";

/// Limits so tight that a short input meets them.
pub(crate) fn tight(choice: u8) -> Settings {
    let narrow = choice & 1 == 1;
    Settings {
        whole: 4096,
        in_flight_per_connection: if narrow { 2 } else { 20 },
        unsent_per_connection: 8192,
        connections_per_endpoint: if choice & 2 == 2 { 1 } else { 3 },
        own_connections_per_endpoint: if choice & 4 == 4 { 1 } else { 3 },
        in_flight_per_client: if choice & 8 == 8 { 3 } else { 40 },
        client_pause: 4096,
        client_limit: if choice & 16 == 16 {
            32 * 1024
        } else {
            256 * 1024
        },
        buffered: if choice & 32 == 32 {
            16 * 1024
        } else {
            1024 * 1024
        },
        in_flight: if choice & 64 == 64 { 6 } else { 1000 },
        clients: if choice & 128 == 128 { 2 } else { 100 },
        stall: Duration::from_secs(2),
        drain_quiet: Duration::from_millis(100),
        ..Settings::default()
    }
}

/// The endpoints whose bit is set.
pub(crate) fn addresses(bits: u8) -> Vec<Address> {
    (0..4_u16)
        .filter(|n| bits >> n & 1 == 1)
        .map(|n| Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, n + 1))))
        .collect()
}

/// One listener with one service. The lowest bits of `shape`, where they are all set, leave a part
/// of it out; the bits of `endpoints` that are not set are the endpoints that there are.
pub(crate) fn snapshot(protocol: &str, shape: u8, endpoints: u8) -> Snapshot {
    let missing = (shape & 7 == 7).then_some(shape >> 3 & 3);
    let mut snapshot = Snapshot::default();
    let bind = Bind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = Listener::plain(LISTENER, bind, Mode::Service("default/echo".into()));
    let service = Service::new("default/echo", protocol, "echo");
    let routes = RouteConfig::new("echo", vec![Arc::new(route(shape))]);
    if missing != Some(0) {
        let name = listener.name.clone();
        snapshot.listeners.insert(name, Arc::new(listener));
    }
    if missing != Some(1) {
        let name = service.name.clone();
        snapshot.services.insert(name, Arc::new(service));
    }
    if missing != Some(2) {
        snapshot.routes.insert("echo".into(), Arc::new(routes));
    }
    if missing != Some(3) {
        let cluster = Arc::new(cluster(shape, !endpoints));
        snapshot.clusters.insert(CLUSTER.into(), cluster);
    }
    snapshot
}

fn route(shape: u8) -> Route {
    Route {
        timeout: (shape >> 3 & 1 == 0).then_some(Duration::from_millis(300)),
        ..Route::new("all", CLUSTER)
    }
}

fn cluster(shape: u8, endpoints: u8) -> Cluster {
    let host = |address| Endpoint {
        address,
        hostname: String::new(),
        weight: 1,
        locality: Locality::default(),
        health: match endpoints >> 4 & 3 {
            0 => Health::Degraded,
            1 => Health::Draining,
            2 => Health::Unhealthy,
            _ => Health::Healthy,
        },
        priority: 0,
        labels: BTreeMap::new(),
    };
    Cluster {
        lb: match shape % 3 {
            0 => LbPolicy::RoundRobin,
            1 => LbPolicy::LeastRequest,
            _ => LbPolicy::Random,
        },
        connect_timeout: Duration::from_secs(1),
        endpoints: Arc::new(Endpoints {
            hosts: addresses(endpoints).into_iter().map(host).collect(),
            ..Endpoints::default()
        }),
        ..Cluster::new(CLUSTER)
    }
}
