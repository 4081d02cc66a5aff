//! A listener whose connections begin with a PROXY header, behind a stand-in for a ztunnel: its headers
//! have the source port of a connection that it shares, and whatever destination its peer named.

mod headers;
mod waiting;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::{Attribute, AttributeMatch, Condition};

use super::harness::{CLUSTER, Client, Running, any_port, snapshot, tcp_echo, upstream, wait};
use super::{Destination, LISTENER, ProxyOptions};
use crate::balance::Layouts;
use crate::config::{
    Bind, Cluster, Listener, Mode, ProxyProtocol, Route, RouteConfig, Service, Snapshot,
};
use crate::engine::Settings;

/// What a ztunnel of Istio 1.31 wrote before a connection of this client to 10.98.0.10:20880.
const CAPTURED: &[u8] = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x2d\
    \x0a\x63\x00\x02\x0a\x62\x00\x0a\x94\xaa\x51\x90\
    \xd0\x00\x1espiffe:///ns/default/sa/client";
const ECHO: &str = "10.98.0.10:20880";
const ECHO_V6: &str = "[fd00:98::10]:20880";
const CACHE: &str = "10.98.0.11:6379";
const SOURCE: &str = "10.99.0.2:38058";
const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const OWN: &str = "spiffe://cluster.local/ns/shop/sa/waypoint";
const PATIENCE: Duration = Duration::from_millis(300);

/// What a ztunnel writes.
pub(super) fn header(source: &str, destination: &str, identity: Option<&str>) -> Vec<u8> {
    let (source, destination) = (address(source), address(destination));
    let mut rest = Vec::new();
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => rest.extend(ip.octets()),
            IpAddr::V6(ip) => rest.extend(ip.octets()),
        }
    }
    rest.extend(source.port().to_be_bytes());
    rest.extend(destination.port().to_be_bytes());
    if let Some(identity) = identity {
        rest.push(0xD0);
        rest.extend(u16::try_from(identity.len()).unwrap().to_be_bytes());
        rest.extend(identity.as_bytes());
    }
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    of(0x21, family, &rest)
}

