//! What the admin pages tell of operations and keys, over real sockets and several workers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::json;

use super::harness::{Running, any_port, snapshot, upstream};
use crate::config::Service;

const LISTENER: &str = "default/edge/cache";
const SERVICE: &str = "default/echo";

/// Answers each line.
fn answer(stream: TcpStream) {
    let mut writer = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines() {
        if line.is_err() || writer.write_all(b"+ok\n").is_err() {
            return;
        }
    }
}

#[track_caller]
fn call(client: &mut TcpStream, request: &str) {
    writeln!(client, "{request}").unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+ok\n");
}

#[test]
fn operations_and_hot_keys_are_added_up_over_workers() {
    let mut first = snapshot("v1", &[(LISTENER, any_port())], &[upstream(answer)]);
    let service = first.services.get_mut(SERVICE).unwrap();
    *service = Arc::new(Service {
        protocol: Some("sample-in-order".into()),
        operation_metrics: true,
        ..Service::clone(service)
    });
    let proxy = Running::start(first);
    proxy.ready();
    // Each on a worker of its own.
    let mut clients = [proxy.client(LISTENER).0, proxy.client(LISTENER).0];
    for client in &mut clients {
        for _ in 0..3 {
            call(client, "GET hot");
        }
        call(client, "SET warm");
    }
    let workers = proxy.json("/clusters")["workers"].clone();
    let spread = workers
        .as_array()
        .unwrap()
        .iter()
        .all(|w| w["clients"] == 1);
    assert!(spread, "{workers}");

    let labels = format!(r#"service="{SERVICE}",operation="GET""#);
    let gets = format!(r#"meltemi_operation_requests_total{{{labels},outcome="ok"}}"#);
    assert_eq!(proxy.metric(&gets), Some(6.0));
    let timed = format!("meltemi_operation_duration_seconds_count{{{labels}}}");
    assert_eq!(proxy.metric(&timed), Some(6.0));

    let key = |key: &str, requests: u64, share: f64| {
        json!({
            "key": key, "encoding": "utf8", "cut": false,
            "requests": requests, "share": share, "error": 0,
        })
    };
    let expected = json!({
        "requests": 8,
        "keys": [key("hot", 6, 0.75), key("warm", 2, 0.25)],
    });
    assert_eq!(
        proxy.json("/hot_keys"),
        json!({ "services": { SERVICE: expected } })
    );
    assert_eq!(proxy.ask("POST", "/hot_keys"), (405, "use GET\n".into()));
}

#[test]
fn a_service_without_keys_is_on_no_page_of_them() {
    let proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &[]));
    proxy.ready();
    assert_eq!(proxy.json("/hot_keys"), json!({ "services": {} }));
}
