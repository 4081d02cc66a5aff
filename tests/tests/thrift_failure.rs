//! What a client is told when nobody serves it: a TApplicationException that its library raises, in its own transport
//! and protocol, on a connection that goes on.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};

use meltemi_tests::thrift::wire::{EXCEPTION, Message, connect, number_field, text_field};
use meltemi_tests::thrift::{Client, Form, HOST, Language, Peers, Proxied};
use meltemi_tests::until;
use serde_json::{Value, json};

use Language::{Java, Node, Python};

const UNKNOWN_METHOD: u64 = 1;
const INTERNAL_ERROR: u64 = 6;

/// A form of each encoding and transport, with what differs in multiplexing.
const FORMS: [Form; 9] = [
    Form::of("framed", "binary"),
    Form::of("framed", "binary").multiplexed(),
    Form::of("framed", "lax"),
    Form::of("framed", "compact").multiplexed(),
    Form::of("framed", "json"),
    Form::of("buffered", "binary"),
    Form::of("buffered", "compact"),
    Form::of("header", "binary"),
    Form::of("header", "compact"),
];

/// That an answer is a TApplicationException of this type whose message has these words.
fn assert_told(answer: &Value, kind: u64, words: &[&str], what: &str) {
    let told = &answer["application"];
    assert_eq!(told["type"], kind, "{what}: {answer}");
    let message = told["message"].as_str().unwrap_or_default();
    for word in words {
        assert!(message.contains(word), "{what}: no {word:?} in {message:?}");
    }
}

/// Each client in each form that it has.
fn each(peers: &Peers, mut test: impl FnMut(&mut Client, Form, &str)) {
    for language in Language::ALL {
        let mut client = peers.client(language);
        for form in FORMS.iter().filter(|form| form.is_spoken_by(language)) {
            test(&mut client, *form, &format!("{language}, {form}"));
        }
    }
}

/// A port of loopback where nobody listens.
fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    listener.local_addr().expect("a bound socket").port()
}

#[test]
fn without_a_route_the_method_is_unknown() {
    let Some(peers) = Peers::find() else { return };
    let mut clients = Language::ALL.map(|language| (language, peers.client(language)));
    let server = peers.server(Python, "a", &FORMS);
    for form in FORMS {
        let routes = format!(
            "- name: label\n  match: {{ attributes: {{ method: {{ exact: label }} }} }}\n  \
             route: [{{ destination: {{ host: {HOST}, subset: v1 }} }}]\n"
        );
        let proxied = Proxied::with_routes(&[("v1", server.port(form))], &routes);
        for (language, client) in clients.iter_mut().filter(|it| form.joins(it.0, Python)) {
            let calls = json!([
                ["label"],
                ["echoText", "x"],
                ["label"],
                ["fire", "x"],
                ["label"]
            ]);
            let answers = client.session(proxied.port(), form, &calls);
            let what = format!("{language}, {form}");
            for label in [0, 2, 4] {
                assert_eq!(answers[label]["value"], "a", "{what}: {answers:?}");
            }
            assert_told(
                &answers[1],
                UNKNOWN_METHOD,
                &["no route", "default/edge/thrift"],
                &what,
            );
        }
    }
}

#[test]
fn with_nobody_listening_every_call_is_answered() {
    let Some(peers) = Peers::find() else { return };
    let proxied = Proxied::to(&[closed_port()]);
    each(&peers, |client, form, what| {
        let calls = json!([["label"], ["echoText", "x"]]);
        for answer in client.session(proxied.port(), form, &calls) {
            assert_told(&answer, INTERNAL_ERROR, &[HOST], what);
        }
    });
}

#[test]
fn without_an_endpoint_every_call_is_answered() {
    let Some(peers) = Peers::find() else { return };
    let proxied = Proxied::to(&[]);
    each(&peers, |client, form, what| {
        let calls = json!([["label"], ["echoText", "x"]]);
        for answer in client.session(proxied.port(), form, &calls) {
            assert_told(&answer, INTERNAL_ERROR, &[HOST], what);
        }
    });
}

