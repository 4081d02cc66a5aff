//! A real Envoy as an independent client: it takes the clusters and endpoints that we serve, by
//! both variants of the protocol.
//!
//! The binary is `$MELTEMI_ENVOY` or where `scripts/install-envoy` puts it. Without one the test
//! says so and passes, unless `MELTEMI_REQUIRE_PEERS=1`.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

#[path = "support/fixture.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod fixture;

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fixture::{CLUSTER, ControlPlane, PATIENCE, resources};
use meltemi_controller::ads::Resources;
use meltemi_controller::{Controller, ProtocolSchema, Settings};
use meltemi_proto::envoy::config::core::v3::HealthStatus;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;

/// Not all of it: Envoy knows no JSON for the metadata in our own type, which it takes as opaque.
const DUMP: &str = "/config_dump?resource=dynamic_active_clusters\
    &mask=cluster.name,cluster.connect_timeout";

const OTHER: &str = "outbound|20880|v2|orders.shop";
const THIRD: &str = "outbound|20880|v3|orders.shop";

#[tokio::test]
async fn envoy_takes_our_clusters_by_delta() {
    envoy_takes_our_clusters("DELTA_GRPC").await;
}

#[tokio::test]
async fn envoy_takes_our_clusters_by_state_of_the_world() {
    envoy_takes_our_clusters("GRPC").await;
}

async fn envoy_takes_our_clusters(api_type: &str) {
    let Some(binary) = binary() else { return };
    let mut control = ControlPlane::new(Some(two_clusters(&[20880, 20881])));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = control.server.clone();
    tokio::spawn(server.serve(TcpListenerStream::new(listener), std::future::pending()));
    let envoy = Envoy::start(&binary, address, api_type).await;

    envoy.wait_for(&[20880, 20881]).await;
    // The second cluster's only endpoint is known to be unhealthy.
    let clusters = envoy.get("/clusters?format=json").await;
    let health = &hosts(&clusters, OTHER)[0]["health_status"]["eds_health_status"];
    assert_eq!(health, "UNHEALTHY");
    let locality = &hosts(&clusters, CLUSTER)[0]["locality"];
    assert_eq!(
        locality,
        &json!({"region": "eu", "zone": "eu-1", "sub_zone": "rack-7"})
    );

    // Endpoints alone change; then the cluster alone, whose warming needs its endpoints again.
    control.set(two_clusters(&[20882]));
    envoy.wait_for(&[20882]).await;
    let mut changed = two_clusters(&[20882]);
    let mut cluster = fixture::cluster(CLUSTER);
    cluster.connect_timeout = Some(meltemi_proto::Duration {
        seconds: 7,
        nanos: 0,
    });
    changed.insert(CLUSTER, &cluster);
    control.set(changed);
    envoy
        .wait(DUMP, |dump| {
            active(dump, CLUSTER).is_some_and(|c| c["connect_timeout"] == "7s")
        })
        .await;

    // And one goes, the other stays.
    let mut fewer = Resources::new();
    fewer.insert(CLUSTER, &cluster);
    fewer.insert(CLUSTER, &fixture::endpoints(CLUSTER, &[20883]));
    control.set(fewer);
    envoy.wait_for(&[20883]).await;
    envoy.wait(DUMP, |dump| active(dump, OTHER).is_none()).await;

    let stats = envoy.get("/stats?format=json&filter=update_rejected").await;
    let rejected: Vec<_> = stats["stats"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|stat| stat["value"] != 0)
        .collect();
    assert!(rejected.is_empty(), "{rejected:?}");
    assert!(control.rejections.try_recv().is_err());
}

#[tokio::test]
async fn envoy_comes_back_by_delta() {
    envoy_comes_back("DELTA_GRPC").await;
}

#[tokio::test]
async fn envoy_comes_back_by_state_of_the_world() {
    envoy_comes_back("GRPC").await;
}

