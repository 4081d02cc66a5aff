//! From manifests to what a proxy decides by: the whole pipeline, with the proxy's own client.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/fixture.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod fixture;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fixture::{DataPlane, PATIENCE};
use meltemi_controller::ads::Server;
use meltemi_controller::{AttributeDef, Controller, Event, ProtocolSchema, Settings};
use meltemi_core::config::Snapshot;
use meltemi_core::xds;
use meltemi_policy::LocalityRule;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

const SERVER: &str = "default/dubbo/tcp-metaprotocol-dubbo";
const V1: &str = "outbound|20880|v1|greeter.default.svc.cluster.local";
const V2: &str = "outbound|20880|v2|greeter.default.svc.cluster.local";

fn settings() -> Settings {
    let attribute = |name: &str| AttributeDef {
        name: name.to_owned(),
        description: String::new(),
    };
    let mut settings = Settings::new(vec![ProtocolSchema {
        id: "dubbo".to_owned(),
        attributes: ["interface", "method"].map(attribute).into(),
        open: true,
        service_attribute: Some("interface".to_owned()),
        lower_case: vec![],
    }]);
    settings.locality = "eu/a".parse().unwrap();
    settings
}

/// The example manifests, to be edited.
fn examples() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/dubbo");
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

struct Running {
    data: DataPlane,
    events: mpsc::Receiver<Event>,
    dir: tempfile::TempDir,
}

impl Running {
    /// Controller, server and client, joined as in `meltemi run`.
    fn start(dir: tempfile::TempDir) -> Self {
        let paths: Vec<PathBuf> = vec![dir.path().to_owned()];
        let mut controller = Controller::open(&paths, settings());
        let first = controller.load();
        assert!(first.report.is_valid(), "{}", first.report);
        let (resources, served) = watch::channel(Some(first.resources));
        let (rejected, rejections) = mpsc::channel(16);
        let (sender, events) = mpsc::channel(16);
        tokio::spawn(controller.run(resources, rejections, sender));
        let (control_plane, dialled) = xds::ControlPlane::in_memory();
        let incoming = ReceiverStream::new(dialled).map(io::Result::Ok);
        tokio::spawn(Server::new(served, rejected).serve(incoming, std::future::pending()));
        Self {
            data: DataPlane::start(control_plane),
            events,
            dir,
        }
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.dir.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event comes").expect("the controller runs")
    }
}

fn weights(snapshot: &Snapshot) -> Vec<(String, u32)> {
    let last = snapshot.routes[SERVER].routes.last().unwrap();
    last.destinations
        .iter()
        .map(|d| (d.cluster.clone(), d.weight))
        .collect()
}

#[tokio::test]
async fn the_examples_arrive_whole() {
    let mut running = Running::start(examples());
    let snapshot = running.data.next().await;
    assert_eq!(snapshot.locality.to_string(), "eu/a");
    let listener = &snapshot.listeners[SERVER];
    let service = &snapshot.services[listener.mode.service().unwrap()];
    assert_eq!(service.protocol.as_deref(), Some("dubbo"));
    let routes = &snapshot.routes[service.route_config.as_ref().unwrap()].routes;
    let names: Vec<_> = routes.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["testers", "new-method", "canary"]);
    assert_eq!(routes[0].owner, "MetaRouter/default/greeter");
    assert_eq!(
        weights(&snapshot),
        [(V1.to_owned(), 90), (V2.to_owned(), 10)]
    );
    let v1 = &snapshot.clusters[V1];
    assert_eq!(v1.locality, LocalityRule::nearest_first());
    assert_eq!(v1.outlier.as_ref().map(|o| o.consecutive_errors), Some(3));
    assert_eq!(fixture::ports(&snapshot, V1), [20881, 20882, 20883]);
    assert_eq!(fixture::ports(&snapshot, V2), [20884, 20885]);
    assert_eq!(running.data.stats.rejected(), 0);
}

#[tokio::test]
async fn an_edited_file_arrives_and_leaves_the_rest_as_it_is() {
    let mut running = Running::start(examples());
    let before = running.data.next().await;
    running.edit("router.yaml", "weight: 90", "weight: 50");
    running.edit("router.yaml", "weight: 10", "weight: 50");
    let shifted = [(V1.to_owned(), 50), (V2.to_owned(), 50)];
    let after = running.data.when(|s| weights(s) == shifted).await;
    assert!(Arc::ptr_eq(&before.clusters[V1], &after.clusters[V1]));
    assert!(Arc::ptr_eq(
        &before.listeners[SERVER],
        &after.listeners[SERVER]
    ));
}

#[tokio::test]
async fn a_destination_that_nobody_defines_does_not_hold_the_others_up() {
    let mut running = Running::start(examples());
    running.data.next().await;
    running.edit(
        "router.yaml",
        "            host: greeter.default.svc.cluster.local\n            subset: v1\n",
        "            host: gone.default.svc.cluster.local\n",
    );
    let gone = "outbound|20880||gone.default.svc.cluster.local";
    let after = running.data.when(|s| weights(s)[0].0 == gone).await;
    assert!(!after.clusters.contains_key(gone));
    assert!(after.clusters.contains_key(V2));
    let Event::Changed(report) = running.event().await else {
        panic!("a file changed")
    };
    assert_eq!((report.errors(), report.warnings()), (0, 1));
}