fn of(what: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [
        &b"\r\n\r\n\0\r\nQUIT\n"[..],
        &[what, family],
        &length[..],
        rest,
    ]
    .concat()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn mode() -> Mode {
    Mode::ProxyProtocol(ProxyProtocol {
        own_identity: Some(OWN.into()),
        patience: PATIENCE,
    })
}

/// Two services of two protocols behind one listener. Of the endpoints of `echo`, the second is only for
/// clients that have proven who they are.
fn world(version: &str, bind: Bind) -> Snapshot {
    let (all, proven) = (tcp_echo(), lines("proven"));
    let mut snapshot = snapshot(version, &[(LISTENER, bind.clone())], &[all]);
    let listener = Listener::plain(LISTENER, bind, mode());
    snapshot
        .listeners
        .insert(LISTENER.to_owned(), listener.into());
    let echo = Service {
        addresses: vec![address(ECHO).ip(), address(ECHO_V6).ip()],
        port: 20880,
        default_cluster: Some(CLUSTER.to_owned()),
        ..Service::new("default/echo", "sample-by-id", "echo-routes")
    };
    let cache = Service {
        addresses: vec![address(CACHE).ip()],
        port: 6379,
        ..Service::new("default/cache", "sample-in-order", "cache-routes")
    };
    for service in [echo, cache] {
        snapshot
            .services
            .insert(service.name.clone(), service.into());
    }
    let of_cart = Route {
        matches: vec![vec![AttributeMatch {
            attribute: Attribute::SourcePrincipal,
            ..AttributeMatch::new("", Condition::Exact(CLIENT.into()))
        }]],
        ..Route::new("of-cart", "proven")
    };
    let routes = [of_cart, Route::new("others", "anybody")].map(Arc::new);
    let routes = RouteConfig::new("cache-routes", routes.into());
    snapshot
        .routes
        .insert("cache-routes".to_owned(), routes.into());
    for (name, endpoint) in [("proven", proven), ("anybody", lines("anybody"))] {
        let cluster = super::harness::cluster(&[endpoint]);
        let cluster = Cluster {
            name: name.to_owned(),
            ..cluster
        };
        snapshot.clusters.insert(name.to_owned(), cluster.into());
    }
    snapshot.laid_out(&Layouts::default())
}

/// A server of lines that says who it is.
fn lines(who: &'static str) -> crate::config::Address {
    match who {
        "proven" => upstream(|stream| answer(stream, "proven")),
        _ => upstream(|stream| answer(stream, "anybody")),
    }
}

fn answer(stream: TcpStream, who: &str) {
    let mut writer = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines() {
        if line.is_err() || writeln!(writer, "+{who}").is_err() {
            return;
        }
    }
}

/// A client of the server of lines.
fn ask(stream: &mut (impl Read + Write)) -> String {
    stream.write_all(b"GET key\n").unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while answer.last() != Some(&b'\n') {
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    String::from_utf8(answer).unwrap()
}

fn start() -> Running {
    start_with(Settings::default())
}

fn start_with(settings: Settings) -> Running {
    let options = ProxyOptions {
        settings,
        ..ProxyOptions::default()
    };
    let proxy = Running::with(world("v1", any_port()), options);
    proxy.ready();
    proxy
}

/// A connection that has begun so.
fn tunnel(proxy: &Running, first: &[u8]) -> TcpStream {
    let mut stream = proxy.client(LISTENER).0;
    stream.set_nodelay(true).unwrap();
    stream.write_all(first).unwrap();
    stream
}

/// Nothing was served on it.
#[track_caller]
fn is_closed(mut stream: impl Read) {
    match stream.read(&mut [0; 1]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("the connection is not closed: {other:?}"),
    }
}

fn refused(proxy: &Running, reason: &str) -> Option<f64> {
    let name = "meltemi_downstream_proxy_protocol_refused_total";
    proxy.metric(&format!(
        "{name}{{listener=\"{LISTENER}\",reason=\"{reason}\"}}"
    ))
}

fn all_refused(proxy: &Running) -> f64 {
    let all = crate::proxy_protocol::Refused::ALL.iter();
    all.filter_map(|reason| refused(proxy, reason.as_str()))
        .sum()
}

fn waiting(proxy: &Running) -> Option<f64> {
    proxy.metric("meltemi_downstream_proxy_protocol_waiting")
}

#[test]
fn each_connection_goes_where_its_header_says() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = ProxyOptions {
        access_log: Destination::File(log.clone()),
        ..ProxyOptions::default()
    };
    let mut proxy = Running::with(world("v1", any_port()), options);
    proxy.ready();
    let endpoint = proxy.json("/clusters")["clusters"][CLUSTER]["endpoints"][0]["address"].clone();
    let endpoint = endpoint.as_str().unwrap().to_owned();
    let mut captured = Client(tunnel(&proxy, CAPTURED));
    captured.call(1, b"hello");
    let mut cache = tunnel(&proxy, &header(SOURCE, CACHE, Some(CLIENT)));
    assert_eq!(ask(&mut cache), "+proven\n");
    // All share a source with its port, and none takes another's answers.
    let mut clients: Vec<_> = [ECHO, &endpoint, ECHO]
        .iter()
        .map(|to| Client(tunnel(&proxy, &header(SOURCE, to, None))))
        .collect();
    for client in &mut clients {
        client.send(7, b"hold");
    }
    for client in clients.iter_mut().rev() {
        client.send(8, b"go");
    }
    for client in &mut clients {
        assert_eq!(client.receive().1, b"hold");
        assert_eq!(client.receive().1, b"go");
    }
    let source = "[fd00:99::2]:38058";
    Client(tunnel(&proxy, &header(source, ECHO_V6, Some(CLIENT)))).call(1, b"over IPv6");
    captured.call(2, b"again");
    assert_eq!(ask(&mut cache), "+proven\n");
    assert_eq!(all_refused(&proxy), 0.0);

    drop((captured, cache, clients));
    proxy.stop();
    proxy.join().unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let of = |peer: &str, principal: Option<&str>| {
        let found = lines.iter().filter(|line| {
            (line["peer"].as_str(), line["principal"].as_str()) == (Some(peer), principal)
        });
        found.count()
    };
    assert_eq!(of(SOURCE, Some("spiffe:///ns/default/sa/client")), 2);
    assert_eq!(of(SOURCE, Some(CLIENT)), 2);
    assert_eq!(of(SOURCE, None), 6);
    assert_eq!(of(source, Some(CLIENT)), 1);
}

#[test]
fn an_identity_that_is_not_proven_is_nobodys() {
    let proxy = start();
    let mut nobody = tunnel(&proxy, &header(SOURCE, CACHE, None));
    assert_eq!(ask(&mut nobody), "+anybody\n");
    let other = Some("spiffe://cluster.local/ns/shop/sa/other");
    let mut other = tunnel(&proxy, &header(SOURCE, CACHE, other));
    assert_eq!(ask(&mut other), "+anybody\n");
    let mut cart = tunnel(&proxy, &header(SOURCE, CACHE, Some(CLIENT)));
    assert_eq!(ask(&mut cart), "+proven\n");
}

/// Adds a service without a protocol, whose server says all that it hears.
fn add_tcp(snapshot: Snapshot, destination: &str) -> Snapshot {
    let mut snapshot = snapshot;
    let cluster = Cluster {
        name: "tcp".to_owned(),
        ..super::harness::cluster(&[upstream(mirror)])
    };
    snapshot.clusters.insert("tcp".to_owned(), cluster.into());
    let service = Service {
        addresses: vec![address(destination).ip()],
        port: address(destination).port(),
        ..Service::tcp("default/tcp", "tcp")
    };
    snapshot
        .services
        .insert(service.name.clone(), service.into());
    snapshot.laid_out(&Layouts::default())
}

fn mirror(mut stream: TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    // The peer may have gone.
    let _ = std::io::copy(&mut reader, &mut stream);
}

/// What was sent comes back.
#[track_caller]
fn is_mirrored(stream: &mut TcpStream, sent: &[u8]) {
    stream.write_all(sent).unwrap();
    let mut back = vec![0; sent.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, sent);
}

#[test]
fn bytes_without_a_protocol_are_passed_on() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = ProxyOptions {
        access_log: Destination::File(log.clone()),
        ..ProxyOptions::default()
    };
    let tcp = "10.98.0.10:3306";
    let mut proxy = Running::with(add_tcp(world("v1", any_port()), tcp), options);
    proxy.ready();
    let mut passed = tunnel(&proxy, &header(SOURCE, tcp, Some(CLIENT)));
    is_mirrored(&mut passed, b"whatever it is");
    let endpoint = proxy.json("/clusters")["clusters"]["tcp"]["endpoints"][0]["address"].clone();
    let mut dialled = tunnel(&proxy, &header(SOURCE, endpoint.as_str().unwrap(), None));
    is_mirrored(&mut dialled, b"by its endpoint");
    is_mirrored(&mut passed, b"and more");
    // The other port of the same address is of a protocol.
    Client(tunnel(&proxy, CAPTURED)).call(1, b"hello");
    assert_eq!(all_refused(&proxy), 0.0);
    // Its service stays as long as the listener leads there.
    let next = add_tcp(world("v2", any_port()), tcp);
    proxy.snapshots.send_replace(next.into());
    is_mirrored(&mut passed, b"after a change");
    drop((passed, dialled));
    proxy.stop();
    proxy.join().unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut lines = lines.filter(|line: &serde_json::Value| line["service"] == "default/tcp");
    let line = lines.find(|line| line["principal"] == CLIENT).unwrap();
    assert_eq!(line["peer"], SOURCE);
}

