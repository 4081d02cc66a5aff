//! What the fuzz target runs: any bytes as manifests, all the way to what a proxy makes of them.

use std::collections::BTreeMap;
use std::time::Instant;

use meltemi_controller::ads::Resources;
use meltemi_controller::{AttributeDef, Controller, ProtocolSchema, Settings, SourceFile, Update};
use meltemi_core::xds::{PATIENCE, Subscriptions};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};
use meltemi_proto::meltemi::config::v1::{Self_, Service};
use prost::Name;

const FILE: &str = "manifests.yaml";

/// Loads one version of a file after the other; a zero byte is between two of them.
pub(crate) fn manifests(data: &[u8]) {
    let mut controller = Controller::open(&[], settings());
    let mut proxy = Proxy::new();
    for version in data.split(|byte| *byte == 0) {
        let Ok(text) = std::str::from_utf8(version) else {
            continue;
        };
        let update = load(&mut controller, text);
        check_report(text, &update);
        let again = load(&mut controller, text);
        assert_eq!(
            again.report, update.report,
            "a second look finds something else"
        );
        assert_eq!(again.resources, update.resources);
        proxy.take(&update.resources);
    }
}

/// What is said of manifests, in each of the ways in which it is said.
#[allow(dead_code, reason = "for the tests; the fuzz target has no use for it")]
pub(crate) fn report(text: &str) -> String {
    let report = load(&mut Controller::open(&[], settings()), text).report;
    let json = serde_json::to_string(&report).expect("a report can be written");
    format!("{report}\n{json}\n{report:?}")
}

fn load(controller: &mut Controller, text: &str) -> Update {
    controller.load_files([SourceFile {
        name: FILE.to_owned(),
        text: text.to_owned(),
    }])
}

/// Every finding can be shown, at a place that is there.
fn check_report(text: &str, update: &Update) {
    let lines = text.lines().count().max(1);
    for finding in &update.report.diagnostics {
        assert!(!finding.to_string().is_empty());
        if let Some(place) = &finding.place {
            assert!(place.line as usize <= lines, "{finding}");
        }
    }
    serde_json::to_string(&update.report).expect("a report can be written");
}

/// A proxy, which accepts whatever the controller makes of manifests.
struct Proxy {
    subscriptions: Subscriptions,
    now: Instant,
    served: BTreeMap<String, Vec<String>>,
}

impl Proxy {
    fn new() -> Self {
        let now = Instant::now();
        let mut subscriptions = Subscriptions::new(Node::default(), now);
        let _requests = subscriptions.connected(now);
        Self {
            subscriptions,
            now,
            served: BTreeMap::new(),
        }
    }

    fn take(&mut self, resources: &Resources) {
        let types = [
            Self_::type_url(),
            Listener::type_url(),
            Service::type_url(),
            RouteConfiguration::type_url(),
            Cluster::type_url(),
            ClusterLoadAssignment::type_url(),
            Secret::type_url(),
        ];
        for url in resources.type_urls() {
            assert!(types.iter().any(|known| known == url), "{url} is unknown");
        }
        for type_url in types {
            self.take_type(type_url, resources);
        }
        self.now += PATIENCE;
        let _unless_nothing_changed = self.subscriptions.snapshot(self.now);
    }

    fn take_type(&mut self, type_url: String, resources: &Resources) {
        let served = resources.of_type(&type_url);
        let served: Vec<Resource> = served
            .map(|(name, resource)| Resource {
                name: name.to_owned(),
                version: resource.version.to_string(),
                resource: Some(resource.body.clone()),
                ..Resource::default()
            })
            .collect();
        let names: Vec<String> = served.iter().map(|it| it.name.clone()).collect();
        let before = self.served.insert(type_url.clone(), names.clone());
        let response = DeltaDiscoveryResponse {
            type_url,
            resources: served,
            removed_resources: before
                .unwrap_or_default()
                .into_iter()
                .filter(|name| !names.contains(name))
                .collect(),
            ..DeltaDiscoveryResponse::default()
        };
        let outcome = self.subscriptions.receive(response, self.now);
        assert_eq!(outcome.rejected, [], "a proxy refuses what is served");
    }
}

fn settings() -> Settings {
    let attribute = |name: &str| AttributeDef {
        name: name.to_owned(),
        description: String::new(),
    };
    let mut settings = Settings::new(vec![
        ProtocolSchema {
            id: "dubbo".to_owned(),
            attributes: ["interface", "method"].map(attribute).into(),
            open: true,
            service_attribute: Some("interface".to_owned()),
            lower_case: vec![],
        },
        ProtocolSchema {
            id: "redis".to_owned(),
            attributes: ["command", "key", "db"].map(attribute).into(),
            open: false,
            service_attribute: None,
            lower_case: vec![],
        },
    ]);
    settings.locality = "eu/a".parse().expect("a locality");
    settings
}
