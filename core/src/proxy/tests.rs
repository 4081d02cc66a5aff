mod alike;
mod explain;
mod fragile;
mod harness;
mod moving;
mod proxied;
mod retries;
mod spread;
mod tunnels;
mod watched;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use meltemi_codec::kit::sample::by_id;

use super::*;
use crate::config::Bind;
use harness::{
    CLUSTER, Client, Running, any_port, dead, on_runtime, protocols, snapshot, tcp_echo, unix_echo,
    wait,
};

const LISTENER: &str = "default/edge/sample";

#[test]
fn a_request_is_answered_and_accounted_for() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = ProxyOptions {
        access_log: Destination::File(log.clone()),
        ..ProxyOptions::default()
    };
    let upstream = tcp_echo();
    let first = snapshot(
        "v1",
        &[(LISTENER, any_port())],
        std::slice::from_ref(&upstream),
    );
    let mut proxy = Running::with(first, options);
    proxy.ready();
    let mut client = proxy.client(LISTENER);
    client.call(7, b"hello");

    let labels = format!(r#"service="default/echo",route="all",destination="{CLUSTER}""#);
    let requests = format!(r#"meltemi_requests_total{{{labels},outcome="ok""#);
    assert_eq!(proxy.metric(&requests), Some(1.0));
    let open = r#"meltemi_downstream_connections{service="default/echo"}"#;
    assert_eq!(proxy.metric(open), Some(1.0));
    let upstreams = format!(r#"meltemi_upstream_connections{{cluster="{CLUSTER}"}}"#);
    assert_eq!(proxy.metric(&upstreams), Some(1.0));

    let clusters = proxy.json("/clusters");
    let endpoint = &clusters["clusters"][CLUSTER]["endpoints"][0];
    assert_eq!(endpoint["address"], upstream.to_string());
    assert_eq!(endpoint["tier"], 0);
    assert_eq!(endpoint["connections"], 1);
    assert_eq!(endpoint["active"], 0);
    assert_eq!(endpoint["ejected"], false);

    drop(client);
    wait("the client's end", || proxy.metric(open) == Some(0.0));
    proxy.stop();
    proxy.join().unwrap();
    let line: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!(line["route"], "all");
    assert_eq!(line["endpoint"], upstream.to_string());
    assert_eq!(line["outcome"], "ok");
}

#[test]
fn unix_sockets_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("proxy.sock");
    // What a process that was killed leaves behind is not in the way.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let upstream = unix_echo(&directory.path().join("upstream.sock"));
    let mut proxy = Running::start(snapshot(
        "v1",
        &[(LISTENER, Bind::Unix(path.clone()))],
        &[upstream],
    ));
    proxy.ready();
    Client::unix(&path).call(1, b"hello");
    proxy.stop();
    proxy.join().unwrap();
    assert!(!path.exists(), "the socket goes with its listener");
}

#[test]
fn every_client_gets_its_own_answers() {
    let upstreams = [tcp_echo(), tcp_echo()];
    let proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &upstreams));
    let address = proxy.address(LISTENER);
    let clients: Vec<_> = (0..16_u64)
        .map(|number| {
            thread::spawn(move || {
                let mut client = Client(TcpStream::connect(address).unwrap());
                for round in 0..50_u64 {
                    let ids = (0..8).map(|n| round * 8 + n);
                    let body = |id: u64| format!("client {number} request {id}").into_bytes();
                    ids.clone().for_each(|id| client.send(id, &body(id)));
                    let mut answered: Vec<u64> = ids
                        .clone()
                        .map(|_| {
                            let (header, answer) = client.receive();
                            assert_eq!(answer, body(header.id));
                            header.id
                        })
                        .collect();
                    answered.sort_unstable();
                    assert!(answered.into_iter().eq(ids));
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let workers = proxy.json("/clusters")["workers"].clone();
    assert_eq!(workers.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_message_larger_than_any_buffer_passes_in_both_directions() {
    let proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]));
    let mut client = proxy.client(LISTENER);
    let body: Vec<u8> = (0..6_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut sender = Client(client.0.try_clone().unwrap());
    let sent = body.clone();
    let sending = thread::spawn(move || sender.send(1, &sent));
    let (header, answer) = client.receive();
    sending.join().unwrap();
    assert_eq!(header.id, 1);
    assert!(answer == body);
    client.call(2, b"and the connection goes on");
}

#[test]
fn a_client_that_sends_no_more_and_reads_slowly_gets_all_of_its_answer() {
    let proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]));
    let mut client = proxy.client(LISTENER);
    // The answer is more than the sockets hold, so that the proxy waits for room.
    let socket = socket2::SockRef::from(&client.0);
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let body = vec![0x5a; 7 << 20];
    client.send(1, &body);
    client.0.shutdown(std::net::Shutdown::Write).unwrap();
    thread::sleep(Duration::from_millis(500));
    let (header, answer) = client.receive();
    assert_eq!(header.id, 1);
    assert!(answer == body);
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_passed_over_and_ejected() {
    let (dead, alive) = (dead(), tcp_echo());
    let endpoints = [dead.clone(), alive];
    let proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &endpoints));
    let mut client = proxy.client(LISTENER);
    for id in 0..10 {
        client.call(id, b"hello");
    }
    wait("the ejection", || {
        let clusters = proxy.json("/clusters");
        let endpoints = clusters["clusters"][CLUSTER]["endpoints"]
            .as_array()
            .unwrap()
            .clone();
        let ejected = endpoints.iter().filter(|e| e["ejected"] == true);
        ejected
            .map(|e| e["address"].as_str().unwrap())
            .eq([dead.to_string().as_str()])
    });
    let ejected = format!(r#"meltemi_upstream_ejected_endpoints{{cluster="{CLUSTER}"}}"#);
    assert_eq!(proxy.metric(&ejected), Some(1.0));
    let ejections = format!(r#"meltemi_upstream_ejections_total{{cluster="{CLUSTER}"}}"#);
    assert_eq!(
        proxy.metric(&ejections),
        Some(1.0),
        "once, not once for each worker"
    );
    let failures = format!(r#"meltemi_upstream_connect_failures_total{{cluster="{CLUSTER}"}}"#);
    assert!(proxy.metric(&failures) >= Some(1.0));
}

const EJECTED: &str = "meltemi_upstream_ejected_endpoints{";

#[test]
fn an_endpoint_that_answers_with_errors_of_its_system_is_ejected() {
    let first = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    let proxy = Running::start(first);
    let mut client = proxy.client(LISTENER);
    client.call(1, b"deny");
    client.call(2, b"hello");
    assert_eq!(proxy.metric(EJECTED), Some(0.0));
    client.call(3, b"fail");
    wait("the ejection", || proxy.metric(EJECTED) == Some(1.0));
}

#[test]
fn an_endpoint_that_does_not_answer_in_time_is_ejected() {
    let mut first = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    let routes = Arc::make_mut(first.routes.get_mut("echo-routes").unwrap());
    Arc::make_mut(&mut routes.routes[0]).timeout = Some(Duration::from_millis(20));
    let proxy = Running::start(first);
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hold");
    assert_eq!(client.receive().0.id, 1);
    wait("the ejection", || proxy.metric(EJECTED) == Some(1.0));
}

#[test]
fn a_client_that_sends_no_more_is_not_waited_for_without_end() {
    let options = ProxyOptions {
        settings: Settings {
            stall: Duration::from_millis(50),
            ..Settings::default()
        },
        ..ProxyOptions::default()
    };
    let first = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    let proxy = Running::with(first, options);
    for ending in [&b""[..], b"not of the protocol"] {
        let mut client = proxy.client(LISTENER);
        client.send(1, b"hold");
        client.0.write_all(ending).unwrap();
        if ending.is_empty() {
            client.0.shutdown(std::net::Shutdown::Write).unwrap();
        }
        assert_eq!(client.0.read(&mut [0; 64]).unwrap_or(0), 0, "closed");
        let active = r#"meltemi_requests_in_flight{service="default/echo"}"#;
        wait("the request's end", || proxy.metric(active) == Some(0.0));
    }
}

#[test]
fn an_endpoint_that_ends_in_the_middle_of_an_answer_is_ejected() {
    let upstream = harness::upstream(|mut stream| {
        let mut head = [0; 4096];
        let _ = stream.read(&mut head);
        let answer = by_id::response(0, 0, 0, &vec![b'.'; 1 << 20]);
        // The id of the request that the answer's head is for.
        let mut answer = answer[..600_000].to_vec();
        answer[4..12].copy_from_slice(&head[4..12]);
        let _ = stream.write_all(&answer);
    });
    let first = snapshot("v1", &[(LISTENER, any_port())], &[upstream]);
    let proxy = Running::start(first);
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hello");
    drop(client.0.read_to_end(&mut Vec::new()));
    wait("the ejection", || proxy.metric(EJECTED) == Some(1.0));
}

#[test]
fn a_refused_request_is_logged_with_the_code_that_its_client_saw() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = ProxyOptions {
        access_log: Destination::File(log.clone()),
        ..ProxyOptions::default()
    };
    let first = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    let mut proxy = Running::with(first, options);
    let mut client = proxy.client(LISTENER);
    let mut request = by_id::request(1, "say", b"");
    // The length of a body that is over the limit.
    request[18..22].copy_from_slice(&(9_u32 << 20).to_be_bytes());
    client.0.write_all(&request).unwrap();
    let code = client.receive().0.detail;
    assert_ne!(code, 0);
    drop(client);
    proxy.stop();
    proxy.join().unwrap();
    let line: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!((&line["flag"], &line["code"]), (&"TL".into(), &code.into()));
}

#[test]
fn without_an_endpoint_the_client_is_told() {
    let proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &[dead()]));
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hello");
    let (header, _) = client.receive();
    assert_eq!(header.id, 1);
    assert_ne!(header.detail, 0);
}