/// Servers come and go: what is the same changes nothing, and what is not arrives from the next one.
async fn envoy_comes_back(api_type: &str) {
    let Some(binary) = binary() else { return };
    let (address, served) = serve("127.0.0.1:0".parse().unwrap(), &[20880]).await;
    let envoy = Envoy::start(&binary, address, api_type).await;
    envoy.wait_for(&[20880]).await;
    served.end().await;
    let connected = "/stats?format=json&filter=^control_plane.connected_state$";
    let is = |value: u64| move |stats: &Value| stats["stats"][0]["value"] == value;
    envoy.wait(connected, is(0)).await;
    let changes = "/stats?format=json&filter=membership_change|cluster_(added|modified|removed)$";
    let before = envoy.get(changes).await;

    let (_, served) = serve(address, &[20880]).await;
    envoy.wait(connected, is(1)).await;
    // A third cluster: it has heard what there is.
    let mut more = two_clusters(&[20880]);
    more.insert(THIRD, &fixture::cluster(THIRD));
    more.insert(THIRD, &fixture::endpoints(THIRD, &[20899]));
    served.control.set(more);
    envoy
        .wait("/clusters?format=json", |clusters| {
            !hosts(clusters, THIRD).is_empty()
        })
        .await;
    let after = envoy.get(changes).await;
    let of_ours = |stats: &Value| {
        let stats = stats["stats"].as_array().unwrap().iter();
        let ours = stats.filter(|stat| {
            let name = stat["name"].as_str().unwrap();
            [CLUSTER, OTHER].iter().any(|ours| name.contains(ours))
                || ["cluster_modified", "cluster_removed"]
                    .iter()
                    .any(|it| name.ends_with(it))
        });
        ours.cloned().collect::<Vec<_>>()
    };
    assert!(of_ours(&before).len() > 3, "{before}");
    assert_eq!(of_ours(&after), of_ours(&before));

    // What changed, and what went, while nobody told it.
    served.end().await;
    let (_, served) = serve(address, &[20881]).await;
    envoy.wait_for(&[20881]).await;
    envoy
        .wait("/clusters?format=json", |clusters| {
            hosts(clusters, THIRD).is_empty()
        })
        .await;
    let stats = envoy.get("/stats?format=json&filter=update_rejected").await;
    let stats = stats["stats"].as_array().unwrap();
    assert!(stats.iter().all(|stat| stat["value"] == 0), "{stats:?}");
    served.end().await;
}

/// A server with two clusters, until it is told to end.
struct Served {
    control: ControlPlane,
    end: tokio::sync::oneshot::Sender<()>,
    server: tokio::task::JoinHandle<()>,
}

async fn serve(address: SocketAddr, ports: &[u16]) -> (SocketAddr, Served) {
    let control = ControlPlane::new(Some(two_clusters(ports)));
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel();
    let server = control.server.clone();
    let server = tokio::spawn(async move {
        let ended = async { drop(ended.await) };
        let served = server.serve(TcpListenerStream::new(listener), ended).await;
        served.expect("it serves");
    });
    let served = Served {
        control,
        end,
        server,
    };
    (address, served)
}

impl Served {
    async fn end(self) {
        let _ = self.end.send(());
        self.server.await.expect("it ends");
    }
}

/// Envoy reports a cluster that it refuses, and keeps the others.
#[tokio::test]
async fn envoy_refuses_a_cluster_and_we_hear_of_it() {
    let Some(binary) = binary() else { return };
    let mut served = two_clusters(&[20880]);
    let mut cluster = fixture::cluster(OTHER);
    let outlier = cluster.outlier_detection.get_or_insert_default();
    outlier.max_ejection_percent = Some(101);
    served.insert(OTHER, &cluster);
    let mut control = ControlPlane::new(Some(served));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = control.server.clone();
    tokio::spawn(server.serve(TcpListenerStream::new(listener), std::future::pending()));
    let envoy = Envoy::start(&binary, address, "DELTA_GRPC").await;

    let rejection = tokio::time::timeout(PATIENCE, control.rejections.recv()).await;
    let rejection = rejection.expect("reported").expect("the server runs");
    assert_eq!(rejection.name, OTHER);
    envoy.wait_for(&[20880]).await;
    assert!(control.rejections.try_recv().is_err());
}

