use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::google::rpc::Status;
use meltemi_proto::meltemi::config::v1::{Self_, Service, service::Port};
use meltemi_proto::{Any, meltemi::config::v1 as own};
use prost::Name;

use super::*;

/// A stream on which every response is recorded and none is answered by itself.
#[derive(Default)]
struct Story {
    stream: DeltaStream,
    resources: Resources,
}

/// A response in short: nonce, names sent, names removed.
type Short = (String, Vec<String>, Vec<String>);

impl Story {
    /// A service is set to a new content by its protocol.
    fn set(&mut self, name: &str, protocol: &str) {
        let service = Service {
            name: name.to_owned(),
            ports: vec![Port {
                protocol: protocol.to_owned(),
                ..Port::default()
            }],
            ..Service::default()
        };
        self.resources.insert(name, &service);
    }

    fn cluster(&mut self, name: &str, seconds: i64) {
        let connect_timeout = Some(meltemi_proto::Duration { seconds, nanos: 0 });
        let cluster = Cluster {
            name: name.to_owned(),
            connect_timeout,
            ..Cluster::default()
        };
        self.resources.insert(name, &cluster);
        let cluster_name = name.to_owned();
        let endpoints = ClusterLoadAssignment {
            cluster_name,
            ..ClusterLoadAssignment::default()
        };
        self.resources.insert(name, &endpoints);
    }

    fn send(&mut self, request: proto::DeltaDiscoveryRequest) -> Vec<Rejection> {
        self.stream.request(request)
    }

    fn subscribe<M: Name>(&mut self, names: &[&str]) {
        self.send(proto::DeltaDiscoveryRequest {
            type_url: M::type_url(),
            resource_names_subscribe: names.iter().map(|&name| name.to_owned()).collect(),
            ..proto::DeltaDiscoveryRequest::default()
        });
    }

    fn unsubscribe<M: Name>(&mut self, name: &str) {
        self.send(proto::DeltaDiscoveryRequest {
            type_url: M::type_url(),
            resource_names_unsubscribe: vec![name.to_owned()],
            ..proto::DeltaDiscoveryRequest::default()
        });
    }

    fn ack<M: Name>(&mut self, nonce: &str) {
        let rejections = self.send(proto::DeltaDiscoveryRequest {
            type_url: M::type_url(),
            response_nonce: nonce.to_owned(),
            ..proto::DeltaDiscoveryRequest::default()
        });
        assert_eq!(rejections, []);
    }

    fn nack<M: Name>(&mut self, nonce: &str, message: &str, details: Vec<Any>) -> Vec<Rejection> {
        self.send(proto::DeltaDiscoveryRequest {
            type_url: M::type_url(),
            response_nonce: nonce.to_owned(),
            error_detail: Some(Status {
                code: 3,
                message: message.to_owned(),
                details,
            }),
            ..proto::DeltaDiscoveryRequest::default()
        })
    }

    fn responses(&mut self) -> Vec<Short> {
        let responses = self.stream.respond(&self.resources).into_iter();
        responses
            .map(|response| {
                let names = response.resources.into_iter().map(|r| r.name);
                (response.nonce, names.collect(), response.removed_resources)
            })
            .collect()
    }
}

fn short(nonce: &str, sent: &[&str], removed: &[&str]) -> Short {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    (nonce.to_owned(), owned(sent), owned(removed))
}

#[test]
fn newer_state_overwrites_what_waits() {
    let mut story = Story::default();
    story.set("a", "1");
    story.subscribe::<Service>(&["a"]);
    assert_eq!(story.responses(), [short("1", &["a"], &[])]);
    // In flight: nothing more of this type, however often it changes.
    for protocol in ["2", "3", "1"] {
        story.set("a", protocol);
        assert_eq!(story.responses(), []);
    }
    // Back at what was sent: there is nothing to say.
    story.ack::<Service>("1");
    assert_eq!(story.responses(), []);
    story.set("a", "4");
    assert_eq!(story.responses(), [short("2", &["a"], &[])]);
    // An acknowledgement of another response ends nothing.
    story.ack::<Service>("1");
    story.set("a", "5");
    assert_eq!(story.responses(), []);
    story.ack::<Service>("2");
    assert_eq!(story.responses(), [short("3", &["a"], &[])]);
}

#[test]
fn an_absent_name_is_answered_as_removed_once() {
    let mut story = Story::default();
    story.subscribe::<Service>(&["a"]);
    assert_eq!(story.responses(), [short("1", &[], &["a"])]);
    story.ack::<Service>("1");
    assert_eq!(story.responses(), []);
    story.set("a", "1");
    assert_eq!(story.responses(), [short("2", &["a"], &[])]);
    story.ack::<Service>("2");
    story.resources = Resources::new();
    assert_eq!(story.responses(), [short("3", &[], &["a"])]);
}

#[test]
fn an_empty_wildcard_is_answered() {
    let mut story = Story::default();
    story.subscribe::<Cluster>(&["*"]);
    assert_eq!(story.responses(), [short("1", &[], &[])]);
    story.ack::<Cluster>("1");
    assert_eq!(story.responses(), []);
}

#[test]
fn an_empty_first_request_asks_for_all_clusters_but_for_no_services() {
    let mut story = Story::default();
    story.cluster("c", 1);
    story.set("a", "1");
    story.subscribe::<Cluster>(&[]);
    story.subscribe::<Service>(&[]);
    assert_eq!(story.responses(), [short("1", &["c"], &[])]);
}