#[test]
fn bytes_of_another_protocol_are_passed_on() {
    let mut world = world("v1", any_port());
    let cluster = Cluster {
        name: "tcp".to_owned(),
        ..super::harness::cluster(&[upstream(mirror)])
    };
    world.clusters.insert("tcp".to_owned(), cluster.into());
    let echo = Service {
        default_cluster: Some("tcp".to_owned()),
        ..Service::clone(&world.services["default/echo"])
    };
    world.services.insert(echo.name.clone(), echo.into());
    let proxy = Running::start(world.laid_out(&Layouts::default()));
    proxy.ready();
    is_mirrored(
        &mut tunnel(&proxy, CAPTURED),
        b"GET / HTTP/1.1\r\nhost: echo\r\n\r\n",
    );
    Client(tunnel(&proxy, CAPTURED)).call(1, b"hello");
}

#[test]
fn what_comes_from_here_does_not_go_in_circles() {
    let proxy = start();
    is_closed(tunnel(&proxy, &header(SOURCE, ECHO, Some(OWN))));
    assert_eq!(refused(&proxy, "loop"), Some(1.0));
    Client(tunnel(&proxy, &header(SOURCE, ECHO, Some(CLIENT)))).call(1, b"hello");
}

#[test]
fn a_service_that_cannot_be_served_is_told() {
    let proxy = start();
    let mut next = world("v2", any_port());
    let echo = Service {
        protocol: Some("of-nobody".into()),
        ..Service::clone(&next.services["default/echo"])
    };
    next.services.insert(echo.name.clone(), echo.into());
    proxy
        .snapshots
        .send_replace(next.laid_out(&Layouts::default()).into());
    wait("the configuration", || {
        proxy
            .metric("meltemi_config_info{version=\"v2\"}")
            .is_some()
    });
    wait("the refusal", || {
        is_closed(tunnel(&proxy, &header(SOURCE, ECHO, None)));
        refused(&proxy, "unserved") >= Some(1.0)
    });
}

