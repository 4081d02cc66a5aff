use meltemi_proto::EXTENSION_NAME;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as route;
use meltemi_proto::envoy::config::cluster::v3 as cluster;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::endpoint::v3 as endpoint;
use meltemi_proto::envoy::config::listener::v3 as listener;
use meltemi_proto::envoy::service::discovery::v3::Resource;

use super::*;

mod everything;
mod secrets;

/// The client alone; the test plays the control plane.
struct Story {
    now: Instant,
    client: Subscriptions,
    nonce: u32,
}

impl Story {
    /// Connected, and answered for `Self` and the listener `l`, which leads to service `s`.
    fn start() -> Self {
        let now = Instant::now();
        let mut story = Self {
            now,
            client: Subscriptions::new(Node::default(), now),
            nonce: 0,
        };
        story.client.connected(now);
        story.answer::<Proxy>(&[], &[SELF_RESOURCE]);
        story.answer::<Listener>(&[(listener(), "1")], &[]);
        story
    }

    /// Answered down to the endpoints of cluster `c`.
    fn complete() -> Self {
        let mut story = Self::start();
        story.answer::<Service>(&[(service(), "1")], &[]);
        story.answer::<RouteConfig>(&[(routes("c"), "1")], &[]);
        story.answer::<Cluster>(&[(cluster("c", 1), "1")], &[]);
        story.answer::<Endpoints>(&[(endpoints("c", 1), "1")], &[]);
        story
    }

    fn answer<T: Kind>(&mut self, resources: &[(T::Message, &str)], removed: &[&str]) -> Outcome {
        self.nonce += 1;
        let resources = resources.iter().map(|(message, version)| Resource {
            name: T::name(message).unwrap_or(SELF_RESOURCE).to_owned(),
            version: (*version).to_owned(),
            resource: Some(Any::pack(message)),
            ..Resource::default()
        });
        let response = DeltaDiscoveryResponse {
            type_url: type_url::<T>(),
            nonce: self.nonce.to_string(),
            resources: resources.collect(),
            removed_resources: removed.iter().map(|&name| name.to_owned()).collect(),
            ..DeltaDiscoveryResponse::default()
        };
        self.client.receive(response, self.now)
    }

    fn snapshot(&mut self) -> Option<Snapshot> {
        self.client.snapshot(self.now)
    }
}

/// What requests ask for: the type's last word, names subscribed, names unsubscribed.
fn asked(requests: &[DeltaDiscoveryRequest]) -> Vec<(&str, Vec<&str>, Vec<&str>)> {
    requests
        .iter()
        .filter(|request| request.response_nonce.is_empty())
        .map(|request| {
            let kind = request.type_url.rsplit('.').next().unwrap_or_default();
            let subscribe = request.resource_names_subscribe.iter();
            let unsubscribe = request.resource_names_unsubscribe.iter();
            (
                kind,
                subscribe.map(String::as_str).collect(),
                unsubscribe.map(String::as_str).collect(),
            )
        })
        .collect()
}