#[test]
fn a_listener_that_stays_is_not_touched() {
    let upstream = tcp_echo();
    let both = [(LISTENER, any_port()), ("default/edge/other", any_port())];
    let proxy = Running::start(snapshot("v1", &both, std::slice::from_ref(&upstream)));
    let mut client = proxy.client(LISTENER);
    let mut other = proxy.client("default/edge/other");
    let (address, closing) = (proxy.address(LISTENER), proxy.address("default/edge/other"));
    other.call(1, b"hello");
    client.send(1, b"hold");
    let one = [(LISTENER, any_port())];
    proxy
        .snapshots
        .send_replace(snapshot("v2", &one, &[upstream]).into());
    wait("the listener's end", || {
        TcpStream::connect(closing).is_err()
    });
    assert_eq!(proxy.address(LISTENER), address);
    // The request that was in flight, and the connection, are as before.
    client.send(2, b"go on");
    assert_eq!(client.receive().0.id, 1);
    assert_eq!(client.receive().0.id, 2);
    assert_eq!(proxy.json("/config_dump")["version"], "v2");
    // The client of the listener that is gone is asked to leave, not cut off: it has no request.
    let mut rest = Vec::new();
    drop(other.0.set_read_timeout(Some(Duration::from_secs(10))));
    other.0.shutdown(std::net::Shutdown::Write).unwrap();
    other.0.read_to_end(&mut rest).unwrap();
}

