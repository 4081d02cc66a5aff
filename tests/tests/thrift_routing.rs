//! Real clients under rules: by method, by service, by a header, by weight; and how their calls are counted.

use std::collections::BTreeMap;
use std::io::Write;

use meltemi_tests::thrift::wire::{
    Message, Scripted, connect, header_frame, number_field, read_frame,
};
use meltemi_tests::thrift::{Client, Form, HOST, Language, Peers, Proxied};
use meltemi_tests::{connect_from, until};
use serde_json::{Value, json};

use Language::{Java, Node, Python};

const REQUESTS: &str = "meltemi_requests_total";

fn route(name: &str, attributes: &str, subset: &str) -> String {
    format!(
        "- name: {name}\n  match: {{ attributes: {{ {attributes} }} }}\n  \
         route: [{{ destination: {{ host: {HOST}, subset: {subset} }} }}]\n"
    )
}

#[test]
fn the_method_chooses_the_server() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let v1 = peers.server(Python, "v1", &[form]);
    let v2 = peers.server(Node, "v2", &[form]);
    let routes = route("slow", "method: { exact: slow }", "v2")
        + &route(
            "echoes",
            "method: { prefix: echo }, type: { exact: call }",
            "v2",
        )
        + &route("rest", "method: { regex: '[a-z]+' }", "v1");
    let servers = [("v1", v1.port(form)), ("v2", v2.port(form))];
    let proxied = Proxied::with_routes(&servers, &routes);
    for language in Language::ALL {
        let mut client = peers.client(language);
        let calls = json!([["label"], ["slow", 1], ["label"], ["echoText", "x"]]);
        let answers = client.session(proxied.port(), form, &calls);
        let values = ["v1", "v2", "v1", "x"].map(|value| json!({ "value": value }));
        assert_eq!(answers, values, "{language}");
    }
    for (route, calls) in [("slow", 3), ("echoes", 3), ("rest", 6)] {
        proxied.counts(REQUESTS, &[&format!("route=\"{route}\"")], calls);
    }
}

/// An argument, in each encoding that is read for it.
#[test]
fn an_argument_chooses_the_server() {
    let Some(peers) = Peers::find() else { return };
    let mut client = peers.client(Python);
    let forms = [
        Form::of("framed", "binary"),
        Form::of("buffered", "compact"),
        Form::of("header", "binary"),
    ];
    let v1 = peers.server(Python, "v1", &forms);
    let v2 = peers.server(Python, "v2", &forms);
    for form in forms {
        let routes = route(
            "seven",
            "method: { exact: slow }, arg.1: { exact: '7' }",
            "v2",
        ) + &route("rest", "method: {}", "v1");
        let servers = [("v1", v1.port(form)), ("v2", v2.port(form))];
        let proxied = Proxied::with_routes(&servers, &routes);
        let calls = json!([["slow", 7], ["slow", 8], ["slow", 7], ["label"]]);
        let answers = client.session(proxied.port(), form, &calls);
        let values = ["v2", "v1", "v2", "v1"].map(|value| json!({ "value": value }));
        assert_eq!(answers, values, "{form}");
    }
}

/// Services of one server that have moved apart: the clients, and their one connection, do not notice.
#[test]
fn the_service_of_a_multiplexed_call_chooses_the_server() {
    let Some(peers) = Peers::find() else { return };
    let mut clients = Language::ALL.map(|language| (language, peers.client(language)));
    let forms = [
        Form::of("framed", "compact").multiplexed(),
        Form::of("buffered", "binary").multiplexed(),
        Form::of("framed", "json").multiplexed(),
    ];
    let v1 = peers.server(Node, "v1", &forms);
    let v2 = peers.server(Python, "v2", &forms);
    for form in forms {
        let routes = route("twin", "service: { exact: Twin }", "v2")
            + &route(
                "probe",
                "service: { exact: Probe }, method: { exact: label }",
                "v1",
            )
            + &route("rest", "service: { exact: Probe }", "v2");
        let servers = [("v1", v1.port(form)), ("v2", v2.port(form))];
        let proxied = Proxied::with_routes(&servers, &routes);
        for (language, client) in &mut clients {
            let calls = json!([["label"], ["slow", 1], ["label"]]);
            let answers = client.session(proxied.port(), form, &calls);
            let values = ["v1", "v2", "v1"].map(|value| json!({ "value": value }));
            assert_eq!(answers, values, "{language} {form}");
            let twin = json!({ "service": "Twin", "calls": [["label"], ["twice", "ab"]] });
            client.order(&twin);
            let values = ["v2-twin", "abab"].map(|value| json!({ "value": value }));
            assert_eq!(client.answers(), values, "{language} {form}");
        }
    }
}