fn listener() -> listener::Listener {
    let config = Any::pack(&own::Listener {
        max_connections_per_source: 0,
        mode: Some(own::listener::Mode::Service(own::listener::FixedService {
            name: "s".to_owned(),
        })),
        source: None,
    });
    listener::Listener {
        name: "l".to_owned(),
        address: Some(address(0)),
        filter_chains: vec![listener::FilterChain {
            filters: vec![listener::Filter {
                name: EXTENSION_NAME.to_owned(),
                config_type: Some(listener::filter::ConfigType::TypedConfig(config)),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn service() -> own::Service {
    own::Service {
        name: "s".to_owned(),
        ports: vec![own::service::Port {
            protocol: "p".to_owned(),
            route_config_name: "r".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn routes(cluster: &str) -> route::RouteConfiguration {
    let cluster = route::route_action::ClusterSpecifier::Cluster(cluster.to_owned());
    route::RouteConfiguration {
        name: "r".to_owned(),
        routes: vec![route::Route {
            route: Some(route::RouteAction {
                cluster_specifier: Some(cluster),
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..route::RouteConfiguration::default()
    }
}

fn cluster(name: &str, seconds: i64) -> cluster::Cluster {
    cluster::Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(
            cluster::cluster::DiscoveryType::Eds.into(),
        )),
        connect_timeout: Some(meltemi_proto::Duration { seconds, nanos: 0 }),
        ..Default::default()
    }
}

fn endpoints(cluster: &str, port: u16) -> endpoint::ClusterLoadAssignment {
    let host = endpoint::lb_endpoint::HostIdentifier::Endpoint(endpoint::Endpoint {
        address: Some(address(port)),
        ..Default::default()
    });
    endpoint::ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![endpoint::LocalityLbEndpoints {
            lb_endpoints: vec![endpoint::LbEndpoint {
                host_identifier: Some(host),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn address(port: u16) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: "127.0.0.1".to_owned(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })),
    }
}

fn seconds(snapshot: &Snapshot, cluster: &str) -> Option<u64> {
    let cluster = snapshot.clusters.get(cluster);
    cluster.map(|cluster| cluster.connect_timeout.as_secs())
}

#[test]
fn names_are_followed_from_the_listeners_down() {
    let mut story = Story::start();
    let outcome = story.answer::<Service>(&[(service(), "1")], &[]);
    assert_eq!(
        asked(&outcome.requests),
        [("RouteConfiguration", vec!["r"], vec![])]
    );
    let outcome = story.answer::<RouteConfig>(&[(routes("c"), "1")], &[]);
    assert_eq!(asked(&outcome.requests), [("Cluster", vec!["c"], vec![])]);
    let outcome = story.answer::<Cluster>(&[(cluster("c", 1), "1")], &[]);
    assert_eq!(
        asked(&outcome.requests),
        [("ClusterLoadAssignment", vec!["c"], vec![])]
    );
    assert!(story.snapshot().is_none());
    story.answer::<Endpoints>(&[(endpoints("c", 1), "1")], &[]);
    let snapshot = story.snapshot().expect("everything was answered");
    assert_eq!(snapshot.clusters["c"].endpoints.hosts.len(), 1);
    // The same again is no news.
    story.answer::<Endpoints>(&[(endpoints("c", 1), "1")], &[]);
    assert!(story.snapshot().is_none());
}

#[test]
fn a_new_route_is_published_with_its_cluster_and_endpoints() {
    let mut story = Story::complete();
    story.snapshot().expect("everything was answered");
    let outcome = story.answer::<RouteConfig>(&[(routes("d"), "2")], &[]);
    assert_eq!(
        asked(&outcome.requests),
        [
            ("Cluster", vec!["d"], vec!["c"]),
            ("ClusterLoadAssignment", vec![], vec!["c"])
        ]
    );
    assert!(story.snapshot().is_none());
    story.answer::<Cluster>(&[(cluster("d", 1), "1")], &[]);
    assert!(story.snapshot().is_none());
    story.answer::<Endpoints>(&[(endpoints("d", 1), "1")], &[]);
    let snapshot = story.snapshot().expect("everything was answered");
    assert_eq!(snapshot.clusters.keys().collect::<Vec<_>>(), ["d"]);
}

#[test]
fn each_valid_resource_applies_and_each_other_is_listed() {
    let mut story = Story::complete();
    story.snapshot().expect("everything was answered");
    let mut broken = cluster("c", 2);
    broken.transport_socket = Some(core::TransportSocket {
        name: "tls".to_owned(),
        ..Default::default()
    });
    let outcome = story.answer::<Cluster>(&[(broken, "2")], &[]);
    assert_eq!(outcome.rejected.len(), 1);
    let error = outcome.requests[0].error_detail.as_ref().unwrap();
    let rejection: own::Rejection = error.details[0].unpack().unwrap();
    assert_eq!((&*rejection.name, &*rejection.version), ("c", "2"));
    assert_eq!(
        rejection.reason,
        "transport_socket: \"tls\" is not supported"
    );
    assert_eq!(error.message, format!("c: {}", rejection.reason));
    // The last good one stays, so nothing changed.
    assert!(story.snapshot().is_none());
    story.answer::<Endpoints>(&[(endpoints("c", 2), "2")], &[]);
    assert_eq!(seconds(&story.snapshot().unwrap(), "c"), Some(1));
}

#[test]
fn a_first_version_that_is_refused_counts_as_an_answer() {
    let mut story = Story::start();
    let mut broken = service();
    broken.ports.clear();
    assert_eq!(
        story
            .answer::<Service>(&[(broken, "1")], &[])
            .rejected
            .len(),
        1
    );
    let snapshot = story.snapshot().expect("everything was answered");
    assert!(snapshot.services.is_empty());
    assert_eq!(snapshot.listeners.len(), 1);
}

#[test]
fn a_resource_under_another_name_is_refused() {
    let mut story = Story::start();
    let mut stranger = service();
    stranger.name = "t".to_owned();
    let response = DeltaDiscoveryResponse {
        type_url: type_url::<Service>(),
        resources: vec![Resource {
            name: "s".to_owned(),
            resource: Some(Any::pack(&stranger)),
            ..Resource::default()
        }],
        ..DeltaDiscoveryResponse::default()
    };
    assert_eq!(story.client.receive(response, story.now).rejected.len(), 1);
}

#[test]
fn absence_is_published_after_patience_has_run_out() {
    let mut story = Story::start();
    let deadline = story.client.deadline().expect("the service is awaited");
    assert_eq!(deadline, story.now + PATIENCE);
    story.now = deadline - Duration::from_millis(1);
    assert!(story.snapshot().is_none());
    story.now = deadline;
    assert!(
        story
            .snapshot()
            .expect("no more waiting")
            .services
            .is_empty()
    );
    assert_eq!(story.client.deadline(), None);
    // Late is better than never.
    story.answer::<Service>(&[(service(), "1")], &["r"]);
    story.answer::<RouteConfig>(&[], &["r"]);
    assert_eq!(story.snapshot().expect("it changed").services.len(), 1);
}

#[test]
fn patience_does_not_run_out_while_the_control_plane_is_away() {
    let mut story = Story::complete();
    story.snapshot().expect("everything was answered");
    story.answer::<RouteConfig>(&[(routes("d"), "2")], &[]);
    story.client.disconnected();
    assert_eq!(story.client.deadline(), None);
    story.now += 10 * PATIENCE;
    assert!(story.snapshot().is_none());
    story.client.connected(story.now);
    assert!(story.snapshot().is_none());
    assert_eq!(story.client.deadline(), Some(story.now + PATIENCE));
}

#[test]
fn a_reconnection_presents_what_is_here() {
    let mut story = Story::complete();
    story.client.disconnected();
    let requests = story.client.connected(story.now);
    assert!(requests[0].node.is_some());
    assert!(requests[1..].iter().all(|request| request.node.is_none()));
    assert_eq!(
        asked(&requests),
        [
            ("Self", vec!["self"], vec![]),
            ("Listener", vec!["*"], vec![]),
            ("Service", vec!["s"], vec![]),
            ("RouteConfiguration", vec!["r"], vec![]),
            ("Cluster", vec!["c"], vec![]),
            ("ClusterLoadAssignment", vec!["c"], vec![]),
        ]
    );
    for request in &requests[1..] {
        let versions = request.initial_resource_versions.values();
        assert_eq!(versions.collect::<Vec<_>>(), ["1"], "{}", request.type_url);
    }
}

/// So that a replica that lags behind the one of before tells it nothing old.
#[test]
fn a_new_stream_says_again_what_was_last_said_of_how_far_was_read() {
    let mut story = Story::complete();
    let read = |requests: &[DeltaDiscoveryRequest]| {
        let metadata = requests[0].node.as_ref()?.metadata.as_ref()?;
        metadata.fields.get(READ)?.kind.clone()
    };
    story.client.disconnected();
    assert_eq!(read(&story.client.connected(story.now)), None);
    for identifier in ["Pod=1", "Pod=2"] {
        let response = DeltaDiscoveryResponse {
            type_url: type_url::<Endpoints>(),
            control_plane: Some(core::ControlPlane {
                identifier: identifier.to_owned(),
            }),
            ..DeltaDiscoveryResponse::default()
        };
        story.client.receive(response, story.now);
    }
    // Who says nothing of it takes nothing back.
    story.answer::<Endpoints>(&[(endpoints("c", 2), "2")], &[]);
    story.client.disconnected();
    let said = read(&story.client.connected(story.now));
    assert_eq!(said, Some(value::Kind::StringValue("Pod=2".to_owned())));
}

#[test]
fn a_type_that_was_never_asked_for_is_ignored() {
    let mut story = Story::complete();
    let response = DeltaDiscoveryResponse {
        type_url: "type.googleapis.com/unknown".to_owned(),
        nonce: "1".to_owned(),
        ..DeltaDiscoveryResponse::default()
    };
    assert!(
        story
            .client
            .receive(response, story.now)
            .requests
            .is_empty()
    );
}

#[test]
fn unchanged_clusters_keep_their_identity() {
    let mut story = Story::complete();
    let before = story.snapshot().expect("everything was answered");
    story.answer::<Listener>(&[(listener(), "2")], &[]);
    let after = story.snapshot().expect("it changed");
    assert!(Arc::ptr_eq(&before.clusters["c"], &after.clusters["c"]));
    story.answer::<Endpoints>(&[(endpoints("c", 2), "2")], &[]);
    let changed = story.snapshot().expect("it changed");
    assert!(!Arc::ptr_eq(&after.clusters["c"], &changed.clusters["c"]));
}