#[test]
fn an_address_in_use_is_named_and_tried_again() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let upstream = tcp_echo();
    let one = [(LISTENER, any_port())];
    let proxy = Running::start(snapshot("v1", &one, std::slice::from_ref(&upstream)));
    let mut client = proxy.client(LISTENER);
    client.call(1, b"before");
    let two = [
        (LISTENER, any_port()),
        ("default/edge/taken", Bind::Tcp(address)),
    ];
    proxy
        .snapshots
        .send_replace(snapshot("v2", &two, &[upstream]).into());
    wait("the reason", || {
        let (status, reasons) = proxy.get("/ready");
        let named = format!("listener default/edge/taken: cannot listen on {address}: ");
        status == 503 && reasons.contains(&named)
    });
    client.call(2, b"after");
    drop(taken);
    proxy.ready();
    proxy.client("default/edge/taken").call(1, b"hello");
}

#[test]
fn a_first_load_with_an_address_in_use_ends_the_proxy() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let first = snapshot("v1", &[(LISTENER, Bind::Tcp(address))], &[]);
    let (_sender, snapshots) = watch::channel(Arc::new(first));
    let configuration = Configuration {
        snapshots,
        stats: Arc::default(),
        mismatches: watch::Sender::default(),
    };
    let options = ProxyOptions {
        admin: None,
        ..ProxyOptions::default()
    };
    let ended = on_runtime(run(options, protocols(), configuration, pending()));
    let error = ended.unwrap_err().to_string();
    let expected = format!("listener {LISTENER}: cannot listen on {address}: ");
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn a_drain_finishes_what_is_in_flight() {
    let mut proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]));
    let address = proxy.address(LISTENER);
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hold");
    let active = r#"meltemi_requests_in_flight{service="default/echo"}"#;
    wait("the request", || proxy.metric(active) == Some(1.0));
    assert_eq!(proxy.ask("POST", "/drain").0, 200);
    wait("the listener's end", || {
        TcpStream::connect(address).is_err()
    });
    assert_eq!(proxy.get("/ready"), (503, "draining\n".into()));
    client.send(2, b"go on");
    let mut answered = Vec::new();
    while answered.len() < 2 {
        let (header, _) = client.receive();
        if header.kind == by_id::Kind::Response {
            answered.push(header.id);
        }
    }
    assert_eq!(answered, [1, 2]);
    drop(client);
    proxy.join().unwrap();
}

