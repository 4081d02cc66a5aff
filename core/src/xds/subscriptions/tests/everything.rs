//! Listeners whose connections say where they were going: all services are wanted.

use super::*;
use crate::config::Mode;

/// A listener that reads a PROXY header.
fn proxied(name: &str) -> listener::Listener {
    let config = Any::pack(&own::Listener {
        max_connections_per_source: 0,
        mode: Some(own::listener::Mode::ProxyProtocol(
            own::listener::ProxyProtocol::default(),
        )),
        source: None,
    });
    let mut listener = listener();
    name.clone_into(&mut listener.name);
    listener.filter_chains[0].filters[0].config_type =
        Some(listener::filter::ConfigType::TypedConfig(config));
    listener
}

/// One whose routes are `r`, and whose own cluster is this.
fn service(name: &str, default_cluster: &str) -> own::Service {
    let mut service = super::service();
    name.clone_into(&mut service.name);
    service.addresses = vec!["10.96.0.1".to_owned()];
    service.ports[0].number = 80;
    default_cluster.clone_into(&mut service.ports[0].default_cluster);
    service
}

/// Connected, and answered for `Self` and one listener.
fn start(listener: listener::Listener) -> (Story, Outcome) {
    let now = Instant::now();
    let mut story = Story {
        now,
        client: Subscriptions::new(Node::default(), now),
        nonce: 0,
    };
    story.client.connected(now);
    story.answer::<Proxy>(&[], &[SELF_RESOURCE]);
    let outcome = story.answer::<Listener>(&[(listener, "1")], &[]);
    (story, outcome)
}

/// Answered down to the endpoints of the services `s` and `t`.
fn complete() -> Story {
    let (mut story, _) = start(proxied("p"));
    story.answer::<Service>(
        &[(service("s", "own-s"), "1"), (service("t", "own-t"), "1")],
        &[],
    );
    story.answer::<RouteConfig>(&[(routes("c"), "1")], &[]);
    let clusters = ["c", "own-s", "own-t"];
    let messages = clusters.map(|name| (cluster(name, 1), "1"));
    story.answer::<Cluster>(&messages, &[]);
    let messages = clusters.map(|name| (endpoints(name, 1), "1"));
    story.answer::<Endpoints>(&messages, &[]);
    story
}

