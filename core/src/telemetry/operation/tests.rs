use std::collections::HashSet;
use std::time::Duration;

use super::*;
use crate::telemetry::{Telemetry, WorkerTelemetry};

const TIME: Duration = Duration::from_micros(100);

fn record(worker: &WorkerTelemetry, service: &str, values: impl IntoIterator<Item = String>) {
    let operations = worker.operations(service);
    for value in values {
        let operation = operations.resolve(Some(value.as_bytes()));
        operation.record(OutcomeLabel::Ok, TIME);
    }
}

/// The operations of a service on the page, with how often they were counted.
fn counted(telemetry: &Telemetry, service: &str) -> HashMap<String, u64> {
    let start = format!("meltemi_operation_requests_total{{service=\"{service}\",operation=\"");
    let page = telemetry.render();
    let lines = page.lines().filter_map(|line| line.strip_prefix(&start));
    lines
        .map(|line| {
            let (operation, rest) = line.split_once("\",outcome=\"ok\"} ").unwrap();
            (operation.to_owned(), rest.parse().unwrap())
        })
        .collect()
}

#[test]
fn workers_are_summed() {
    let telemetry = Telemetry::new();
    for _ in 0..2 {
        let operations = telemetry.worker().operations("s");
        for outcome in [
            OutcomeLabel::Ok,
            OutcomeLabel::Ok,
            OutcomeLabel::SystemError,
        ] {
            operations.resolve(Some(b"GET")).record(outcome, TIME);
        }
    }
    let page = telemetry.render();
    let labels = r#"service="s",operation="GET""#;
    for line in [
        format!(r#"meltemi_operation_requests_total{{{labels},outcome="ok"}} 4"#),
        format!(r#"meltemi_operation_requests_total{{{labels},outcome="system_error"}} 2"#),
        format!(r#"meltemi_operation_duration_seconds_bucket{{{labels},le="0.000128"}} 6"#),
        format!(r#"meltemi_operation_duration_seconds_bucket{{{labels},le="+Inf"}} 6"#),
        format!("meltemi_operation_duration_seconds_sum{{{labels}}} 0.0006"),
        format!("meltemi_operation_duration_seconds_count{{{labels}}} 6"),
    ] {
        assert!(
            page.lines().any(|l| l == line),
            "no line\n{line}\nin\n{page}"
        );
    }
}

#[test]
fn what_cannot_be_a_label_is_other() {
    let telemetry = Telemetry::new();
    let operations = telemetry.worker().operations("s");
    let (fits, long) = ([b'v'; LONGEST], [b'v'; LONGEST + 1]);
    for value in [
        None,
        Some(&b""[..]),
        Some(b"\xff"),
        Some(&long),
        Some(b"other"),
        Some(&fits),
    ] {
        operations.resolve(value).record(OutcomeLabel::Ok, TIME);
    }
    let expected = [("other".to_owned(), 5), ("v".repeat(LONGEST), 1)];
    assert_eq!(counted(&telemetry, "s"), expected.into());
}

#[test]
fn operations_are_bounded_for_each_service() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker();
    let many = || (0..3 * MOST).map(|n| n.to_string());
    for _ in 0..2 {
        record(&worker, "one", many());
    }
    record(&worker, "two", ["a".to_owned()]);
    let counted_ = counted(&telemetry, "one");
    assert_eq!(
        counted_.values().sum::<u64>(),
        6 * MOST as u64,
        "all are counted"
    );
    assert_eq!(counted_.len(), MOST + 1);
    assert_eq!(counted_.get(OTHER), Some(&(4 * MOST as u64)));
    assert_eq!(counted(&telemetry, "two"), [("a".to_owned(), 1)].into());
}

#[test]
fn all_workers_have_the_same_operations() {
    let telemetry = Telemetry::new();
    let (first, second) = (telemetry.worker(), telemetry.worker());
    let name = |n: usize| n.to_string();
    record(&first, "s", (0..MOST).map(name));
    // The second worker meets them all for the first time, behind one that is too many.
    record(&second, "s", (0..=MOST).rev().map(name));
    let counted = counted(&telemetry, "s");
    assert_eq!(counted.get(OTHER), Some(&1));
    let labels: HashSet<_> = counted.keys().cloned().collect();
    let expected = (0..MOST).map(name).chain([OTHER.to_owned()]);
    assert_eq!(labels, expected.collect());
    assert!(counted.iter().all(|(label, n)| label == OTHER || *n == 2));
}

#[test]
fn a_new_configuration_goes_on_counting() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker();
    let before = worker.operations("s").resolve(Some(b"GET"));
    record(&worker, "s", ["GET".to_owned()]);
    // A request that was in flight when the configuration changed.
    before.record(OutcomeLabel::Ok, TIME);
    assert_eq!(counted(&telemetry, "s"), [("GET".to_owned(), 2)].into());
}