#[test]
fn a_drain_goes_on_with_the_endpoints_that_there_are() {
    static REACHED: AtomicBool = AtomicBool::new(false);
    let mut proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]));
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hold");
    let active = r#"meltemi_requests_in_flight{service="default/echo"}"#;
    wait("the request", || proxy.metric(active) == Some(1.0));
    assert_eq!(proxy.ask("POST", "/drain").0, 200);
    wait("the drain", || proxy.get("/ready").1 == "draining\n");
    let other = harness::upstream(|stream| {
        REACHED.store(true, Ordering::Relaxed);
        harness::echo(stream);
    });
    let next = snapshot("v2", &[(LISTENER, any_port())], &[other]);
    proxy.snapshots.send_replace(next.into());
    let mut id = 1;
    wait("a request at the endpoint that has come", || {
        id += 1;
        client.send(id, b"hello");
        while client.receive().0.id != id {}
        REACHED.load(Ordering::Relaxed)
    });
    drop(client);
    proxy.join().unwrap();
}

#[test]
fn a_drain_ends_with_its_time() {
    let options = ProxyOptions {
        drain_time: Duration::from_millis(50),
        ..ProxyOptions::default()
    };
    let first = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    let mut proxy = Running::with(first, options);
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hold");
    let active = r#"meltemi_requests_in_flight{service="default/echo"}"#;
    wait("the request", || proxy.metric(active) == Some(1.0));
    proxy.stop();
    // It is asked to leave first.
    let (answer, _) = loop {
        let received = client.receive();
        if received.0.kind == by_id::Kind::Response {
            break received;
        }
    };
    assert_eq!(answer.id, 1);
    assert_ne!(answer.detail, 0, "the proxy's own words");
    assert_eq!(client.0.read(&mut [0]).unwrap(), 0, "closed behind it");
    drop(client);
    proxy.join().unwrap();
}

#[test]
fn garbage_closes_its_own_connection_and_no_other() {
    let proxy = Running::start(snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]));
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hold");
    let mut garbage = proxy.client(LISTENER);
    // More than the sockets and the proxy hold: both calls return only because the proxy closes.
    drop(garbage.0.write_all(&vec![0xa5; 8 << 20]));
    drop(garbage.0.read_to_end(&mut Vec::new()));
    let errors = r#"meltemi_downstream_decode_errors_total{service="default/echo"}"#;
    assert_eq!(proxy.metric(errors), Some(1.0));
    client.send(2, b"go on");
    assert_eq!([client.receive().0.id, client.receive().0.id], [1, 2]);
}

