use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::service::discovery::v3 as proto;
use meltemi_proto::google::rpc::Status;
use prost::Name as _;

use super::fake::FakeProxy;
use super::*;
use crate::ads::Resources;
use crate::ads::sotw::SotwStream;

fn cluster(resources: &mut Resources, name: &str, seconds: i64) -> String {
    let cluster = Cluster {
        name: name.to_owned(),
        connect_timeout: Some(meltemi_proto::Duration { seconds, nanos: 0 }),
        ..Cluster::default()
    };
    resources.insert(name, &cluster);
    let resource = resources.get(&Cluster::type_url(), name);
    resource.expect("it was put there").version.to_string()
}

/// What the only client has of a cluster: acknowledged, sent, refused.
fn held(clients: &Clients, name: &str) -> Option<[Option<String>; 3]> {
    let snapshot = clients.snapshot();
    let key = (Cluster::type_url(), name.to_owned());
    let held = snapshot.first()?.resources.get(&key)?;
    let text = |version: &Option<Arc<str>>| version.as_ref().map(ToString::to_string);
    Some([
        text(&held.acknowledged),
        text(&held.sent),
        text(&held.refused),
    ])
}

#[test]
fn a_delta_client_has_what_it_acknowledged() {
    let (clients, mut resources) = (Clients::default(), Resources::new());
    let [one, two] = ["one", "two"].map(|name| cluster(&mut resources, name, 1));
    let mut proxy = FakeProxy::connect(&clients, "node").refusing("two");
    assert_eq!(held(&clients, "one"), None);
    proxy.hear(&resources);
    assert_eq!(held(&clients, "one"), Some([None, Some(one.clone()), None]));
    proxy.answer();
    // What is said of `two` leaves it open whether `one` was taken: it is sent again.
    assert_eq!(held(&clients, "two"), Some([None, None, Some(two.clone())]));
    proxy.take(&resources);
    assert_eq!(held(&clients, "one"), Some([Some(one), None, None]));
    let snapshot = clients.snapshot();
    assert_eq!(snapshot[0].node, "node");
    let rejections = snapshot[0].rejections.iter();
    let rejections: Vec<_> = rejections
        .map(|it| (it.name.as_str(), &*it.version, it.reason.as_str()))
        .collect();
    assert_eq!(
        rejections,
        [("two", two.as_str(), "two: not as it likes it")]
    );

    // Another version is another matter.
    let other = cluster(&mut resources, "two", 2);
    proxy.hear(&resources);
    assert_eq!(held(&clients, "two"), Some([None, Some(other), None]));
    assert_eq!(clients.snapshot()[0].rejections, []);
    drop(proxy);
    assert_eq!(clients.snapshot(), []);
}

#[test]
fn a_client_of_the_state_of_the_world_has_what_it_acknowledged() {
    let (clients, mut resources) = (Clients::default(), Resources::new());
    let a = cluster(&mut resources, "a", 1);
    let slot = clients.enter::<SotwStream>();
    let request = |nonce: &str, error: Option<&str>| {
        let rejections = slot.state().request(proto::DiscoveryRequest {
            type_url: Cluster::type_url(),
            response_nonce: nonce.to_owned(),
            error_detail: error.map(|message| Status {
                message: message.to_owned(),
                ..Status::default()
            }),
            ..Default::default()
        });
        slot.answered(&rejections);
    };
    request("", None);
    let nonce = slot.state().respond(&resources).remove(0).nonce;
    assert_eq!(held(&clients, "a"), Some([None, Some(a.clone()), None]));
    request(&nonce, None);
    assert_eq!(held(&clients, "a"), Some([Some(a.clone()), None, None]));
    let other = cluster(&mut resources, "a", 2);
    let nonce = slot.state().respond(&resources).remove(0).nonce;
    assert_eq!(
        held(&clients, "a"),
        Some([Some(a.clone()), Some(other.clone()), None])
    );
    request(&nonce, Some("a: no"));
    assert_eq!(held(&clients, "a"), Some([Some(a), None, Some(other)]));
    assert_eq!(clients.snapshot()[0].rejections[0].reason, "a: no");
}

#[test]
fn whoever_comes_goes_or_answers_is_told_of() {
    let clients = Clients::default();
    let mut changes = clients.changes();
    let mut told = || {
        let is_told = changes.has_changed().expect("they are there");
        changes.borrow_and_update();
        is_told
    };
    assert!(!told());
    let proxy = FakeProxy::connect(&clients, "node");
    assert!(told());
    assert!(!told());
    drop(proxy);
    assert!(told());
}
