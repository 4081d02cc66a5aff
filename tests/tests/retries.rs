//! What a route's `retries` and `timeout` do for clients of Apache's Thrift: a server that dies or freezes costs a
//! caller whose calls may be repeated nothing, and everybody else what the rule allows.

use meltemi_tests::thrift::{Client, Form, HOST, Language, Peers, Proxied, Server};
use serde_json::{Value, json};

use Language::{Node, Python};

const FORM: Form = Form::of("framed", "binary");

/// One route to both versions, with these lines in it.
fn routes(policy: &str) -> String {
    let mut routes = format!("- name: all\n  route: [{{ destination: {{ host: {HOST} }} }}]\n");
    for line in policy.lines() {
        routes.push_str(&format!("  {line}\n"));
    }
    routes
}

fn before(servers: &[&Server], policy: &str) -> Proxied {
    let servers: Vec<_> = servers.iter().map(|it| ("v1", it.port(FORM))).collect();
    Proxied::with_routes(&servers, &routes(policy))
}

fn calls(method: &str, count: usize) -> Value {
    Value::from(vec![json!([method]); count])
}

#[test]
fn a_server_that_dies_under_load_costs_a_caller_nothing_that_may_repeat_its_calls() {
    let Some(peers) = Peers::find() else { return };
    let (mut a, mut b) = (
        peers.server(Python, "a", &[FORM]),
        peers.server(Python, "b", &[FORM]),
    );
    let policy = "idempotent: true\nretries: { attempts: 3, retryOn: \"connect-failure,reset-before-bytes\" }\n";
    let proxied = before(&[&a, &b], policy);
    let mut clients: Vec<_> = (0..6).map(|_| peers.client(Node)).collect();
    // Each client has a call on its way at all times, so that some are at the server that dies.
    let mut calls = vec![json!(["slow", 20]); 100];
    calls.push(json!(["label"]));
    let order = Client::connecting(proxied.port(), FORM, &Value::from(calls));
    for client in &mut clients {
        client.order(&order);
    }
    a.has_begun();
    b.has_begun();
    a.crash();
    for client in &mut clients {
        let answers = client.answers();
        assert_eq!(answers.len(), 101);
        let failed: Vec<_> = answers.iter().filter(|it| it["value"].is_null()).collect();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(answers[100]["value"], "b");
    }
}

#[test]
fn a_server_that_is_frozen_costs_its_share_of_the_time_and_no_error() {
    let Some(peers) = Peers::find() else { return };
    let (a, b) = (
        peers.server(Python, "a", &[FORM]),
        peers.server(Python, "b", &[FORM]),
    );
    let policy = "idempotent: true\ntimeout: 20s\nretries: { attempts: 2, perTryTimeout: 100ms, retryOn: timeout }\n";
    let proxied = before(&[&a, &b], policy);
    a.freeze();
    let mut client = peers.client(Python);
    let answers = client.session(proxied.port(), FORM, &calls("label", 20));
    for answer in &answers {
        assert_eq!(answer["value"], "b", "{answers:?}");
    }
    assert!(proxied.metric("meltemi_retries_total", &[]) > 0);
}

#[test]
fn a_server_that_is_frozen_keeps_nobody_waiting_where_calls_are_hedged() {
    let Some(peers) = Peers::find() else { return };
    let (a, b) = (
        peers.server(Python, "a", &[FORM]),
        peers.server(Python, "b", &[FORM]),
    );
    let proxied = before(&[&a, &b], "idempotent: true\nhedge: { delay: 30ms }\n");
    a.freeze();
    let mut client = peers.client(Python);
    let answers = client.session(proxied.port(), FORM, &calls("label", 20));
    for answer in &answers {
        assert_eq!(answer["value"], "b", "{answers:?}");
    }
    a.thaw();
    // The late answers belong to nobody, and the next calls get their own.
    let answers = client.calls(&calls("label", 20));
    for answer in &answers {
        assert!(
            ["a", "b"].map(Value::from).contains(&answer["value"]),
            "{answers:?}"
        );
    }
}

#[test]
fn what_may_have_been_executed_is_not_repeated_and_the_timeout_is_told() {
    let Some(peers) = Peers::find() else { return };
    let server = peers.server(Python, "a", &[FORM]);
    let policy =
        "timeout: 150ms\nretries: { attempts: 2, retryOn: \"timeout,reset-before-bytes\" }\n";
    let proxied = before(&[&server], policy);
    let mut client = peers.client(Python);
    assert_eq!(
        client.session(proxied.port(), FORM, &calls("label", 1))[0]["value"],
        "a"
    );
    server.freeze();
    let answers = client.calls(&calls("label", 1));
    let told = answers[0]["application"]["message"].as_str();
    assert!(
        told.is_some_and(|told| told.contains("within the deadline")),
        "{answers:?}"
    );
    assert_eq!(proxied.metric("meltemi_retries_total", &[]), 0);
    server.thaw();
}