#[test]
fn a_worker_that_panics_costs_its_own_connections_only() {
    let mut first = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    harness::add_fragile(&mut first, "default/edge/fragile");
    let mut proxy = Running::start(first);
    // The second connection goes to the other worker.
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hold");
    let active = r#"meltemi_requests_in_flight{service="default/echo"}"#;
    wait("the request", || proxy.metric(active) == Some(1.0));
    let mut unlucky = proxy.client("default/edge/fragile");
    unlucky.send(1, b"hello");
    assert_eq!(unlucky.0.read(&mut [0]).unwrap_or(0), 0, "closed");
    wait("the drain", || {
        proxy.get("/ready") == (503, "draining\n".into())
    });
    client.send(2, b"go on");
    while client.receive().0.id != 2 {}
    drop(client);
    assert!(matches!(proxy.join(), Err(RunError::Worker)));
}

#[test]
fn the_admin_pages_say_what_there_is() {
    let proxy = Running::start(Snapshot::default());
    assert_eq!(proxy.get("/ready"), (503, "no configuration yet\n".into()));
    let (status, text) = proxy.get("/stats");
    assert_eq!(status, 404);
    assert!(
        text.contains("no page /stats") && text.contains("/config_dump"),
        "{text}"
    );
    assert_eq!(proxy.get("/drain"), (405, "use POST\n".into()));
    assert_eq!(proxy.ask("POST", "/ready"), (405, "use GET\n".into()));
    let (status, text) = proxy.get("/");
    assert_eq!(status, 200);
    assert!(text.contains("href=\"/metrics\""), "{text}");
    proxy
        .snapshots
        .send_replace(snapshot("v1", &[], &[]).into());
    proxy.ready();
}

#[test]
fn the_dump_shows_defaults_that_nobody_wrote() {
    let first = snapshot("v1", &[(LISTENER, any_port())], &[dead()]);
    let proxy = Running::start(first);
    proxy.ready();
    let dump = proxy.json("/config_dump");
    assert_eq!(dump["locality"], "eu/eu-1/a");
    assert_eq!(
        dump["protocols"],
        serde_json::json!(["fragile", "sample-by-id", "sample-in-order"])
    );
    assert_eq!(dump["listeners"][0]["name"], LISTENER);
    assert_eq!(dump["services"]["default/echo"]["routes"], "echo-routes");
    let route = &dump["routes"]["echo-routes"][0];
    assert_eq!(route["owner"], "MetaRouter/default/echo");
    assert_eq!(route["destinations"][0]["cluster"], CLUSTER);
    let cluster = &dump["clusters"][CLUSTER];
    assert_eq!(cluster["connect_timeout"], "5s");
    assert_eq!(cluster["lb_policy"], "ROUND_ROBIN");
    assert_eq!(cluster["max_unknown_nodes"], 100);
    assert_eq!(dump["worker"]["whole_message_bytes"], 262_144);
    assert_eq!(dump["drain_time"], "45s");
}

#[test]
fn a_secret_is_on_no_page() {
    use crate::config::{Cluster, Service, Setting};
    let secrets = || {
        let setting = |name: &str, value: &str, secret: Option<&str>| Setting {
            name: name.into(),
            value: value.into(),
            secret: secret.map(str::to_owned),
        };
        vec![
            setting("username", "readable", None),
            setting("password", "hunter2", Some("of/somebody")),
        ]
    };
    let mut first = snapshot("v1", &[(LISTENER, any_port())], &[dead()]);
    for service in first.services.values_mut() {
        *service = Arc::new(Service {
            settings: secrets(),
            ..Service::clone(service)
        });
    }
    for cluster in first.clusters.values_mut() {
        *cluster = Arc::new(Cluster {
            settings: secrets(),
            ..Cluster::clone(cluster)
        });
    }
    let printed = format!("{first:?}");
    assert!(printed.contains("readable") && !printed.contains("hunter2"));
    let proxy = Running::start(first);
    proxy.ready();
    let dump = proxy.json("/config_dump");
    let service = &dump["services"]["default/echo"]["settings"];
    let cluster = &dump["clusters"][CLUSTER]["settings"];
    for settings in [service, cluster] {
        assert_eq!(settings["username"], "readable");
        assert_eq!(settings["password"], "[redacted]");
    }
    for page in ["/config_dump", "/clusters", "/listeners", "/metrics"] {
        let (_, text) = proxy.get(page);
        assert!(!text.contains("hunter2"), "{page}: {text}");
    }
}