/// The call in flight fails at once; the next one, on the same connection, goes to whoever is there then.
#[test]
fn a_server_that_is_killed_in_a_call_costs_that_call() {
    let Some(peers) = Peers::find() else { return };
    let mut clients = Language::ALL.map(|language| (language, peers.client(language)));
    for (server, form) in [
        (Python, Form::of("framed", "binary")),
        (Node, Form::of("buffered", "compact")),
        (Java, Form::of("framed", "json")),
    ] {
        for (language, client) in &mut clients {
            let mut killed = peers.server(server, "killed", &[form]);
            let port = killed.port(form);
            let proxied = Proxied::to(&[port]);
            let calls = json!([["label"], ["slow", 60_000]]);
            client.order(&Client::connecting(proxied.port(), form, &calls));
            killed.has_begun();
            killed.crash();
            let answers = client.answers();
            let what = format!("{language} to {server}, {form}");
            assert_eq!(answers[0]["value"], "killed");
            assert_told(&answers[1], INTERNAL_ERROR, &[HOST], &what);
            let _next = peers.server_at(server, "next", &[form], port);
            let label = until("the next server answers", || {
                let answers = client.calls(&json!([["label"]]));
                assert!(answers[0].get("error").is_none(), "{what}: {answers:?}");
                answers[0].get("value").cloned()
            });
            assert_eq!(label, "next", "{what}");
        }
    }
}

/// What is behind it in the pipeline fails with it, each call with an answer of its own, in order.
#[test]
fn a_killed_server_owes_an_answer_to_each_call_in_flight() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let mut killed = peers.server(Java, "killed", &[form]);
    let proxied = Proxied::to(&[killed.port(form)]);
    let mut stream = connect(proxied.address()).expect("meltemi listens");
    let mut calls = Message::call("slow", 70, number_field(1, 60_000)).framed();
    for seq in 71..80 {
        calls.extend(Message::call("echoText", seq, text_field(1, "x")).framed());
    }
    stream.write_all(&calls).expect("the connection is open");
    killed.has_begun();
    killed.crash();
    for seq in 70..80 {
        let answer = Message::read(&mut stream).expect("an answer");
        let name = if seq == 70 { "slow" } else { "echoText" };
        assert_eq!((answer.kind, answer.seq), (EXCEPTION, seq));
        assert_eq!(answer.name, name);
        let (kind, message) = answer.exception().expect("an exception");
        assert!(kind == 6 && message.contains(HOST), "{kind} {message}");
    }
}

/// One of two is killed: of the calls after it none fails but those that it had.
#[test]
fn the_other_server_takes_over() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let a = peers.server(Node, "a", &[form]);
    let b = peers.server(Python, "b", &[form]);
    let proxied = Proxied::to(&[a.port(form), b.port(form)]);
    let mut client = peers.client(Java);
    let labels = Value::from(vec![json!(["label"]); 50]);
    until("both answer", || {
        let answers = client.session(proxied.port(), form, &labels);
        let of = |label| answers.iter().any(|answer| answer["value"] == label);
        (of("a") && of("b")).then_some(())
    });
    a.crash();
    let answers = client.calls(&Value::from(vec![json!(["label"]); 500]));
    let failed = answers
        .iter()
        .filter(|answer| answer["value"] != "b")
        .count();
    // An idle connection whose end was not yet seen may take a call with it.
    assert!(failed <= 2, "{failed} of {}", answers.len());
}

#[test]
fn a_server_that_dies_under_load_costs_a_caller_nothing_that_may_repeat_its_calls() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let (mut a, mut b) = (
        peers.server(Python, "a", &[form]),
        peers.server(Python, "b", &[form]),
    );
    let routes = format!(
        "- route: [{{ destination: {{ host: {HOST} }} }}]\n  idempotent: true\n  \
         retries: {{ attempts: 3, retryOn: \"connect-failure,reset-before-bytes\" }}\n"
    );
    let servers = [("v1", a.port(form)), ("v1", b.port(form))];
    let proxied = Proxied::with_routes(&servers, &routes);
    let mut clients: Vec<_> = (0..6).map(|_| peers.client(Node)).collect();
    // Each client has a call on its way at all times, so that some are at the server that dies.
    let mut calls = vec![json!(["slow", 20]); 100];
    calls.push(json!(["label"]));
    let order = Client::connecting(proxied.port(), form, &Value::from(calls));
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

/// SIGTERM with a call in flight: it is answered.
#[test]
fn a_proxy_that_leaves_lets_calls_finish() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let mut server = peers.server(Python, "a", &[form]);
    for language in Language::ALL {
        let mut proxied = Proxied::to(&[server.port(form)]);
        let mut client = peers.client(language);
        let calls = json!([["slow", 300]]);
        client.order(&Client::connecting(proxied.port(), form, &calls));
        server.has_begun();
        proxied.meltemi.process().signal("TERM");
        assert_eq!(client.answers(), [json!({ "value": "a" })], "{language}");
        drop(client);
        assert_eq!(proxied.meltemi.wait().code(), Some(0));
    }
}
