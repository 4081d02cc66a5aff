//! Delays and errors on purpose, of a MetaRouter's routes, before real peers.

use std::time::{Duration, Instant};

use meltemi_tests::redis::{self, Server, Wire, encode};
use meltemi_tests::thrift::{Form, Language, Peers, Proxied};
use meltemi_tests::{Manifests, Meltemi};
use serde_json::{Value, json};

struct Cache {
    _server: Server,
    _manifests: Manifests,
    meltemi: Meltemi,
}

/// The rules of a MetaRouter for `cache.demo`.
fn cache(routes: &str) -> Option<Cache> {
    if !Server::is_installed() {
        return None;
    }
    let server = Server::start(&[]);
    let manifests = redis::manifests(&[server.address()]);
    let router = "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata:\n  name: shop\nspec:\n  \
                  hosts: [cache.demo]\n  gateways: [edge]\n  routes:\n";
    manifests.write("routes.yaml", &format!("{router}{routes}"));
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
    Some(Cache {
        _server: server,
        _manifests: manifests,
        meltemi,
    })
}

impl Cache {
    fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address("default/edge/redis"))
    }
}

#[test]
fn a_route_delays_and_answers_with_errors() {
    let routes = "  \
        - match: { attributes: { command: { exact: set } } }\n    \
          fault: { abort: { percentage: { value: 100 }, status: overloaded } }\n  \
        - match: { attributes: { key: { exact: slow } } }\n    \
          fault: { delay: { percentage: { value: 100 }, fixedDelay: 300ms } }\n  \
        - match: { attributes: { key: { exact: both } } }\n    \
          fault:\n      delay: { percentage: { value: 100 }, fixedDelay: 300ms }\n      \
          abort: { percentage: { value: 100 } }\n  \
        - match: { attributes: { key: { exact: never } } }\n    \
          fault: { abort: { percentage: { value: 0 } } }\n  \
        - name: rest\n";
    let Some(it) = cache(routes) else { return };
    let mut client = it.connect();
    assert_eq!(client.call("SET a 1"), "-ERR proxy: fault injected");
    let timed = |client: &mut Wire, command: &str| {
        let start = Instant::now();
        (client.call(command), start.elapsed())
    };
    let (reply, time) = timed(&mut client, "GET slow");
    assert_eq!(reply, "(nil)");
    assert!(time >= Duration::from_millis(300), "{time:?}");
    let (reply, time) = timed(&mut client, "GET both");
    assert_eq!(reply, "-ERR proxy: fault injected");
    assert!(time >= Duration::from_millis(300), "{time:?}");
    assert_eq!(client.call("GET never"), "(nil)");
    // Nothing overtakes what is delayed.
    let commands: Vec<_> = ["slow", "a"]
        .iter()
        .flat_map(|key| encode(&[b"GET", key.as_bytes()]))
        .collect();
    client.send(&commands);
    assert_eq!([client.reply(), client.reply()], ["(nil)", "(nil)"]);

    let page = it.meltemi.get("/metrics").expect("the metrics").body;
    let injected =
        |line: &&str| line.starts_with("meltemi_requests_total") && line.contains("flag=\"FI\"");
    let counts = page.lines().filter(injected);
    let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    assert_eq!(counts.sum::<u64>(), 2, "{page}");
}

#[test]
fn a_share_of_the_requests_has_it() {
    let routes = "  - fault: { abort: { percentage: { value: 25 } } }\n";
    let Some(it) = cache(routes) else { return };
    let mut client = it.connect();
    client.send(&encode(&[b"GET", b"a"]).repeat(4000));
    let replies: Vec<_> = (0..4000).map(|_| client.reply()).collect();
    let failed = replies
        .iter()
        .filter(|it| *it == "-ERR proxy: fault injected")
        .count();
    // Of 1,000 expected the standard deviation is 27.
    assert!((800..=1200).contains(&failed), "{failed} of 4000");
    assert!(replies.iter().filter(|it| *it == "(nil)").count() == 4000 - failed);
}

/// A transaction's connection would wait for what was not sent.
#[test]
fn a_transaction_has_no_faults() {
    let routes = "  - match: { attributes: { command: { exact: set } } }\n    \
                  fault: { abort: { percentage: { value: 100 }, status: upstream-reset } }\n  - name: rest\n";
    let Some(it) = cache(routes) else { return };
    let mut client = it.connect();
    for (command, reply) in [
        ("MULTI", "+OK"),
        ("GET a", "+QUEUED"),
        ("SET a 1", "+QUEUED"),
        ("EXEC", "[(nil) +OK]"),
        ("GET a", "1"),
    ] {
        assert_eq!(client.call(command), reply, "{command}");
    }
    assert!(client.call("SET a 2").starts_with('-'));
}

#[test]
fn thrift_clients_read_an_exception() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let server = peers.server(Language::Python, "v1", &[form]);
    let route = |name: &str, attributes: &str, fault: &str| {
        format!(
            "- name: {name}\n  match: {{ attributes: {{ {attributes} }} }}\n  fault: {fault}\n  \
             route: [{{ destination: {{ host: probe.test }} }}]\n"
        )
    };
    let always = "percentage: { value: 100 }";
    let routes = route(
        "broken",
        "method: { exact: echoText }",
        &format!("{{ abort: {{ {always}, status: denied }} }}"),
    ) + &route(
        "late",
        "method: { exact: label }",
        &format!("{{ delay: {{ {always}, fixedDelay: 200ms }} }}"),
    );
    let proxied = Proxied::with_routes(&[("v1", server.port(form))], &routes);
    for language in Language::ALL {
        let mut client = peers.client(language);
        let start = Instant::now();
        let calls = json!([["echoText", "x"], ["label"], ["echoText", "x"]]);
        let answers = client.session(proxied.port(), form, &calls);
        assert!(start.elapsed() >= Duration::from_millis(200), "{language}");
        assert_eq!(answers[1], json!({ "value": "v1" }), "{language}");
        for answer in [&answers[0], &answers[2]] {
            let told: &Value = &answer["application"]["message"];
            let told = told.as_str().unwrap_or_default();
            assert!(told.contains("fault injected"), "{language}: {answer}");
        }
    }
}
