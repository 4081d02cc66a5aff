//! Services that opt out of a waypoint.

use std::time::{Duration, Instant};

use super::*;
use crate::diagnostic::SourceFile;
use crate::fixture::settings;
use crate::model::{Bind, FAREWELL};
use crate::source::Contents;

fn contents(label: &str) -> Contents {
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: way, namespace: shop}}\n\
         spec:\n  gatewayClassName: meltemi-waypoint\n  listeners:\n  \
         - {{name: proxy, port: 15088, protocol: istio.io/PROXY}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: orders, namespace: shop, labels: {{{label}}}}}\n\
         spec:\n  clusterIPs: [10.96.0.10]\n  ports:\n  \
         - {{name: tcp-metaprotocol-dubbo, port: 20880}}\n  - {{name: http, port: 8080}}\n"
    );
    let name = "all.yaml".to_owned();
    let file = SourceFile {
        name: name.clone(),
        text,
    };
    Contents {
        files: [(name, Arc::new(file))].into(),
        problems: vec![],
    }
}

fn apply_at(pipeline: &mut Pipeline, now: Instant) -> Update {
    let journey = pipeline.set_out(now, false);
    match pipeline.arrive(journey.go()) {
        Arrived::AtThePresent { update, .. } => update,
        Arrived::InThePast(_) | Arrived::Behind => panic!("nothing has changed meanwhile"),
    }
}

/// How many ports are served, of ours and of others.
fn served(pipeline: &Pipeline) -> (usize, usize) {
    let servers = pipeline.model.servers.iter();
    let passed = pipeline.model.waypoints.iter().flat_map(|it| &it.passed);
    let is_bound = |server: &&Arc<Server>| matches!(server.bind, Bind::Service(_));
    (servers.filter(is_bound).count(), passed.count())
}

/// What is served, and until when, so many seconds later with that label.
fn labelled(start: Instant) -> impl FnMut(&str, u64) -> ((usize, usize), Option<Instant>) {
    let mut pipeline = Pipeline::new(settings());
    move |label, seconds| {
        pipeline.index.update(contents(label));
        apply_at(&mut pipeline, start + Duration::from_secs(seconds));
        (served(&pipeline), pipeline.due())
    }
}

#[test]
fn one_that_opts_out_is_served_for_a_while() {
    const ASKS: &str = "istio.io/use-waypoint: way";
    let start = Instant::now();
    let mut at = labelled(start);
    assert_eq!(at("", 0), ((0, 0), None));
    assert_eq!(at(ASKS, 1), ((1, 1), None));
    let due = Some(start + Duration::from_secs(2) + FAREWELL);
    assert_eq!(at("", 2), ((1, 1), due));
    // Whatever else changes meanwhile.
    assert_eq!(at("app: orders", 100), ((1, 1), due));
    assert_eq!(at("app: orders", 2 + FAREWELL.as_secs()), ((0, 0), None));
    assert_eq!(at("", 3 + FAREWELL.as_secs()), ((0, 0), None));
}

#[test]
fn one_that_comes_back_has_all_of_the_time_when_it_leaves_again() {
    const ASKS: &str = "istio.io/use-waypoint: way";
    let start = Instant::now();
    let mut at = labelled(start);
    let due = |left: u64| Some(start + Duration::from_secs(left) + FAREWELL);
    assert_eq!(at(ASKS, 0), ((1, 1), None));
    assert_eq!(at("", 10), ((1, 1), due(10)));
    assert_eq!(at(ASKS, 20), ((1, 1), None));
    assert_eq!(at("", 200), ((1, 1), due(200)));
    assert_eq!(at("", 10 + FAREWELL.as_secs()), ((1, 1), due(200)));
    assert_eq!(at("", 200 + FAREWELL.as_secs()), ((0, 0), None));
}

#[test]
fn what_stands_behind_a_gateway_that_goes_is_served_for_a_while() {
    let mut pipeline = Pipeline::new(settings());
    let start = Instant::now();
    let whole = contents("istio.io/use-waypoint: way");
    let mut without = contents("istio.io/use-waypoint: way");
    for file in without.files.values_mut() {
        let (_, rest) = file.text.split_once("---\n").expect("two documents");
        let (name, text) = (file.name.clone(), rest.to_owned());
        *file = Arc::new(SourceFile { name, text });
    }
    let mut at = |contents: &Contents, seconds: u64| {
        pipeline.index.update(contents.clone());
        let update = apply_at(&mut pipeline, start + Duration::from_secs(seconds));
        assert_eq!(update.report.diagnostics, []);
        (served(&pipeline), pipeline.due())
    };
    let due = |left: u64| Some(start + Duration::from_secs(left) + FAREWELL);
    assert_eq!(at(&whole, 0), ((1, 1), None));
    assert_eq!(at(&without, 10), ((1, 1), due(10)));
    assert_eq!(at(&without, 20), ((1, 1), due(10)));
    // One of the same name.
    assert_eq!(at(&whole, 30), ((1, 1), None));
    assert_eq!(at(&without, 40), ((1, 1), due(40)));
    assert_eq!(at(&without, 40 + FAREWELL.as_secs()), ((0, 0), None));
}

#[test]
fn what_is_deleted_is_not_served() {
    let mut pipeline = Pipeline::new(settings());
    let start = Instant::now();
    pipeline
        .index
        .update(contents("istio.io/use-waypoint: way"));
    apply_at(&mut pipeline, start);
    pipeline.index.update(Contents {
        files: [].into(),
        problems: vec![],
    });
    apply_at(&mut pipeline, start);
    assert_eq!(served(&pipeline), (0, 0));
}