fn shares(client: &mut Client, port: u16, calls: usize) -> BTreeMap<String, usize> {
    let labels = Value::from(vec![json!(["label"]); calls]);
    let mut shares = BTreeMap::new();
    for answer in client.session(port, Form::FRAMED_BINARY, &labels) {
        let label = answer["value"].as_str();
        let label = label.unwrap_or_else(|| panic!("an error: {answer}"));
        *shares.entry(label.to_owned()).or_default() += 1;
    }
    shares
}

/// Weights are of calls, not of connections: one client's calls are shared out, and a change needs no new connection.
#[test]
fn weights_share_out_the_calls_of_one_connection() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let v1 = peers.server(Java, "v1", &[form]);
    let v2 = peers.server(Python, "v2", &[form]);
    let servers = [("v1", v1.port(form)), ("v2", v2.port(form))];
    let proxied = Proxied::with_routes(&servers, "");
    proxied.manifests.split(HOST, &[("v1", 80), ("v2", 20)]);
    let mut client = peers.client(Node);
    let split = |route: &str| proxied.metric(REQUESTS, &[&format!("route=\"{route}\"")]);
    // The change is in force once a call takes the route that it names.
    until("the split is in force", || {
        shares(&mut client, proxied.port(), 1);
        (split("split") > 0).then_some(())
    });
    let counts = shares(&mut client, proxied.port(), 1_000);
    let v2_calls = counts.get("v2").copied().unwrap_or_default();
    assert!((120..=280).contains(&v2_calls), "{counts:?}");
    assert_eq!(counts.values().sum::<usize>(), 1_000);
}

/// A THeader key-value is an attribute.
#[test]
fn a_key_value_of_a_header_chooses_the_server() {
    let v1 = Scripted::start(|stream| echo_headers(stream, b"one"));
    let v2 = Scripted::start(|stream| echo_headers(stream, b"two"));
    let routes =
        route("canary", "lane: { exact: canary }", "v2") + &route("rest", "method: {}", "v1");
    let servers = [("v1", v1.port()), ("v2", v2.port())];
    let proxied = Proxied::with_routes(&servers, &routes);
    let mut stream = connect(proxied.address()).expect("meltemi listens");
    for (lane, wanted) in [(&b"canary"[..], &b"two"[..]), (b"stable", b"one")] {
        let call = Message::call("label", 7, vec![0]).bytes();
        let frame = header_frame(&[(b"lane", lane)], &call);
        stream.write_all(&frame).expect("the connection is open");
        let answer = read_frame(&mut stream).expect("an answer");
        let tail = answer
            .get(answer.len() - wanted.len() - 1..)
            .expect("an answer");
        assert_eq!(tail, [wanted, &[0]].concat(), "{lane:?}");
    }
}

fn echo_headers(mut stream: std::net::TcpStream, label: &[u8]) {
    while read_frame(&mut stream).is_ok() {
        let label = std::str::from_utf8(label).expect("text");
        let reply = Message::call("label", 7, Vec::new()).reply(label);
        let answer = header_frame(&[], &reply.bytes());
        stream.write_all(&answer).expect("meltemi reads");
    }
}

