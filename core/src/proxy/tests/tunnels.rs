//! Services without a protocol: bytes pass as they come.

mod endings;
mod mismatched;
mod picked;
mod proven;
mod proxied;
mod tls;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::harness::{CLUSTER, Running, any_port, dead, snapshot, upstream, wait};
use crate::access_log::Destination;
use crate::config::{Address, Cluster, Service, Snapshot};
use crate::engine::Settings;
use crate::proxy::ProxyOptions;

const LISTENER: &str = "default/edge/tcp";
const SERVICE: &str = "default/echo";

/// Everything on one service whose bytes pass to one cluster.
fn passing(endpoints: &[Address]) -> Snapshot {
    with_service(endpoints, |_| {})
}

fn with_service(endpoints: &[Address], change: impl FnOnce(&mut Service)) -> Snapshot {
    let mut snapshot = snapshot("v1", &[(LISTENER, any_port())], endpoints);
    let mut service = Service::tcp(SERVICE, CLUSTER);
    change(&mut service);
    snapshot.services.insert(SERVICE.into(), service.into());
    snapshot
}

fn with_cluster(mut snapshot: Snapshot, change: impl FnOnce(&mut Cluster)) -> Snapshot {
    let mut cluster = Cluster::clone(&snapshot.clusters[CLUSTER]);
    change(&mut cluster);
    snapshot.clusters.insert(CLUSTER.into(), cluster.into());
    snapshot
}

/// One worker, so that what it chooses is the whole.
fn alone() -> ProxyOptions {
    ProxyOptions {
        workers: 1.try_into().ok(),
        ..ProxyOptions::default()
    }
}

fn connect(proxy: &Running) -> TcpStream {
    let client = TcpStream::connect(proxy.address(LISTENER)).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client
}

/// Sends back what comes, and ends when that ends.
fn mirror(mut stream: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// Says its own port first, then mirrors.
fn named(mut stream: TcpStream) {
    let port = stream.local_addr().unwrap().port();
    stream.write_all(&port.to_be_bytes()).unwrap();
    mirror(stream);
}

fn name(client: &mut TcpStream) -> u16 {
    let mut port = [0; 2];
    client.read_exact(&mut port).unwrap();
    u16::from_be_bytes(port)
}

fn port(address: &Address) -> u16 {
    address.to_string().parse::<SocketAddr>().unwrap().port()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

/// What is read until the end, and how that came.
fn rest(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).map(|_| rest)
}

#[track_caller]
fn is_reset(client: &mut TcpStream) {
    let error = rest(client).expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

fn labels() -> String {
    format!(r#"service="{SERVICE}",destination="{CLUSTER}""#)
}

fn counted(proxy: &Running, name: &str) -> Option<f64> {
    proxy.metric(&format!("meltemi_tcp_{name}{{{}}}", labels()))
}

fn closed(proxy: &Running, flag: &str) -> Option<f64> {
    let labels = labels();
    proxy.metric(&format!(
        r#"meltemi_tcp_connections_closed_total{{{labels},flag="{flag}"}}"#
    ))
}

/// Sends all of it and ends, and reads all that comes meanwhile.
fn exchange(mut client: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut sender = client.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            sender.write_all(bytes).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        rest(&mut client).unwrap()
    })
}

#[test]
fn megabytes_pass_both_ways_and_are_accounted_for() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = ProxyOptions {
        access_log: Destination::File(log.clone()),
        ..ProxyOptions::default()
    };
    let endpoint = upstream(mirror);
    let mut proxy = Running::with(passing(std::slice::from_ref(&endpoint)), options);
    let sent = pattern(24 << 20);
    let client = connect(&proxy);
    assert!(exchange(client, &sent) == sent, "all of it, in its order");
    wait("its end", || closed(&proxy, "-") == Some(1.0));
    assert_eq!(counted(&proxy, "connections_opened_total"), Some(1.0));
    assert_eq!(counted(&proxy, "connections"), Some(0.0));
    let bytes = Some(sent.len() as f64);
    assert_eq!(counted(&proxy, "received_bytes_total"), bytes);
    assert_eq!(counted(&proxy, "sent_bytes_total"), bytes);
    let upstreams = format!(r#"meltemi_upstream_connections{{cluster="{CLUSTER}"}}"#);
    assert_eq!(proxy.metric(&upstreams), Some(0.0));
    let clients = format!(r#"meltemi_downstream_connections{{service="{SERVICE}"}}"#);
    assert_eq!(proxy.metric(&clients), Some(0.0));
    proxy.stop();
    proxy.join().unwrap();
    let line: Value = serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!(line["protocol"], "tcp");
    assert_eq!(line["service"], SERVICE);
    assert_eq!(line["destination"], CLUSTER);
    assert_eq!(line["endpoint"], endpoint.to_string());
    assert_eq!(line["request_bytes"], sent.len());
    assert_eq!(line["response_bytes"], sent.len());
    assert_eq!(
        (&line["outcome"], &line["flag"]),
        (&"ok".into(), &"-".into())
    );
}

#[test]
fn the_server_may_speak_first_and_pages_show_who_is_connected() {
    let endpoint = upstream(named);
    let proxy = Running::start(passing(std::slice::from_ref(&endpoint)));
    let mut client = connect(&proxy);
    assert_eq!(name(&mut client), port(&endpoint));
    let page = proxy.json("/clusters");
    let shown = &page["clusters"][CLUSTER]["endpoints"][0];
    assert_eq!(
        (&shown["tunnels"], &shown["active"]),
        (&1.into(), &1.into())
    );
    let workers = page["workers"].as_array().unwrap().iter();
    let tunnels = workers.filter_map(|worker| worker["tunnels"].as_u64());
    assert_eq!(tunnels.sum::<u64>(), 1);
    let service = &proxy.json("/config_dump")["services"][SERVICE];
    assert_eq!(service["protocol"], Value::Null);
    assert_eq!(service["default_cluster"], CLUSTER);
    let (status, said) = proxy.send("POST", "/explain", "{}");
    assert_eq!(status, 400, "{said}");
    assert!(said.contains("its bytes pass to"), "{said}");
}

#[test]
fn who_does_not_read_stops_who_sends() {
    /// More than the sockets of two connections hold.
    const ALL: usize = 96 << 20;
    let endpoint = upstream(|mut stream| drop(stream.write_all(&pattern(ALL))));
    let proxy = Running::start(passing(&[endpoint]));
    let mut client = connect(&proxy);
    let mut sent = 0.0;
    wait("a standstill", || {
        thread::sleep(Duration::from_millis(200));
        let before = std::mem::replace(&mut sent, counted(&proxy, "sent_bytes_total").unwrap());
        sent > 0.0 && before == sent
    });
    assert!(sent < ALL as f64 / 2.0, "{sent} bytes were taken");
    assert!(rest(&mut client).unwrap() == pattern(ALL));
}