fn services(snapshot: &Snapshot) -> Vec<&str> {
    let mut names: Vec<_> = snapshot.services.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn all_services_are_awaited_with_their_own_clusters() {
    let (mut story, outcome) = start(proxied("p"));
    assert_eq!(asked(&outcome.requests), [("Service", vec!["*"], vec![])]);
    assert!(story.snapshot().is_none(), "the first answer is awaited");
    let outcome = story.answer::<Service>(
        &[(service("s", "own-s"), "1"), (service("t", ""), "1")],
        &[],
    );
    assert_eq!(
        asked(&outcome.requests),
        [
            ("RouteConfiguration", vec!["r"], vec![]),
            ("Cluster", vec!["own-s"], vec![]),
        ]
    );
    let outcome = story.answer::<RouteConfig>(&[(routes("c"), "1")], &[]);
    assert_eq!(asked(&outcome.requests), [("Cluster", vec!["c"], vec![])]);
    story.answer::<Cluster>(&[(cluster("c", 1), "1"), (cluster("own-s", 1), "1")], &[]);
    story.answer::<Endpoints>(&[(endpoints("c", 1), "1")], &[]);
    assert!(
        story.snapshot().is_none(),
        "the own cluster's endpoints are awaited"
    );
    story.answer::<Endpoints>(&[(endpoints("own-s", 7), "1")], &[]);
    let snapshot = story.snapshot().expect("everything was answered");
    assert_eq!(services(&snapshot), ["s", "t"]);
    let listener = snapshot.listeners.get("p").unwrap();
    assert!(matches!(listener.mode, Mode::ProxyProtocol(_)));
    for dialled in ["10.96.0.1:80", "127.0.0.1:7"] {
        let found = snapshot.destinations.service(dialled.parse().unwrap());
        assert_eq!(found.unwrap().name, "s", "{dialled}");
    }
}

#[test]
fn that_there_is_no_service_is_an_answer() {
    let (mut story, _) = start(proxied("p"));
    story.answer::<Service>(&[], &[]);
    let snapshot = story.snapshot().expect("everything was answered");
    assert!(snapshot.services.is_empty());
    assert_eq!(story.client.deadline(), None);
}

#[test]
fn silence_ends_after_patience() {
    let (mut story, _) = start(proxied("p"));
    assert_eq!(story.client.deadline(), Some(story.now + PATIENCE));
    story.now += PATIENCE;
    assert!(
        story
            .snapshot()
            .expect("no more waiting")
            .services
            .is_empty()
    );
    // Late is better than never.
    story.answer::<Service>(&[(service("s", ""), "1")], &["r"]);
    story.answer::<RouteConfig>(&[], &["r"]);
    assert_eq!(services(&story.snapshot().expect("it changed")), ["s"]);
}

#[test]
fn services_come_and_go() {
    let mut story = complete();
    assert_eq!(services(&story.snapshot().unwrap()), ["s", "t"]);
    let outcome = story.answer::<Service>(&[], &["t"]);
    assert_eq!(
        asked(&outcome.requests),
        [
            ("Cluster", vec![], vec!["own-t"]),
            ("ClusterLoadAssignment", vec![], vec!["own-t"])
        ]
    );
    let snapshot = story.snapshot().expect("it changed");
    assert_eq!(services(&snapshot), ["s"]);
    let outcome = story.answer::<Service>(&[(service("u", "own-s"), "1")], &[]);
    assert_eq!(asked(&outcome.requests), []);
    assert_eq!(services(&story.snapshot().expect("it changed")), ["s", "u"]);
}

#[test]
fn a_reconnection_presents_all_services() {
    let mut story = complete();
    story.snapshot().unwrap();
    story.client.disconnected();
    let requests = story.client.connected(story.now);
    let of_services = requests
        .iter()
        .find(|request| request.type_url == type_url::<Service>());
    let request = of_services.unwrap();
    assert_eq!(request.resource_names_subscribe, ["*"]);
    let mut names: Vec<_> = request.initial_resource_versions.keys().collect();
    names.sort_unstable();
    assert_eq!(names, ["s", "t"]);
    // What was held stays, and nothing is waited for.
    assert_eq!(story.client.deadline(), None);
    let outcome = story.answer::<Service>(&[(service("s", "own-s"), "2")], &["t"]);
    assert!(outcome.rejected.is_empty());
    assert_eq!(services(&story.snapshot().expect("it changed")), ["s"]);
}

#[test]
fn names_lead_to_everything_and_back() {
    let mut story = Story::complete();
    assert_eq!(services(&story.snapshot().unwrap()), ["s"]);
    let outcome = story.answer::<Listener>(&[(proxied("p"), "1")], &[]);
    assert_eq!(asked(&outcome.requests), [("Service", vec!["*"], vec![])]);
    assert!(story.snapshot().is_none(), "the answer to * is awaited");
    // What is here already keeps its version, so that it is no news.
    story.answer::<Service>(&[(super::service(), "1"), (service("t", "c"), "1")], &[]);
    assert_eq!(services(&story.snapshot().expect("it changed")), ["s", "t"]);
    let outcome = story.answer::<Listener>(&[], &["p"]);
    assert_eq!(asked(&outcome.requests), [("Service", vec![], vec!["*"])]);
    let snapshot = story.snapshot().expect("nothing is waited for");
    assert_eq!(services(&snapshot), ["s"]);
    // A word that was under way is of no interest any more.
    story.answer::<Service>(&[(service("t", "c"), "2")], &[]);
    assert!(story.snapshot().is_none());
}

#[test]
fn what_a_listener_names_is_awaited_beside_everything() {
    let mut story = complete();
    assert_eq!(services(&story.snapshot().unwrap()), ["s", "t"]);
    let mut named = listener();
    if let Some(listener::filter::ConfigType::TypedConfig(config)) =
        &mut named.filter_chains[0].filters[0].config_type
    {
        *config = Any::pack(&own::Listener {
            max_connections_per_source: 0,
            mode: Some(own::listener::Mode::Service(own::listener::FixedService {
                name: "u".to_owned(),
            })),
            source: None,
        });
    }
    let outcome = story.answer::<Listener>(&[(named, "1")], &[]);
    assert_eq!(asked(&outcome.requests), [("Service", vec!["u"], vec![])]);
    assert!(story.snapshot().is_none(), "the named service is awaited");
    story.answer::<Service>(&[(service("u", "own-s"), "1")], &[]);
    assert_eq!(
        services(&story.snapshot().expect("it came")),
        ["s", "t", "u"]
    );
    // That it is gone is known, too.
    story.answer::<Service>(&[], &["u"]);
    assert_eq!(services(&story.snapshot().expect("it changed")), ["s", "t"]);
    assert_eq!(story.client.deadline(), None);
}

#[test]
fn what_only_a_name_asked_for_is_awaited_by_name() {
    let (mut story, outcome) = start(listener());
    assert_eq!(asked(&outcome.requests), [("Service", vec!["s"], vec![])]);
    // Both kinds of listeners, the named service unanswered.
    let outcome = story.answer::<Listener>(&[(proxied("p"), "1")], &[]);
    assert_eq!(asked(&outcome.requests), [("Service", vec!["*"], vec![])]);
    let outcome = story.answer::<Listener>(&[], &["p"]);
    assert_eq!(asked(&outcome.requests), [("Service", vec![], vec!["*"])]);
    assert!(story.snapshot().is_none(), "the name is awaited");
    assert_eq!(story.client.deadline(), Some(story.now + PATIENCE));
    story.answer::<Service>(&[], &["s"]);
    assert!(story.snapshot().is_some());
}
