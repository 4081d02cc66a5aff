use std::time::Duration;

use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use tokio::time::timeout;

use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::meltemi::config::v1::Service;
use prost::Name as _;

use super::*;
use crate::fixture::{Fixture, ROUTER, redis_settings, settings};

const SERVER: &str = "default/edge/tcp-metaprotocol-dubbo";

/// Only against a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

fn routes(update: &Update) -> RouteConfiguration {
    let resource = update
        .resources
        .get(&RouteConfiguration::type_url(), SERVER);
    resource
        .map(|r| r.body.unpack().unwrap())
        .unwrap_or_default()
}

fn weights(update: &Update) -> String {
    format!(
        "{:?}",
        routes(update).routes.last().map(|r| r.route.clone())
    )
}

fn loaded(fixture: &Fixture) -> (Controller, Update) {
    let mut controller = Controller::open(&fixture.paths(), settings());
    let update = controller.load();
    (controller, update)
}

#[test]
fn an_invalid_change_changes_nothing_and_a_valid_one_does() {
    let fixture = Fixture::valid();
    let (mut controller, first) = loaded(&fixture);
    assert!(first.report.is_valid());
    assert!(controller.reload().is_none());
    for (spoil, mend) in [("weight: 90", "weight: 91"), ("subset: v1", "subset: v3")] {
        fixture.edit("router.yaml", spoil, mend);
        let update = controller.reload().unwrap();
        assert_eq!(update.report.errors(), 1, "{}", update.report);
        assert_eq!(update.resources, first.resources);
        fixture.edit("router.yaml", mend, spoil);
        assert!(controller.reload().unwrap().report.is_valid());
    }
    fixture.edit("router.yaml", "weight: 90", "weight: 80");
    fixture.edit("router.yaml", "weight: 10", "weight: 20");
    let update = controller.reload().unwrap();
    assert!(weights(&update).contains("weight: Some(80)"));
}

#[test]
fn of_two_routers_that_conflict_the_one_that_was_there_stays() {
    let fixture = Fixture::valid();
    let (mut controller, first) = loaded(&fixture);
    // It comes first by its name, and would take everything.
    let catch_all = "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
                     metadata: {name: all}\nspec: {hosts: [greeter.shop], gateways: [edge]}\n";
    fixture.write("all.yaml", catch_all);
    let update = controller.reload().unwrap();
    assert_eq!(update.report.errors(), 1);
    assert_eq!(routes(&update), routes(&first));
    // The same with a late one that would get nothing.
    fixture.remove("all.yaml");
    fixture.write(
        "late.yaml",
        &ROUTER.replace("{name: greeter}", "{name: late}"),
    );
    let update = controller.reload().unwrap();
    assert_eq!(update.report.errors(), 1);
    assert_eq!(routes(&update), routes(&first));
}

#[test]
fn a_deleted_file_withdraws_its_objects() {
    let fixture = Fixture::valid();
    let (mut controller, _) = loaded(&fixture);
    fixture.remove("router.yaml");
    let update = controller.reload().unwrap();
    assert!(update.report.is_valid());
    assert_eq!(routes(&update).routes, []);
    assert_eq!(update.resources.of_type(&Cluster::type_url()).count(), 0);
}

#[test]
fn a_cluster_that_asks_for_what_cannot_be_given_is_refused_and_never_dialled_in_plaintext() {
    let fixture = Fixture::valid();
    let (mut controller, _) = loaded(&fixture);
    let before = "{name: v2, labels: {version: v2}}";
    let after = "{name: v2, labels: {version: v2}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}";
    fixture.edit("rule.yaml", before, after);
    let update = controller.reload().unwrap();
    assert_eq!(update.report.errors(), 1);
    for url in [Cluster::type_url(), ClusterLoadAssignment::type_url()] {
        let names: Vec<_> = update
            .resources
            .of_type(&url)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["outbound|20880|v1|greeter.shop"]);
    }
}

#[test]
fn a_rejection_is_reported_at_the_object() {
    let fixture = Fixture::valid();
    let (controller, _) = loaded(&fixture);
    let rows = [
        (
            RouteConfiguration::type_url(),
            SERVER,
            "routes[1].match: no",
            "MetaRouter default/greeter",
        ),
        (
            Listener::type_url(),
            SERVER,
            "address: no",
            "Gateway default/edge",
        ),
        (
            Service::type_url(),
            SERVER,
            "ports: no",
            "Gateway default/edge",
        ),
        (
            Cluster::type_url(),
            "outbound|20880|v1|greeter.shop",
            "no",
            "DestinationRule default/greeter",
        ),
    ];
    for (type_url, name, reason, object) in rows {
        let rejection = Rejection {
            node: "n".to_owned(),
            type_url,
            name: name.to_owned(),
            version: "1".into(),
            reason: reason.to_owned(),
        };
        let diagnostic = controller.rejected(&rejection);
        assert_eq!(
            diagnostic.object.map(|o| o.to_string()).as_deref(),
            Some(object)
        );
        assert_eq!(
            diagnostic.message,
            format!("the proxy n rejects {name}: {reason}")
        );
    }
}

#[test]
fn a_setting_that_a_plugin_refuses_is_reported_at_the_redis_service() {
    let fixture = Fixture::redis();
    let mut controller = Controller::open(&fixture.paths(), redis_settings());
    assert!(controller.load().report.is_valid());
    let rejection = Rejection {
        node: "n".to_owned(),
        type_url: Service::type_url(),
        name: "default/edge/tcp-redis".to_owned(),
        version: "1".into(),
        reason: "settings[0]: unknown".to_owned(),
    };
    let object = controller.rejected(&rejection).object.unwrap();
    assert_eq!(object.to_string(), "RedisService default/cache");
}

#[tokio::test]
async fn changes_are_published_while_it_runs() {
    let fixture = Fixture::valid();
    let (controller, first) = loaded(&fixture);
    let (resources, mut served) = watch::channel(Some(first.resources.clone()));
    let (_rejected, rejections) = mpsc::channel(1);
    let (events, mut log) = mpsc::channel(1);
    let running = tokio::spawn(controller.run(resources, rejections, events));
    fixture.edit("router.yaml", "weight: 90", "weight: 91");
    let Some(Event::Changed(report)) = timeout(PATIENCE, log.recv()).await.unwrap() else {
        panic!("files changed");
    };
    assert_eq!(report.errors(), 1);
    assert_eq!(served.borrow_and_update().as_ref(), Some(&first.resources));
    fixture.edit("router.yaml", "weight: 10", "weight: 9");
    let Some(Event::Changed(report)) = timeout(PATIENCE, log.recv()).await.unwrap() else {
        panic!("files changed");
    };
    assert!(report.is_valid());
    assert_ne!(served.borrow_and_update().as_ref(), Some(&first.resources));
    drop(served);
    timeout(PATIENCE, running).await.unwrap().unwrap();
}