/// Without an IDL: a declared exception is the application's, a TApplicationException the server's fault.
#[test]
fn exceptions_are_counted_by_whose_they_are() {
    let Some(peers) = Peers::find() else { return };
    let mut client = peers.client(Java);
    for language in Language::ALL {
        let forms = [
            Form::of("framed", "binary"),
            Form::of("buffered", "compact"),
            Form::of("framed", "json"),
        ];
        let server = peers.server(language, "a", &forms);
        for form in forms {
            let proxied = Proxied::to(&[server.port(form)]);
            let calls = json!([
                ["label"],
                ["refuse", 1],
                ["nothing"],
                ["fail", "x"],
                ["refuse", 2],
                ["fire", "x"],
                ["label"],
            ]);
            let mut order = Client::connecting(proxied.port(), form, &calls);
            client.order(&order);
            client.answers();
            // The server's own word for a method that it does not have. Node's never writes the type.
            let (kind, ours, theirs) = if language == Node {
                (0, 0, 2)
            } else {
                (1, 1, 1)
            };
            order["newer"] = json!(true);
            order["calls"] = json!([["notYet"], ["label"]]);
            client.order(&order);
            let answers = client.answers();
            assert_eq!(
                answers[0]["application"]["type"], kind,
                "{language}: {answers:?}"
            );
            assert_eq!(answers[1]["value"], "a");
            for (outcome, count) in [
                ("ok", 5),
                ("application_error", 2),
                ("system_error", theirs),
                ("request_error", ours),
                ("local", 0),
            ] {
                let label = format!("outcome=\"{outcome}\"");
                proxied.counts(REQUESTS, &[&label], count);
            }
        }
    }
}

/// Needs no peer: a call that is written by hand, from an address that a WorkloadEntry has.
#[test]
fn alternatives_and_clients_choose_the_server() {
    let named = |label: &'static str| {
        Scripted::start(move |mut stream| {
            while let Ok(call) = Message::read(&mut stream) {
                if stream.write_all(&call.reply(label).framed()).is_err() {
                    return;
                }
            }
        })
    };
    let (v1, v2) = (named("v1"), named("v2"));
    let routes = format!(
        "- name: v2\n  matches:\n  - attributes: {{ method: {{ contains: DER, ignoreCase: true }} }}\n  \
         - attributes: {{ method: {{ prefix: get }}, arg.1: {{ range: {{ start: 5, end: 10 }} }} }}\n  \
         - source: {{ labels: {{ app: batch }} }}\n    \
           attributes: {{ method: {{ suffix: Late, invert: true }} }}\n  \
         route: [{{ destination: {{ host: {HOST}, subset: v2 }} }}]\n\
         - name: rest\n  route: [{{ destination: {{ host: {HOST}, subset: v1 }} }}]\n"
    );
    let proxied = Proxied::with_routes(&[("v1", v1.port()), ("v2", v2.port())], &routes);
    proxied.manifests.write(
        "batch.yaml",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: { name: batch }\n\
         spec: { address: 127.0.0.9, labels: { app: batch } }\n",
    );
    let ask = |stream: &mut std::net::TcpStream, method: &str, argument: i32| {
        let call = Message::call(method, 1, number_field(1, argument));
        stream.write_all(&call.framed()).expect("meltemi reads");
        let reply = Message::read(stream).expect("a reply");
        reply.text(0).expect("a text").to_owned()
    };
    let from = |source: &str| {
        let source = source.parse().expect("an address");
        connect_from(source, proxied.address()).expect("meltemi listens")
    };
    let mut batch = from("127.0.0.9");
    until("the batch is known", || {
        (ask(&mut batch, "run", 0) == "v2").then_some(())
    });
    let mut other = from("127.0.0.10");
    for (method, argument, [of_batch, of_other]) in [
        ("run", 0, ["v2", "v1"]),
        ("runLate", 0, ["v1", "v1"]),
        ("orderLate", 0, ["v2", "v2"]),
        ("getLate", 5, ["v2", "v2"]),
        ("getLate", 10, ["v1", "v1"]),
        ("putLate", 5, ["v1", "v1"]),
    ] {
        let asked = format!("{method}({argument})");
        assert_eq!(
            ask(&mut batch, method, argument),
            of_batch,
            "{asked} of the batch"
        );
        assert_eq!(
            ask(&mut other, method, argument),
            of_other,
            "{asked} of another"
        );
    }
}
