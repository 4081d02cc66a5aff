//! Manifests for Redis, all the way to what a proxy decides by, and what of them is logged.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/fixture.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod fixture;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use fixture::DataPlane;
use meltemi_controller::ads::Server;
use meltemi_controller::{AttributeDef, Controller, Event, ProtocolSchema, Settings};
use meltemi_core::config::{Address, LbPolicy, Setting, Snapshot};
use meltemi_core::xds;
use meltemi_policy::{Condition, Hashing};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tracing_subscriber::filter::LevelFilter;

const SERVER: &str = "default/redis/tcp-redis";
const CACHE: &str = "outbound|6379||cache.default.svc.cluster.local";
const SESSIONS: &str = "outbound|6379||sessions.default.svc.cluster.local";
const STANDBY: &str = "outbound|6379||standby.default.svc.cluster.local";

/// The passwords of the example, as they are, in base64, and what one is changed to.
const SECRETS: [&str; 4] = [
    "open-sesame",
    "only the proxy knows",
    "b25seSB0aGUgcHJveHkga25vd3M=",
    "swordfish",
];

fn settings() -> Settings {
    let attribute = |name: &str| AttributeDef {
        name: name.to_owned(),
        description: String::new(),
    };
    Settings::new(vec![ProtocolSchema {
        id: "redis".to_owned(),
        attributes: ["command", "key", "db"].map(attribute).into(),
        open: false,
        service_attribute: None,
        lower_case: vec![],
    }])
}