#[test]
fn clients_leave_with_their_service() {
    let proxy = start();
    let mut echo = Client(tunnel(&proxy, CAPTURED));
    echo.call(1, b"hello");
    let mut cache = tunnel(&proxy, &header(SOURCE, CACHE, None));
    ask(&mut cache);
    let mut next = world("v2", any_port());
    next.services.remove("default/echo");
    proxy
        .snapshots
        .send_replace(next.laid_out(&Layouts::default()).into());
    let open = r#"meltemi_downstream_connections{service="default/echo"}"#;
    wait("the end of the client", || proxy.metric(open) == Some(0.0));
    assert_eq!(ask(&mut cache), "+anybody\n");
}

#[test]
fn a_drain_waits_for_no_header() {
    let options = ProxyOptions {
        drain_time: Duration::from_secs(60),
        ..ProxyOptions::default()
    };
    let mut proxy = Running::with(world("v1", any_port()), options);
    proxy.ready();
    let header_only = tunnel(&proxy, &CAPTURED[..20]);
    let silent = tunnel(&proxy, b"");
    let mut patient = world("v2", any_port());
    let listener = Listener {
        mode: Mode::ProxyProtocol(ProxyProtocol {
            patience: Duration::from_secs(3600),
            ..ProxyProtocol::default()
        }),
        ..Listener::clone(&patient.listeners[LISTENER])
    };
    patient
        .listeners
        .insert(LISTENER.to_owned(), listener.into());
    proxy
        .snapshots
        .send_replace(patient.laid_out(&Layouts::default()).into());
    let unknown = header(SOURCE, "10.98.0.12:20880", None);
    let parked = tunnel(&proxy, &unknown);
    wait("the wait", || waiting(&proxy) == Some(1.0));
    proxy.stop();
    for stream in [header_only, silent, parked] {
        is_closed(stream);
    }
    proxy.join().unwrap();
}

#[test]
fn a_unix_socket_takes_headers_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypoint.sock");
    let proxy = Running::start(world("v1", Bind::Unix(path.clone())));
    proxy.ready();
    let mut client = Client::unix(&path);
    client.0.write_all(CAPTURED).unwrap();
    client.call(1, b"hello");
}

#[test]
fn a_machine_without_ipv6_is_ready() {
    let mut both = world("v1", any_port());
    let name = format!("{LISTENER}-v6");
    let listener = Listener {
        name: name.clone(),
        bind: Bind::Tcp((Ipv6Addr::LOCALHOST, 0).into()),
        ..Listener::clone(&both.listeners[LISTENER])
    };
    both.listeners.insert(name.clone(), listener.into());
    let proxy = Running::start(both);
    proxy.ready();
    let page = proxy.json("/listeners");
    let listeners = page["listeners"].as_array().unwrap();
    let second = listeners.iter().find(|it| it["name"] == *name).unwrap();
    let has_ipv6 = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let state = if has_ipv6 { "open" } else { "unsupported" };
    assert_eq!(second["state"], state, "{second}");
    if has_ipv6 {
        let mut client = Client(TcpStream::connect(proxy.address(&name)).unwrap());
        client.0.write_all(CAPTURED).unwrap();
        client.call(1, b"hello");
    }
    // Any other reason still holds it back.
    let taken = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    let next = world("v2", Bind::Tcp(taken.local_addr().unwrap()));
    proxy.snapshots.send_replace(next.into());
    wait("the reason", || proxy.get("/ready").0 == 503);
}

#[test]
fn pages_show_the_mode() {
    let proxy = start();
    let mode = serde_json::json!({ "own_identity": OWN, "patience": "0.3s" });
    for page in ["/listeners", "/config_dump"] {
        let listener = proxy.json(page)["listeners"][0].clone();
        assert_eq!(listener["proxy_protocol"], mode, "{page}");
        assert_eq!(listener["service"], serde_json::Value::Null, "{page}");
    }
    let echo = proxy.json("/config_dump")["services"]["default/echo"].clone();
    assert_eq!(
        echo["addresses"],
        serde_json::json!(["10.98.0.10", "fd00:98::10"])
    );
    assert_eq!(
        (&echo["port"], &echo["default_cluster"]),
        (&20880.into(), &CLUSTER.into())
    );
}