/// What a RedisDestination asks for is in Envoy's own fields, and Envoy reads them as we mean them.
#[tokio::test]
async fn envoy_reads_what_a_redis_destination_asks_for() {
    const SESSIONS: &str = "outbound|6379||sessions.default.svc.cluster.local";
    const POLICY: &str = "/config_dump?resource=dynamic_active_clusters&mask=cluster.name,\
        cluster.lb_policy,cluster.connect_timeout,cluster.circuit_breakers,\
        cluster.upstream_connection_options";
    let Some(binary) = binary() else { return };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/redis");
    let settings = Settings::new(vec![ProtocolSchema {
        id: "redis".to_owned(),
        attributes: vec![],
        open: true,
        service_attribute: None,
        lower_case: vec![],
    }]);
    let served = Controller::open(&[example], settings).load();
    assert!(served.report.is_valid(), "{}", served.report);
    let mut control = ControlPlane::new(Some(Resources::clone(&served.resources)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = control.server.clone();
    tokio::spawn(server.serve(TcpListenerStream::new(listener), std::future::pending()));
    let envoy = Envoy::start(&binary, address, "DELTA_GRPC").await;

    envoy
        .wait(POLICY, |dump| active(dump, SESSIONS).is_some())
        .await;
    let dump = envoy.get(POLICY).await;
    let cluster = active(&dump, SESSIONS).unwrap();
    assert_eq!(cluster["lb_policy"], "MAGLEV");
    assert_eq!(cluster["connect_timeout"], "1s");
    assert_eq!(
        cluster["circuit_breakers"]["thresholds"][0]["max_connections"],
        100
    );
    assert_eq!(
        cluster["upstream_connection_options"]["tcp_keepalive"],
        json!({"keepalive_probes": 3, "keepalive_time": 60, "keepalive_interval": 10})
    );
    assert!(control.rejections.try_recv().is_err());
}

fn two_clusters(ports: &[u16]) -> Resources {
    let mut resources = resources(ports);
    let mut other = fixture::endpoints(OTHER, &[20890]);
    for endpoint in &mut other.endpoints[0].lb_endpoints {
        endpoint.set_health_status(HealthStatus::Unhealthy);
    }
    resources.insert(OTHER, &fixture::cluster(OTHER));
    resources.insert(OTHER, &other);
    resources
}

/// The running peer; it ends with its owner.
struct Envoy {
    process: Child,
    admin: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Envoy {
    async fn start(binary: &Path, ads: SocketAddr, api_type: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let admin_path = dir.path().join("admin");
        let config = dir.path().join("envoy.json");
        std::fs::write(&config, bootstrap(ads, api_type).to_string()).unwrap();
        let process = Command::new(binary)
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin_path)
            .args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"])
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let admin = until(|| async {
            let address = std::fs::read_to_string(&admin_path).ok()?;
            address.trim().parse().ok()
        });
        Self {
            admin: admin.await,
            process,
            _dir: dir,
        }
    }

    async fn get(&self, path: &str) -> Value {
        until(|| get(self.admin, path)).await
    }

    async fn wait(&self, path: &str, condition: impl Fn(&Value) -> bool) {
        until(|| async {
            let value = get(self.admin, path).await?;
            condition(&value).then_some(())
        })
        .await;
    }

    /// Waits until the endpoints of [`CLUSTER`] are those with these ports.
    async fn wait_for(&self, ports: &[u64]) {
        self.wait("/clusters?format=json", |clusters| {
            let hosts = hosts(clusters, CLUSTER).iter();
            hosts
                .filter_map(|host| host["address"]["socket_address"]["port_value"].as_u64())
                .eq(ports.iter().copied())
        })
        .await;
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn bootstrap(ads: SocketAddr, api_type: &str) -> Value {
    let endpoint = json!({"endpoint": {"address": {"socket_address": {
        "address": ads.ip().to_string(), "port_value": ads.port()}}}});
    json!({
        "node": {"id": "envoy", "cluster": "test"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "control-plane"}}],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [{
            "name": "control-plane",
            "type": "STATIC",
            "connect_timeout": "5s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
            "load_assignment": {
                "cluster_name": "control-plane",
                "endpoints": [{"lb_endpoints": [endpoint]}],
            },
        }]},
    })
}

fn hosts<'a>(clusters: &'a Value, name: &str) -> &'a [Value] {
    let statuses = clusters["cluster_statuses"].as_array();
    let cluster = statuses.and_then(|all| all.iter().find(|cluster| cluster["name"] == name));
    let hosts = cluster.and_then(|cluster| cluster["host_statuses"].as_array());
    hosts.map_or(&[], Vec::as_slice)
}

/// The cluster of this name, past its warming, in a configuration dump.
fn active<'a>(dump: &'a Value, name: &str) -> Option<&'a Value> {
    let clusters = dump["configs"].as_array()?.iter();
    clusters
        .map(|entry| &entry["cluster"])
        .find(|cluster| cluster["name"] == name)
}

/// Asks again until there is an answer.
async fn until<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let answered = async {
        loop {
            match ask().await {
                Some(answer) => return answer,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered)
        .await
        .expect("Envoy comes to this state")
}

async fn get(admin: SocketAddr, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(admin).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await.ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    match head.contains("transfer-encoding: chunked") {
        true => serde_json::from_str(&dechunk(body)?).ok(),
        false => serde_json::from_str(body).ok(),
    }
}

fn dechunk(mut body: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n")?;
        let (chunk, rest) = rest.split_at_checked(usize::from_str_radix(length, 16).ok()?)?;
        if chunk.is_empty() {
            return Some(whole);
        }
        whole.push_str(chunk);
        body = rest.strip_prefix("\r\n")?;
    }
}

fn binary() -> Option<PathBuf> {
    let cached = || {
        let home = PathBuf::from(env::var_os("HOME")?);
        Some(home.join(".cache/meltemi/envoy-1.40.0/envoy"))
    };
    let path = env::var_os("MELTEMI_ENVOY")
        .map(PathBuf::from)
        .or_else(cached);
    let found = path.filter(|path| path.exists());
    if found.is_none() {
        assert!(
            env::var_os("MELTEMI_REQUIRE_PEERS").is_none_or(|required| required != "1"),
            "no Envoy: run scripts/install-envoy"
        );
        eprintln!("skipped: no Envoy; scripts/install-envoy fetches one");
    }
    found
}
