//! Clients over TLS, those that mean well and others.

#![cfg(feature = "kubernetes")]
#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

#[path = "support/fixture.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod fixture;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fixture::{CLUSTER, ControlPlane, DataPlane, GATEWAY, PATIENCE, ports, resources};
use meltemi_controller::ads::{
    Admission, Admitted, Arrival, Identity, Pod, Reason, Refused, Server, encrypted,
};
use meltemi_controller::authority::{Expiry, from_files};
use meltemi_core::xds::{self, Credentials};
use meltemi_credentials::Token;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use prost::Name;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// What a controller and its proxies have mounted.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(TempDir::new().unwrap());
        files.certify();
        files.write("token", "token");
        files
    }

    /// A new authority, and a certificate of it.
    fn certify(&self) {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        self.write("ca", &params.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(params, key);
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        self.write("key", &key.serialize_pem());
        self.write("crt", &params.signed_by(&key, &issuer).unwrap().pem());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A control plane at this address, as a proxy sees it.
    fn dialled(&self, address: SocketAddr) -> xds::ControlPlane {
        let credentials = Credentials {
            authorities: self.path("ca"),
            name: None,
            token: Some(Token::in_file(self.path("token"))),
        };
        xds::ControlPlane::encrypted(&address.to_string(), credentials).unwrap()
    }

    /// A proxy of the Gateway.
    fn proxy(&self, address: SocketAddr) -> DataPlane {
        let identity = xds::Identity {
            gateways: vec![GATEWAY.to_owned()],
            pod: None,
        };
        DataPlane::start_as(self.dialled(address), &identity)
    }

    async fn serve(&self, server: Server) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = from_files(&self.path("crt"), &self.path("key"), Expiry::default()).unwrap();
        let incoming = encrypted(listener, settings);
        tokio::spawn(server.serve(incoming, std::future::pending()));
        address
    }
}

/// Lets in whoever shows a token that begins with `good`, for `stay`; what was shown is kept.
fn doorkeeper(stay: Duration) -> (Admission, Arc<Mutex<Vec<String>>>) {
    let (admission, mut arrivals) = mpsc::channel::<Arrival>(8);
    let shown = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&shown);
    tokio::spawn(async move {
        while let Some(Arrival { token, answer }) = arrivals.recv().await {
            let token = token.map_or_else(String::new, |token| token.as_str().to_owned());
            let admitted = Admitted {
                identity: Identity {
                    namespace: "shop".to_owned(),
                    service_account: "edge".to_owned(),
                    pod: Pod {
                        name: "edge-1".to_owned(),
                        uid: "u".to_owned(),
                    },
                },
                until: tokio::time::Instant::now() + stay,
            };
            let is_good = token.starts_with("good");
            kept.lock().unwrap().push(token);
            let _ = answer.send(is_good.then_some(admitted).ok_or(Refused::Signature));
        }
    });
    (admission, shown)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok(), "waited in vain until {what}");
}

#[tokio::test]
async fn a_stream_lasts_as_long_as_its_token_and_the_next_one_shows_the_newest() {
    let control = ControlPlane::new(None);
    control.set_of_gateway(resources(&[20880]));
    let (admission, shown) = doorkeeper(Duration::from_millis(300));
    let files = Files::new();
    files.write("token", "bad");
    let server = control.server.clone().admitted_by(admission);
    let address = files.serve(server).await;
    let mut data = files.proxy(address);
    let shows = |token: &str| shown.lock().unwrap().iter().any(|it| it == token);
    until("a wrong token is shown", || shows("bad")).await;
    assert!(!data.stats.is_connected());
    files.write("token", "good1\n");
    let first = data.next().await;
    files.write("token", "good2\n");
    until("the next token is shown", || shows("good2")).await;
    // What was there stays meanwhile, and is not sent again.
    control.set_of_gateway(resources(&[20881]));
    let second = data.when(|s| ports(s, CLUSTER) == [20881]).await;
    assert_eq!(
        first.listeners.keys().count(),
        second.listeners.keys().count()
    );
}

#[tokio::test]
async fn a_certificate_is_replaced_without_a_restart() {
    let control = ControlPlane::new(Some(resources(&[20880])));
    let files = Files::new();
    let address = files.serve(control.server.clone()).await;
    let mut before = DataPlane::start(files.dialled(address));
    before.next().await;
    // One that cannot be used changes nothing.
    files.write("crt", "broken");
    DataPlane::start(files.dialled(address)).next().await;
    files.certify();
    // It knows the new authority alone.
    DataPlane::start(files.dialled(address)).next().await;
    control.set(resources(&[20881]));
    before.when(|s| ports(s, CLUSTER) == [20881]).await;
}

