//! What the engine of a schedule is told: its configurations and its limits.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use meltemi_core::{
    config::{
        Bind, Cluster, Endpoint, Endpoints, LbPolicy, Listener, Route, RouteConfig, Service,
        Snapshot,
    },
    engine::Settings,
};
use rand::{Rng, rngs::SmallRng};

use crate::wire::Dialect;

pub(crate) const LISTENER: &str = "default/gateway/server";

/// `watched`: the service's operations are counted and its slow requests told, so that no request goes
/// the short ways.
pub(crate) fn snapshot(
    dialect: Dialect,
    hosts: Vec<Endpoint>,
    lb: LbPolicy,
    watched: bool,
) -> Snapshot {
    let name = "outbound|1||echo.default".to_owned();
    let listener = Listener {
        name: LISTENER.into(),
        bind: Bind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        service: "default/echo".into(),
    };
    let service = Service {
        operation_metrics: watched,
        slow_request_threshold: watched.then_some(Duration::from_millis(20)),
        ..Service::new("default/echo", dialect.protocol(), "echo")
    };
    let route = Route {
        timeout: Some(Duration::from_millis(300)),
        ..Route::new("all", &name)
    };
    let cluster = cluster(&name, hosts, lb);
    Snapshot {
        listeners: [(listener.name.clone(), Arc::new(listener))].into(),
        services: [(service.name.clone(), Arc::new(service))].into(),
        routes: [(
            "echo".to_owned(),
            Arc::new(RouteConfig {
                name: "echo".into(),
                routes: vec![Arc::new(route)],
            }),
        )]
        .into(),
        clusters: [(name, Arc::new(cluster))].into(),
        ..Snapshot::default()
    }
}

fn cluster(name: &str, hosts: Vec<Endpoint>, lb: LbPolicy) -> Cluster {
    Cluster {
        lb,
        connect_timeout: Duration::from_secs(1),
        endpoints: Arc::new(Endpoints {
            hosts,
            overprovisioning: 140,
        }),
        ..Cluster::new(name)
    }
}

/// Limits so tight that every one of them is met.
pub(crate) fn tight_settings(random: &mut SmallRng) -> Settings {
    Settings {
        whole: 4096,
        in_flight_per_connection: random.random_range(1..20),
        unsent_per_connection: 8192,
        connections_per_endpoint: random.random_range(1..4),
        own_connections_per_endpoint: random.random_range(1..4),
        in_flight_per_client: 40,
        client_pause: 4096,
        client_limit: 256 * 1024,
        buffered: 1024 * 1024,
        stall: Duration::from_secs(2),
        drain_quiet: Duration::from_millis(100),
        ..Settings::default()
    }
}