fn copy_of(example: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for entry in std::fs::read_dir(examples.join(example)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

/// Controller, server and client, joined as in `meltemi run`.
fn start(dir: &Path) -> (DataPlane, mpsc::Receiver<Event>) {
    let _log = Log::start();
    let paths: Vec<PathBuf> = vec![dir.to_owned()];
    let mut controller = Controller::open(&paths, settings());
    let first = controller.load();
    assert!(first.report.is_valid(), "{}", first.report);
    tracing::info!(?first, "loaded");
    let (resources, served) = watch::channel(Some(first.resources));
    let (rejected, rejections) = mpsc::channel(16);
    let (sender, events) = mpsc::channel(16);
    tokio::spawn(controller.run(resources, rejections, sender));
    let (control_plane, dialled) = xds::ControlPlane::in_memory();
    let incoming = ReceiverStream::new(dialled).map(io::Result::Ok);
    tokio::spawn(
        Server::new(served, rejected)
            .in_private()
            .serve(incoming, std::future::pending()),
    );
    (DataPlane::start(control_plane), events)
}

/// All that is logged, of whatever level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The log of all tests in this process.
    fn start() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .init();
            log
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

fn value<'a>(settings: &'a [Setting], name: &str) -> Option<(&'a str, bool)> {
    let setting = settings.iter().find(|setting| setting.name == name)?;
    Some((&setting.value, setting.secret.is_some()))
}

fn password(snapshot: &Snapshot) -> Option<String> {
    let settings = &snapshot.services.get(SERVER)?.settings;
    value(settings, "password").map(|(password, _)| password.to_owned())
}

#[tokio::test]
async fn the_example_arrives_whole() {
    let dir = copy_of("redis");
    let (mut data, _events) = start(dir.path());
    let snapshot = data.next().await;
    assert_eq!(data.stats.rejected(), 0);

    let service = &snapshot.services[SERVER];
    assert_eq!(service.protocol.as_deref(), Some("redis"));
    assert_eq!(value(&service.settings, "username"), Some(("app", true)));
    let shown = value(&service.settings, "password");
    assert_eq!(shown, Some(("open-sesame", true)));
    assert!(service.operation_metrics);
    let slow = service.slow_request_threshold;
    assert_eq!(slow, Some(Duration::from_millis(100)));
    assert_eq!(service.faults[0].operations, ["get"]);
    assert_eq!(service.faults[0].share.per_million(), 10_000);

    let routes = &snapshot.routes[SERVER].routes;
    let prefix = Condition::Prefix("session:".into());
    assert_eq!(routes[0].matches[0][0].condition, prefix);
    assert_eq!(routes[0].destinations[0].cluster, SESSIONS);
    let removed = routes[0].remove_prefix.as_ref().unwrap();
    assert_eq!((&*removed.attribute, &*removed.prefix), ("key", "session:"));
    assert_eq!(routes[1].destinations[0].cluster, CACHE);
    assert_eq!(routes[1].mirrors[0].cluster, STANDBY);
    assert!(routes[1].mirrors[0].exclude_idempotent);
    for route in routes {
        assert_eq!(route.timeout, Some(Duration::from_secs(2)));
        assert_eq!(route.owner, "RedisService/default/cache");
    }

    let sessions = &snapshot.clusters[SESSIONS];
    let shown = value(&sessions.settings, "upstreamPassword");
    assert_eq!(shown, Some(("only the proxy knows", true)));
    assert_eq!(value(&sessions.settings, "mode"), Some(("PROXY", false)));
    let table_size = 65_537;
    assert_eq!(sessions.hashing, Some(Hashing::Maglev { table_size }));
    assert_eq!(sessions.connect_timeout, Duration::from_secs(1));
    assert_eq!(sessions.keepalive.unwrap().probes, Some(3));
    assert_eq!(sessions.limits.connections, Some(100));
    assert_eq!(snapshot.clusters[CACHE].lb, LbPolicy::LeastRequest);
    assert_eq!(snapshot.clusters[CACHE].hashing, None);
    assert_eq!(fixture::ports(&snapshot, STANDBY), [6381]);
}

#[tokio::test]
async fn the_cluster_arrives_with_its_seeds() {
    let dir = copy_of("redis-cluster");
    let (mut data, _events) = start(dir.path());
    let snapshot = data.next().await;
    assert_eq!(data.stats.rejected(), 0);
    let cluster = &snapshot.clusters["outbound|6379||orders.default.svc.cluster.local"];
    let seeds = &cluster.topology.as_ref().unwrap().seeds;
    let expected = [7000, 7001, 7002].map(|port| Address::Tcp(([127, 0, 0, 1], port).into()));
    assert_eq!(*seeds, expected);
    assert_eq!(cluster.max_unknown_nodes, 10);
    let settings = &snapshot.services["default/redis-cluster/tcp-redis"].settings;
    let policy = value(settings, "readPolicy");
    assert_eq!(policy, Some(("PREFER_MASTER", false)));
    let redirection = value(settings, "enableRedirection");
    assert_eq!(redirection, Some(("true", false)));
}

#[tokio::test]
async fn a_secret_that_changes_arrives_and_is_never_logged() {
    let log = Log::start();
    let dir = copy_of("redis");
    let (mut data, mut events) = start(dir.path());
    data.when(|s| password(s).as_deref() == Some("open-sesame"))
        .await;
    let path = dir.path().join("secret.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("open-sesame", "swordfish")).unwrap();
    let snapshot = data
        .when(|s| password(s).as_deref() == Some("swordfish"))
        .await;
    tracing::info!(?snapshot, "arrived");

    // A mistake beside it is reported, and no more of it than that.
    std::fs::write(
        &path,
        text.replace("kind: Secret", "kind: Secret\nstrngData: {a: swordfish}"),
    )
    .unwrap();
    loop {
        let event = tokio::time::timeout(fixture::PATIENCE, events.recv()).await;
        let event = event.expect("an event comes").expect("the controller runs");
        tracing::info!(?event, "event");
        let Event::Changed(report) = event else {
            continue;
        };
        if report.errors() > 0 {
            break;
        }
    }
    let log = log.text();
    for expected in [
        "loaded",
        "arrived",
        "a client connected",
        "did you mean `stringData`",
    ] {
        assert!(log.contains(expected), "not logged: {expected}");
    }
    for secret in SECRETS {
        let shown = log.lines().find(|line| line.contains(secret));
        assert_eq!(shown, None, "{secret} is logged");
    }
}
