//! What the admin pages tell of operations and keys, over real sockets and several workers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::fragile::{HANGING, HANGS};
use super::harness::{self, Running, any_port, snapshot, tcp_echo, upstream, wait};
use crate::config::Service;
use crate::engine::Settings;
use crate::proxy::ProxyOptions;

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
fn a_worker_that_hangs_is_seen_and_keeps_no_other_from_accepting() {
    const HANGS_AT: &str = "default/edge/hangs";
    let mut first = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    harness::add_fragile(&mut first, HANGS_AT);
    let proxy = Running::start(first);
    let address = proxy.address(LISTENER);
    let turn = |worker: usize| {
        let name = format!(r#"meltemi_worker_turn_seconds{{worker="{worker}"}}"#);
        proxy.metric(&name).unwrap()
    };

    let hanging = HANGS.lock().unwrap();
    let mut client = proxy.client(HANGS_AT).0;
    client.write_all(HANGING).unwrap();
    let mut stuck = None;
    wait("a turn that goes on", || {
        let lasts = |&worker: &usize| turn(worker) > 0.05;
        stuck = (0..2).find(lasts);
        stuck.is_some()
    });
    let stuck = stuck.unwrap();
    let before = turn(stuck);
    wait("more of it", || turn(stuck) > before);

    // It has one connection, so that the first of these is another's, and the second may be anybody's.
    let mut clients = [(); 2].map(|()| harness::Client(TcpStream::connect(address).unwrap()));
    clients[0].call(1, b"served meanwhile");
    let count = |worker: usize| {
        let name = format!(r#"meltemi_worker_connections{{worker="{worker}"}}"#);
        proxy.metric(&name).unwrap()
    };
    wait("all to be accepted", || count(0) + count(1) == 3.0);
    assert_eq!(turn(1 - stuck), 0.0, "the other one waits");

    drop(hanging);
    clients[1].call(1, b"served in the end");
    wait("the end of the turn", || turn(stuck) == 0.0);
    for worker in 0..2 {
        let name = format!(r#"meltemi_worker_cpu_seconds_total{{worker="{worker}"}}"#);
        assert!(proxy.metric(&name) > Some(0.0));
    }
}

#[test]
fn buffers_of_a_crowd_are_freed_when_it_has_gone() {
    let options = ProxyOptions {
        workers: 1.try_into().ok(),
        settings: Settings {
            spare: Duration::from_secs(2),
            ..Settings::default()
        },
        ..ProxyOptions::default()
    };
    let first = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    let proxy = Running::with(first, options);
    let worker = |what: &str| proxy.json("/clusters")["workers"][0][what].as_u64();
    let mut clients: Vec<_> = (0..40).map(|_| proxy.client(LISTENER)).collect();
    let (last, others) = clients.split_last_mut().unwrap();
    // All of them are answered at once, so that each has a buffer of its own.
    others.iter_mut().for_each(|client| client.send(1, b"hold"));
    wait("all requests", || worker("in_flight") == Some(39));
    last.call(2, b"hello");
    for client in others {
        assert_eq!(client.receive().0.id, 1);
    }
    assert!(worker("spare_buffers") > Some(8));
    wait("few to be left", || worker("spare_buffers") == Some(4));
}

#[test]
fn a_service_without_keys_is_on_no_page_of_them() {
    let proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &[]));
    proxy.ready();
    assert_eq!(proxy.json("/hot_keys"), json!({ "services": {} }));
}
