//! Each client against each server, in each transport and protocol that both have: through Meltemi a client sees
//! exactly what it sees directly.

use std::fmt::Write;

use meltemi_tests::thrift::{Form, Language, Peers, Proxied, Server};
use serde_json::{Value, json};

/// Calls that have their argument for an answer, but where a library is at fault.
fn echoes() -> Value {
    json!([
        ["echoText", "Grüße, \"κόσμε\" \\ 🌬"],
        ["echoText", ""],
        ["echoNumber", -2_147_483_648_i64],
        ["echoRatio", 0.1],
        ["echoRecord", {
            "text": "t", "number": 7, "ratio": -2.25, "words": ["a", ""], "counts": { "x": -1 }, "flags": [true],
        }],
        ["echoWords", ["a", "b", "c"]],
        ["echoWords", []],
        ["echoCounts", { "one": 1, "two": 2 }],
        ["echoFlags", [true, false, true]],
    ])
}

fn calls() -> Value {
    let mut calls = echoes();
    let more = json!([
        ["label"],
        ["nothing"],
        ["measure", "y".repeat(20_000)],
        ["produce", 20_000],
        ["refuse", 42],
        ["fail", "because"],
        ["fire", "token"],
        ["label"],
    ]);
    let more = more.as_array().expect("a list").clone();
    calls.as_array_mut().expect("a list").extend(more);
    calls
}

/// npm's compact protocol takes each element of a list<bool> that is not zero for true, and true is 1, false 2.
fn is_spoilt(method: &Value, form: Form, peers: [Language; 2]) -> bool {
    let booleans = method == "echoFlags" || method == "echoRecord";
    booleans && form.protocol == "compact" && peers.contains(&Language::Node)
}

/// That what a client sees directly is what the peers were asked for; then the same holds through Meltemi.
fn assert_right(answers: &[Value], form: Form, client: Language, server: Language) {
    let echoes = echoes();
    let echoes = echoes.as_array().expect("a list");
    let (echoed, others) = answers.split_at(echoes.len());
    for (call, answer) in echoes.iter().zip(echoed) {
        if !is_spoilt(&call[0], form, [client, server]) {
            assert_eq!(
                answer["value"], call[1],
                "{client} {server} {form}: {answer}"
            );
        }
    }
    let label = server.to_string();
    assert_eq!(others[0], json!({ "value": label }), "{form}");
    assert_eq!(others[1], json!({ "value": null }), "{form}");
    assert_eq!(others[2], json!({ "value": 20_000 }), "{form}");
    assert_eq!(others[3], json!({ "value": "x".repeat(20_000) }), "{form}");
    let refused = json!({ "refused": { "code": 42, "why": format!("{label} refuses") } });
    assert_eq!(others[4], refused, "{form}");
    // Node's servers say the message, and never a type: 0 is unknown. The others keep it to themselves.
    let kind = if server == Language::Node { 0 } else { 6 };
    assert_eq!(others[5]["application"]["type"], kind, "{form}");
    assert_eq!(others[6], json!({ "value": null }), "{form}");
    // A oneway call was not answered: the next one's answer is its own.
    assert_eq!(others[7], json!({ "value": label }), "{form}");
}

/// One port for all: a call goes to the port of the server that serves its form.
fn proxied(server: &Server, forms: &[Form]) -> Proxied {
    let mut routes = String::new();
    // A multiplexed call has a service; what has none goes to the others.
    let (multiplexed, plain): (Vec<&Form>, Vec<&Form>) =
        forms.iter().partition(|form| form.multiplexed);
    for form in multiplexed.into_iter().chain(plain) {
        let service = match form.multiplexed {
            true => ", service: { exact: Probe }",
            false => "",
        };
        let _ = write!(
            routes,
            "- name: {name}\n  match:\n    attributes: {{ transport: {{ exact: {} }}, protocol: {{ exact: {} }}{service} }}\n  \
             route: [{{ destination: {{ host: probe.test, subset: {name} }} }}]\n",
            form.transport,
            form.protocol,
            name = form.name(),
        );
    }
    let names: Vec<_> = forms.iter().map(|form| form.name()).collect();
    let ports = forms.iter().map(|form| server.port(*form));
    let servers: Vec<_> = names.iter().map(String::as_str).zip(ports).collect();
    Proxied::with_routes(&servers, &routes)
}

fn each_client_sees_what_it_sees_directly(language: Language) {
    let Some(peers) = Peers::find() else { return };
    let forms = Form::served(language);
    let mut clients = Language::ALL.map(|language| (language, peers.client(language)));
    let server = peers.server(language, &language.to_string(), &forms);
    let proxied = proxied(&server, &forms);
    let calls = calls();
    let (mut sessions, mut oneways) = (0, 0);
    for (name, client) in &mut clients {
        for form in forms.iter().filter(|form| form.joins(*name, language)) {
            let direct = client.session(server.port(*form), *form, &calls);
            assert_right(&direct, *form, *name, language);
            let through = client.session(proxied.port(), *form, &calls);
            assert_eq!(
                direct,
                through,
                "{name} to {language}, {form} (directly, through Meltemi)\n{}",
                proxied.meltemi.process().said()
            );
            // Each oneway call arrived, and arrived once.
            oneways += 2;
            let fired = client.calls(&json!([["fired", "token"]]));
            assert_eq!(fired, [json!({ "value": oneways })]);
            sessions += 1;
        }
    }
    assert!(sessions >= 36, "{sessions} sessions");
    let requests = "meltemi_requests_total";
    let made = u64::try_from(calls.as_array().expect("a list").len()).expect("a few");
    proxied.counts(requests, &[], sessions * (made + 1));
    proxied.counts(requests, &["outcome=\"application_error\""], sessions);
    proxied.counts(requests, &["outcome=\"system_error\""], sessions);
    proxied.counts(requests, &["outcome=\"local\""], 0);
}

#[test]
fn servers_in_python() {
    each_client_sees_what_it_sees_directly(Language::Python);
}

#[test]
fn servers_in_node() {
    each_client_sees_what_it_sees_directly(Language::Node);
}

#[test]
fn servers_in_java() {
    each_client_sees_what_it_sees_directly(Language::Java);
}