#[tokio::test]
async fn one_identity_has_a_bounded_number_of_connections() {
    let control = ControlPlane::new(None);
    control.set_of_gateway(resources(&[20880]));
    let (admission, _) = doorkeeper(PATIENCE);
    let files = Files::new();
    files.write("token", "good");
    let server = control.server.clone().admitted_by(admission);
    let counts = server.counts().clone();
    let address = files.serve(server).await;
    let mut served = Vec::new();
    for _ in 0..16 {
        let mut proxy = files.proxy(address);
        proxy.next().await;
        served.push(proxy);
    }
    assert_eq!(counts.refused(Reason::Connections), 0);
    let mut late = files.proxy(address);
    until("one more is refused", || {
        counts.refused(Reason::Connections) > 0
    })
    .await;
    assert!(!late.stats.is_connected());
    // The others do not notice, and whoever leaves makes room.
    let pushes = counts.pushes().count;
    control.set_of_gateway(resources(&[20881]));
    for proxy in &mut served {
        proxy.when(|s| ports(s, CLUSTER) == [20881]).await;
    }
    until("each is sent the change", || {
        counts.pushes().count >= pushes + 16
    })
    .await;
    served.pop();
    late.when(|s| ports(s, CLUSTER) == [20881]).await;
}

#[tokio::test]
async fn a_flood_of_connections_that_lead_nowhere_keeps_nobody_out() {
    let control = ControlPlane::new(None);
    control.set_of_gateway(resources(&[20880]));
    let (admission, _) = doorkeeper(PATIENCE);
    let files = Files::new();
    files.write("token", "good");
    let server = control.server.clone().admitted_by(admission);
    let address = files.serve(server).await;
    let early = files.proxy(address).next().await;
    assert_eq!(ports(&early, CLUSTER), [20880]);

    let mut flood = Vec::new();
    for _ in 0..600 {
        flood.push(TcpStream::connect(address).await.unwrap());
    }
    let begun = Instant::now();
    files.proxy(address).next().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Of those there are only so many at a time, and none for long.
    let (last, first) = (flood.split_off(400), flood);
    let begun = Instant::now();
    for stream in first.into_iter().chain(last) {
        let ended = tokio::time::timeout(PATIENCE, closed(stream)).await;
        assert!(ended.is_ok(), "a connection stays open");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// Completes when the other end has closed the connection.
async fn closed(mut stream: TcpStream) {
    let mut byte = [0];
    while stream.read(&mut byte).await.is_ok_and(|read| read > 0) {}
}

/// One that speaks gRPC in plaintext, as it likes.
async fn raw(address: SocketAddr) -> AggregatedDiscoveryServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    AggregatedDiscoveryServiceClient::new(endpoint.connect().await.unwrap())
}

fn asks_for_clusters(nonce: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(Node {
            id: "slow".to_owned(),
            ..Node::default()
        }),
        type_url: Cluster::type_url(),
        response_nonce: nonce.to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// In bytes, as Linux counts it.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn a_client_that_never_reads_costs_little_and_delays_nobody() {
    /// Of each update.
    const SIZE: usize = 512 << 10;
    const UPDATES: usize = 400;

    let control = ControlPlane::new(Some(resources(&[20880])));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(
        control
            .server
            .clone()
            .serve(incoming, std::future::pending()),
    );

    // It asks, and goes on to acknowledge what it does not read.
    let (requests, sent) = mpsc::channel(1);
    requests.send(asks_for_clusters("")).await.unwrap();
    let mut slow = raw(address).await;
    let unread = slow
        .delta_aggregated_resources(ReceiverStream::new(sent))
        .await;
    let unread = unread.unwrap().into_inner();
    let acknowledging = tokio::spawn(async move {
        for nonce in 1.. {
            if requests
                .send(asks_for_clusters(&nonce.to_string()))
                .await
                .is_err()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });

    let mut data = DataPlane::start(xds::ControlPlane::plaintext(&address.to_string()).unwrap());
    data.next().await;
    let before = resident();
    let mut slowest = Duration::ZERO;
    for update in 0..UPDATES {
        let port = 20_000 + u16::try_from(update).unwrap();
        let mut changed = resources(&[port]);
        let large = Cluster {
            name: format!("{update}{}", "x".repeat(SIZE)),
            ..fixture::cluster("large")
        };
        changed.insert("large", &large);
        let begun = Instant::now();
        control.set(changed);
        data.when(|s| ports(s, CLUSTER) == [port]).await;
        slowest = slowest.max(begun.elapsed());
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < UPDATES * SIZE / 4, "{grown} bytes");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    acknowledging.abort();
    drop(unread);
}

#[tokio::test]
async fn who_shows_no_token_is_told_so() {
    let control = ControlPlane::new(Some(resources(&[20880])));
    let (admission, shown) = doorkeeper(PATIENCE);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = control.server.clone().admitted_by(admission);
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(server.serve(incoming, std::future::pending()));
    let (_requests, sent) = mpsc::channel(1);
    let refused = raw(address)
        .await
        .delta_aggregated_resources(ReceiverStream::new(sent))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(*shown.lock().unwrap(), [String::new()]);
}
