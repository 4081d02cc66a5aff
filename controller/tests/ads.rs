//! Server and client together, as `meltemi run` and `meltemi proxy` join them.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

#[path = "support/fixture.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod fixture;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fixture::{CLUSTER, ControlPlane, DataPlane, LISTENER, PATIENCE, ports, resources};
use meltemi_core::config::Health;
use meltemi_core::xds;
use meltemi_policy::{Foreign, Mismatches};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};

fn in_memory(control: &ControlPlane) -> DataPlane {
    let (control_plane, dialled) = xds::ControlPlane::in_memory();
    let incoming = ReceiverStream::new(dialled).map(io::Result::Ok);
    let server = control.server.clone();
    tokio::spawn(server.serve(incoming, std::future::pending()));
    DataPlane::start(control_plane)
}

#[tokio::test]
async fn the_first_snapshot_is_whole() {
    let control = ControlPlane::new(Some(resources(&[20880, 20881])));
    let mut data = in_memory(&control);

    let snapshot = data.next().await;
    let listener = &snapshot.listeners[LISTENER];
    let service = &snapshot.services[listener.mode.service().unwrap()];
    assert_eq!(service.protocol.as_deref(), Some("dubbo"));
    let route = &snapshot.routes[service.route_config.as_ref().unwrap()].routes[0];
    let cluster = &snapshot.clusters[&route.destinations[0].cluster];
    assert_eq!(ports(&snapshot, CLUSTER), [20880, 20881]);
    let host = &cluster.endpoints.hosts[0];
    assert_eq!(host.health, Health::Healthy);
    assert_eq!(host.locality.to_string(), "eu/eu-1/rack-7");
    assert_eq!(host.labels["version"], "v1");
    assert_eq!(snapshot.locality, host.locality);
    assert_eq!(snapshot.labels["app"], "edge");
    assert!(data.stats.is_connected());
    assert_eq!(data.stats.rejected(), 0);
    assert_ne!(data.stats.last_success(), 0);
}

/// What all clients say of their own clients.
fn mismatches(control: &ControlPlane) -> Mismatches {
    let mut told = Mismatches::new();
    let clients = control.server.clients();
    clients.each(|client| told.extend(client.mismatches().clone()));
    told
}

#[tokio::test]
async fn what_clients_speak_instead_is_told_at_once_and_again_on_each_stream() {
    let control = ControlPlane::new(Some(resources(&[20880])));
    let mut data = in_memory(&control);
    let http = Mismatches::from([(LISTENER.to_owned(), [Foreign::Http1].into())]);
    let tls = Mismatches::from([(LISTENER.to_owned(), [Foreign::Tls, Foreign::Other].into())]);
    // Before there is a stream, and while there is one.
    data.mismatches.send_replace(http.clone());
    let _ = data.next().await;
    until(|| mismatches(&control) == http).await;
    data.mismatches.send_replace(tls.clone());
    until(|| mismatches(&control) == tls).await;
    // It is no answer, and asks for nothing.
    control.set(resources(&[20881]));
    assert_eq!(ports(&data.next().await.clone(), CLUSTER), [20881]);
    data.mismatches.send_replace(Mismatches::new());
    until(|| mismatches(&control).is_empty()).await;
    data.mismatches.send_replace(tls.clone());
    until(|| mismatches(&control) == tls).await;
    // Who is gone says nothing.
    drop(data);
    until(|| mismatches(&control).is_empty()).await;
}

#[tokio::test]
async fn nothing_is_served_before_there_are_resources() {
    let control = ControlPlane::new(None);
    let mut data = in_memory(&control);
    until(|| data.stats.is_connected()).await;
    control.set(resources(&[20880]));
    // The first one: an empty state was never published.
    assert_eq!(ports(&data.next().await.clone(), CLUSTER), [20880]);
}

#[tokio::test]
async fn what_did_not_change_keeps_its_identity() {
    let control = ControlPlane::new(Some(resources(&[20880])));
    let mut data = in_memory(&control);
    let before = data.next().await;

    control.set(resources(&[20881]));
    let after = data.next().await;
    assert_eq!(ports(&after, CLUSTER), [20881]);
    assert_ne!(before.version, after.version);
    assert!(Arc::ptr_eq(
        &before.routes[LISTENER],
        &after.routes[LISTENER]
    ));
    assert!(!Arc::ptr_eq(
        &before.clusters[CLUSTER],
        &after.clusters[CLUSTER]
    ));
}

#[tokio::test]
async fn a_refused_resource_is_reported_and_the_rest_applies() {
    let mut control = ControlPlane::new(Some(resources(&[20880])));
    let mut data = in_memory(&control);
    let before = data.next().await;

    let mut broken = fixture::cluster(CLUSTER);
    broken.transport_socket = Some(meltemi_proto::envoy::config::core::v3::TransportSocket {
        name: "envoy.transport_sockets.quic".to_owned(),
        ..Default::default()
    });
    let mut changed = resources(&[20881]);
    changed.insert(CLUSTER, &broken);
    control.set(changed.clone());

    let after = data.when(|s| ports(s, CLUSTER) == [20881]).await;
    assert_eq!(
        after.clusters[CLUSTER].connect_timeout,
        before.clusters[CLUSTER].connect_timeout
    );
    let rejection = tokio::time::timeout(PATIENCE, control.rejections.recv()).await;
    let rejection = rejection.expect("reported").expect("the server runs");
    assert_eq!(rejection.node, "test");
    assert_eq!(rejection.name, CLUSTER);
    assert!(
        rejection
            .type_url
            .ends_with("envoy.config.cluster.v3.Cluster")
    );
    assert!(
        rejection.reason.starts_with("transport_socket: "),
        "{}",
        rejection.reason
    );

    // Neither another change nor an answer for the endpoints brings the refused version back.
    changed.insert(CLUSTER, &fixture::endpoints(CLUSTER, &[20882]));
    control.set(changed);
    data.when(|s| ports(s, CLUSTER) == [20882]).await;
    assert!(control.rejections.try_recv().is_err());
    assert_eq!(data.stats.rejected(), 1);
}

#[tokio::test]
async fn a_new_server_takes_over_where_the_old_one_was() {
    let address = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let control = ControlPlane::new(Some(resources(&[20880])));
    let stop = serve_tcp(&control, address);
    let mut data = DataPlane::start(xds::ControlPlane::plaintext(&address.to_string()).unwrap());
    let before = data.next().await;

    drop(stop);
    until(|| !data.stats.is_connected()).await;
    assert!(!data.snapshots.has_changed().unwrap());
    let successor = ControlPlane::new(Some(resources(&[20881])));
    let _stop = serve_tcp(&successor, address);
    let after = data.when(|s| ports(s, CLUSTER) == [20881]).await;
    // It was presented with what was there and did not send it again.
    assert!(Arc::ptr_eq(
        &before.listeners[LISTENER],
        &after.listeners[LISTENER]
    ));
}

async fn until(condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("the condition comes true");
}

/// Serves until the returned value is dropped.
fn serve_tcp(control: &ControlPlane, address: SocketAddr) -> oneshot::Sender<()> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let incoming = TcpListenerStream::new(socket.listen(16).unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        // Dropping the other end is the signal.
        let _ = stopped.await;
    };
    tokio::spawn(control.server.clone().serve(incoming, stopped));
    stop
}