#[test]
fn a_repeated_subscription_and_a_cluster_update_send_the_endpoints_again() {
    let mut story = Story::default();
    story.cluster("c", 1);
    story.subscribe::<Cluster>(&["*"]);
    story.subscribe::<ClusterLoadAssignment>(&["c"]);
    let both = [short("1", &["c"], &[]), short("2", &["c"], &[])];
    assert_eq!(story.responses(), both);
    story.ack::<Cluster>("1");
    story.ack::<ClusterLoadAssignment>("2");
    assert_eq!(story.responses(), []);

    story.subscribe::<ClusterLoadAssignment>(&["c"]);
    assert_eq!(story.responses(), [short("3", &["c"], &[])]);
    story.ack::<ClusterLoadAssignment>("3");

    story.cluster("c", 2);
    let both = [short("4", &["c"], &[]), short("5", &["c"], &[])];
    assert_eq!(story.responses(), both);
}

#[test]
fn a_reconnected_client_gets_what_changed_meanwhile() {
    let mut story = Story::default();
    story.set("same", "1");
    story.set("changed", "1");
    let version = |story: &Story, name: &str| {
        let resource = story.resources.get(&Service::type_url(), name);
        resource.expect("it was set").version.to_string()
    };
    let initial_resource_versions = [
        ("same".to_owned(), version(&story, "same")),
        ("changed".to_owned(), version(&story, "changed")),
        ("gone".to_owned(), "1".to_owned()),
        ("unwanted".to_owned(), "1".to_owned()),
    ];
    story.set("changed", "2");
    story.set("new", "1");
    story.send(proto::DeltaDiscoveryRequest {
        type_url: Service::type_url(),
        resource_names_subscribe: ["same", "changed", "gone", "new"].map(str::to_owned).into(),
        initial_resource_versions: initial_resource_versions.into(),
        ..proto::DeltaDiscoveryRequest::default()
    });
    assert_eq!(
        story.responses(),
        [short("1", &["changed", "new"], &["gone"])]
    );
}

#[test]
fn a_refused_version_does_not_come_again() {
    let mut story = Story::default();
    story.set("good", "1");
    story.set("bad", "1");
    story.subscribe::<Service>(&["good", "bad"]);
    assert_eq!(story.responses(), [short("1", &["bad", "good"], &[])]);
    let version = story.resources.get(&Service::type_url(), "bad");
    let version = version.expect("it was set").version.to_string();
    let detail = Any::pack(&own::Rejection {
        name: "bad".to_owned(),
        version,
        reason: "because".to_owned(),
    });
    let rejections = story.nack::<Service>("1", "", vec![detail]);
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].name, "bad");
    assert_eq!(rejections[0].reason, "because");

    assert_eq!(story.responses(), []);
    story.subscribe::<Service>(&["bad", "good"]);
    assert_eq!(story.responses(), [short("2", &["good"], &[])]);
    story.ack::<Service>("2");
    // Another version is another chance, and afterwards the first one is too.
    for (nonce, protocol) in [("3", "2"), ("4", "1")] {
        story.set("bad", protocol);
        assert_eq!(story.responses(), [short(nonce, &["bad"], &[])]);
        story.ack::<Service>(nonce);
    }
}

#[test]
fn what_a_foreign_nack_does_not_mention_comes_again_without_the_rest() {
    let mut story = Story::default();
    story.set("a", "1");
    story.set("b", "1");
    story.subscribe::<Service>(&["a", "b"]);
    assert_eq!(story.responses(), [short("1", &["a", "b"], &[])]);
    let rejections = story.nack::<Service>("1", "no: b", vec![]);
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].name, "b");
    assert_eq!(story.responses(), [short("2", &["a"], &[])]);
    // Not even that is liked: it ends here.
    story.nack::<Service>("2", "no", vec![]);
    assert_eq!(story.responses(), []);
}

#[test]
fn nothing_is_taken_away_while_a_rule_is_on_its_way() {
    let mut story = Story::default();
    story.set("a", "1");
    story.cluster("c", 1);
    story.subscribe::<Service>(&["a"]);
    story.subscribe::<Cluster>(&["c"]);
    story.responses();
    story.ack::<Service>("1");
    story.ack::<Cluster>("2");

    story.resources = Resources::new();
    story.set("a", "2");
    assert_eq!(story.responses(), [short("3", &["a"], &[])]);
    story.ack::<Service>("3");
    assert_eq!(story.responses(), [short("4", &[], &["c"])]);
}

#[test]
fn what_is_not_wanted_any_more_is_not_sent() {
    let mut story = Story::default();
    story.set("a", "1");
    story.subscribe::<Service>(&["a"]);
    story.responses();
    story.ack::<Service>("1");
    story.unsubscribe::<Service>("a");
    story.set("a", "2");
    assert_eq!(story.responses(), []);
    story.subscribe::<Service>(&["a"]);
    assert_eq!(story.responses(), [short("2", &["a"], &[])]);
}

#[test]
fn what_was_under_way_when_all_came_to_be_wanted_is_taken_away_again() {
    let mut story = Story::default();
    story.set("a", "1");
    story.subscribe::<Service>(&["a"]);
    assert_eq!(story.responses(), [short("1", &["a"], &[])]);
    // It arrives when the client wants all, and is kept.
    story.unsubscribe::<Service>("a");
    story.subscribe::<Service>(&["*"]);
    story.resources.remove(&Service::type_url(), "a");
    story.ack::<Service>("1");
    assert_eq!(story.responses(), [short("2", &[], &["a"])]);
}

#[test]
fn types_are_answered_from_the_rule_to_what_it_leads_to() {
    let order = [
        Self_::type_url(),
        Service::type_url(),
        Cluster::type_url(),
        ClusterLoadAssignment::type_url(),
        "type.googleapis.com/unknown".to_owned(),
    ];
    assert!(order.iter().map(|url| rank(url)).is_sorted());
}
