//! Connections of both sides, over several workers.

use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::super::ProxyOptions;
use super::LISTENER;
use super::harness::{CLUSTER, Running, any_port, snapshot, tcp_echo, wait};
use crate::engine::Settings;

#[test]
fn connections_are_spread_over_the_workers() {
    let proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]));
    let address = proxy.address(LISTENER);
    let clients: Vec<_> = (0..6)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    wait("even workers", || {
        let workers = proxy.json("/clusters")["workers"].clone();
        let clients = workers
            .as_array()
            .unwrap()
            .iter()
            .map(|worker| &worker["clients"]);
        clients.eq([&serde_json::json!(3), &serde_json::json!(3)])
    });
    drop(clients);
}

#[test]
fn shared_upstream_connections_do_not_multiply_with_workers() {
    let options = ProxyOptions {
        workers: NonZeroUsize::new(4),
        settings: Settings {
            in_flight_per_connection: 1,
            further_connections_per_endpoint: 2,
            stall: Duration::from_millis(100),
            ..Settings::default()
        },
        ..ProxyOptions::default()
    };
    let first = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    let proxy = Running::with(first, options);
    let mut clients: Vec<_> = (0..8).map(|_| proxy.client(LISTENER)).collect();
    // Two clients of each worker, with six requests in flight that would have a connection each.
    for client in &mut clients {
        (1..=3).for_each(|id| client.send(id, b"hold"));
    }
    let labels = format!(r#"{{cluster="{CLUSTER}"}}"#);
    let overflow = format!("meltemi_upstream_cx_overflow_total{labels}");
    wait("all that is too much", || {
        proxy.metric(&overflow) >= Some(18.0)
    });
    let open = format!("meltemi_upstream_connections{labels}");
    wait("those that may be", || proxy.metric(&open) == Some(6.0));
    let ever = format!("meltemi_upstream_connections_total{labels}");
    assert_eq!(proxy.metric(&ever), Some(6.0));
}
