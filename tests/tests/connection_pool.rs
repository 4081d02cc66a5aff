//! What a DestinationRule's `connectionPool` and a route's `circuitBreaker` allow: counted at a real Redis
//! server, read in a real client's own words.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use meltemi_tests::redis::{Server, Wire, manifests, peers};
use meltemi_tests::thrift::HOST;
use meltemi_tests::thrift::wire::{Message, ONEWAY, Scripted, connect};
use meltemi_tests::{Endpoint, Manifests, Meltemi, until};
use serde_json::Value;

const CLUSTER: &str = "outbound|6379||cache.demo";

/// A server behind two workers.
struct Proxied {
    server: Server,
    meltemi: Meltemi,
    manifests: Manifests,
}

impl Proxied {
    /// Under this `trafficPolicy`.
    fn start(policy: &str) -> Option<Self> {
        Self::start_with(&[("rule.yaml", rule(policy))], &[])
    }

    fn start_with(files: &[(&str, String)], arguments: &[&str]) -> Option<Self> {
        let server = Server::is_installed().then(|| Server::start(&[]))?;
        let manifests = manifests(&[server.address()]);
        for (name, text) in files {
            manifests.write(name, text);
        }
        let arguments = [&["--workers", "2"], arguments].concat();
        let meltemi = Meltemi::run_with(manifests.path(), &arguments);
        Some(Self {
            server,
            meltemi,
            manifests,
        })
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address("default/edge/redis"))
    }

    /// What of the cluster is in use, and what remains.
    fn usage(&self, what: &str) -> (Option<u64>, Option<u64>) {
        let page = self.meltemi.get("/clusters").expect("a page").body;
        let page: Value = serde_json::from_str(&page).expect("it is JSON");
        let usage = &page["clusters"][CLUSTER]["circuit_breakers"][what];
        (usage["in_use"].as_u64(), usage["remaining"].as_u64())
    }

    fn metric(&self, name: &str) -> usize {
        let count = self.meltemi.metric(name, &[]);
        count.try_into().expect("it fits")
    }

    /// So many clients wait for an element each, of whom so many may, and the others are told so, which is
    /// counted here. Afterwards nobody waits, and all can go on.
    fn burst(&self, clients: usize, allowed: usize, counter: &str) {
        let before = self.metric(counter);
        let mut direct = self.server.connect();
        let waiting = blocked(&mut direct);
        let mut clients: Vec<_> = (0..clients).map(|_| self.connect()).collect();
        for client in &mut clients {
            client.command("BLPOP list 0");
        }
        let refused = clients.len() - allowed;
        until("everybody waits or is refused", || {
            let is_told = self.metric(counter) - before >= refused;
            (is_told && blocked(&mut direct) >= waiting + allowed).then_some(())
        });
        assert_eq!(blocked(&mut direct), waiting + allowed);
        for _ in 0..allowed {
            direct.call("RPUSH list it");
        }
        let answers: Vec<_> = clients.iter_mut().map(Wire::reply).collect();
        let (served, others): (Vec<_>, Vec<_>) = answers.iter().partition(|it| *it == "[list it]");
        assert_eq!(
            (served.len(), others.len()),
            (allowed, refused),
            "{answers:?}"
        );
        for refusal in others {
            assert!(refusal.starts_with("-ERR proxy: "), "{refusal}");
        }
        for client in &mut clients {
            assert_eq!(client.call("LLEN list"), ":0");
        }
    }
}

/// Clients of the server that wait for an element.
fn blocked(direct: &mut Wire) -> usize {
    let clients = direct.call("CLIENT LIST");
    let blocked = clients.lines().filter(|line| line.contains(" flags=b "));
    blocked.count()
}

fn rule(policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: cache}}\nspec:\n  \
         host: cache.demo\n  trafficPolicy:\n    {policy}\n"
    )
}

#[test]
fn requests_are_bounded_over_all_workers() {
    let policy = "connectionPool: {http: {http2MaxRequests: 4}}";
    let Some(proxied) = Proxied::start(policy) else {
        return;
    };
    proxied.burst(11, 4, "meltemi_upstream_rq_overflow_total");
    assert_eq!(proxied.usage("requests"), (Some(0), Some(4)));
    // Another bound counts at once, and what is in use survives.
    let waits = (0..4).map(|_| proxied.connect());
    let mut waits: Vec<_> = waits.collect();
    for client in &mut waits {
        client.command("BLPOP other 0");
    }
    until("they wait", || {
        (proxied.usage("requests").0 == Some(4)).then_some(())
    });
    let wider = "connectionPool: {http: {http2MaxRequests: 6}}";
    proxied.manifests.write("rule.yaml", &rule(wider));
    until("the bound is another", || {
        (proxied.usage("requests") == (Some(4), Some(2))).then_some(())
    });
    proxied.burst(5, 2, "meltemi_upstream_rq_overflow_total");
    let mut direct = proxied.server.connect();
    direct.call("RPUSH other 1 2 3 4");
    for client in &mut waits {
        assert!(client.reply().starts_with("[other "));
    }
    assert_eq!(proxied.usage("requests"), (Some(0), Some(6)));
}

#[test]
fn a_transaction_that_has_begun_is_not_torn() {
    let policy = "connectionPool: {http: {http2MaxRequests: 1}}";
    let Some(proxied) = Proxied::start(policy) else {
        return;
    };
    let mut client = proxied.connect();
    assert_eq!(client.call("MULTI"), "+OK");
    assert_eq!(client.call("SET a 1"), "+QUEUED");
    let mut waits = proxied.connect();
    waits.command("BLPOP list 0");
    let mut direct = proxied.server.connect();
    until("it waits", || (blocked(&mut direct) == 1).then_some(()));
    assert_eq!(client.call("SET b 2"), "+QUEUED");
    assert_eq!(client.call("EXEC"), "[+OK +OK]");
    assert!(client.call("GET a").contains("http2MaxRequests"));
    direct.call("RPUSH list it");
    assert_eq!(waits.reply(), "[list it]");
    assert_eq!(client.call("GET a"), "1");
    assert_eq!(proxied.usage("requests"), (Some(0), Some(1)));
}

#[test]
fn connections_are_bounded_but_for_one_of_each_worker() {
    let policy = "connectionPool: {tcp: {maxConnections: 1}}";
    let Some(proxied) = Proxied::start(policy) else {
        return;
    };
    // The first worker's is the one, and the other has the one that it may always have.
    proxied.burst(8, 2, "meltemi_upstream_cx_overflow_total");
    proxied.burst(8, 2, "meltemi_upstream_cx_overflow_total");
    assert_eq!(proxied.usage("connections"), (Some(2), Some(0)));
}

#[test]
fn requests_that_wait_for_a_connection_are_bounded() {
    let mode = "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisDestination\nmetadata: {name: cache}\nspec:\n  \
                host: cache.demo\n  trafficPolicy:\n    connectionPool:\n      tcp: {connectTimeout: 60s}\n      \
                redis: {mode: PROXY, auth: {plain: {password: hunter2}}}\n";
    let files = [
        (
            "rule.yaml",
            rule("connectionPool: {http: {http1MaxPendingRequests: 3}}"),
        ),
        ("destination.yaml", mode.to_owned()),
    ];
    let Some(proxied) = Proxied::start_with(&files, &[]) else {
        return;
    };
    let mut direct = proxied.server.connect();
    direct.call("CONFIG SET requirepass hunter2");
    // The system takes connections for it, but nobody answers the handshake.
    proxied.server.process().signal("STOP");
    let mut clients: Vec<_> = (0..9).map(|_| proxied.connect()).collect();
    for client in &mut clients {
        client.command("GET key");
    }
    until("the others are refused", || {
        let refused = proxied.metric("meltemi_upstream_rq_pending_overflow_total");
        (refused >= 6).then_some(())
    });
    assert_eq!(proxied.usage("pending_requests"), (Some(3), Some(0)));
    proxied.server.process().signal("CONT");
    let answers: Vec<_> = clients.iter_mut().map(Wire::reply).collect();
    let served = answers.iter().filter(|it| *it == "(nil)").count();
    assert_eq!(served, 3, "{answers:?}");
    assert_eq!(proxied.usage("pending_requests"), (Some(0), Some(3)));
    for client in &mut clients {
        assert_eq!(client.call("GET key"), "(nil)");
    }
}

#[test]
fn a_connection_carries_so_many_requests_and_a_pipeline_goes_on() {
    let policy = "connectionPool: {http: {maxRequestsPerConnection: 10}}";
    let Some(proxied) = Proxied::start(policy) else {
        return;
    };
    let mut client = proxied.connect();
    for _ in 0..101 {
        client.command("INCR counter");
    }
    for n in 1..=101 {
        assert_eq!(client.reply(), format!(":{n}"));
    }
    let opened = proxied.metric("meltemi_upstream_connections_total");
    assert_eq!(opened, 11);
    until("those that are spent are closed", || {
        (proxied.usage("connections").0 == Some(1)).then_some(())
    });
}

#[test]
fn connections_to_the_server_close_when_they_are_idle() {
    let policy = "connectionPool: {http: {idleTimeout: 200ms}}";
    let Some(proxied) = Proxied::start(policy) else {
        return;
    };
    let mut client = proxied.connect();
    client.call("GET key");
    assert_eq!(proxied.usage("connections").0, Some(1));
    until("it is closed", || {
        (proxied.usage("connections").0 == Some(0)).then_some(())
    });
    assert_eq!(client.call("GET key"), "(nil)");
}

#[test]
fn clients_that_are_silent_close() {
    let policy = "connectionPool: {tcp: {idleTimeout: 300ms}}";
    let Some(proxied) = Proxied::start(policy) else {
        return;
    };
    let mut client = proxied.connect();
    let begun = Instant::now();
    client.call("GET key");
    assert_eq!(client.try_reply(), None, "its end, and no error before it");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

/// A subscriber says nothing, however much it is told; who waited long for an answer is not silent either.
#[test]
fn clients_that_are_told_something_stay() {
    let policy = "connectionPool: {tcp: {idleTimeout: 500ms}}";
    let Some(proxied) = Proxied::start(policy) else {
        return;
    };
    let mut subscriber = proxied.connect();
    subscriber.call("SUBSCRIBE news");
    let mut direct = proxied.server.connect();
    for _ in 0..20 {
        assert_eq!(direct.call("PUBLISH news now"), ":1");
        assert!(subscriber.try_reply().is_some(), "a message");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(subscriber.try_reply(), None, "its end");
    let mut waiting = proxied.connect();
    waiting.call("BLPOP nothing 0.9");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(waiting.call("GET key"), "(nil)");
}

const ROUTES: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata:
  name: cache
spec:
  hosts: [cache.demo]
  gateways: [edge]
  routes:
  - name: waiting
    match: {attributes: {command: {exact: blpop}}}
    route: [{destination: {host: cache.demo}}]
    circuitBreaker: {maxRequests: 3}
  - name: rest
    route: [{destination: {host: cache.demo}}]
";

#[test]
fn requests_of_a_route_are_bounded_over_all_workers() {
    let files = [("routes.yaml", ROUTES.to_owned())];
    let Some(proxied) = Proxied::start_with(&files, &[]) else {
        return;
    };
    proxied.burst(9, 3, "meltemi_route_rq_overflow_total");
    proxied.burst(9, 3, "meltemi_route_rq_overflow_total");
}

#[test]
fn a_burst_of_oneway_calls_does_not_add_up() {
    let (told, heard) = mpsc::channel();
    let server = Scripted::start(move |mut stream| {
        while let Ok(call) = Message::read(&mut stream) {
            let _ = told.send(call.seq);
            if call.kind != ONEWAY && stream.write_all(&call.reply("it").framed()).is_err() {
                return;
            }
        }
    });
    let manifests = Manifests::thrift_gateway();
    let endpoint = Endpoint {
        port: server.port(),
        version: "v1",
        locality: "r1/z1/s1",
    };
    manifests.service(HOST, &[endpoint]);
    let bound = "{connectionPool: {http: {http2MaxRequests: 1}}}";
    let rule = rule(bound).replace("cache.demo", HOST);
    manifests.write("rule.yaml", &rule);
    let router = format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: it}}\nspec:\n  \
         hosts: [{HOST}]\n  gateways: [edge]\n  routes:\n  \
         - {{route: [{{destination: {{host: {HOST}}}}}], circuitBreaker: {{maxRequests: 1}}}}\n"
    );
    manifests.write("router.yaml", &router);
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
    let mut stream = connect(meltemi.address("default/edge/thrift")).expect("the proxy listens");
    // With a connection that is there, each is over when it is written.
    let call = |seq| Message::call("label", seq, vec![0]);
    stream
        .write_all(&call(0).framed())
        .expect("the proxy reads");
    Message::read(&mut stream).expect("an answer");
    let fire = |seq| Message {
        kind: ONEWAY,
        ..Message::call("fire", seq, vec![0])
    };
    let burst: Vec<u8> = (1..=50).flat_map(|seq| fire(seq).framed()).collect();
    stream.write_all(&burst).expect("the proxy reads");
    stream
        .write_all(&call(51).framed())
        .expect("the proxy reads");
    assert_eq!(
        Message::read(&mut stream).expect("an answer").text(0),
        Some("it")
    );
    let heard: Vec<i32> = heard.try_iter().collect();
    assert_eq!(heard, (0..=51).collect::<Vec<_>>());
    for name in [
        "meltemi_upstream_rq_overflow_total",
        "meltemi_route_rq_overflow_total",
    ] {
        assert_eq!(meltemi.metric(name, &[]), 0);
    }
    // What is owed an answer still counts.
    let page = meltemi.get("/clusters").expect("a page").body;
    assert!(
        page.contains("\"in_use\":0") || page.contains("\"in_use\": 0"),
        "{page}"
    );
}

#[test]
fn a_worker_that_is_full_refuses_and_counts() {
    let arguments = ["--max-requests", "2"];
    let Some(proxied) = Proxied::start_with(&[], &arguments) else {
        return;
    };
    // Two of each of the two workers.
    proxied.burst(12, 4, "meltemi_overload_refused_total");
    let mut client = proxied.connect();
    for _ in 0..100 {
        client.command("PING");
    }
    let answers: Vec<_> = (0..100).map(|_| client.reply()).collect();
    assert!(answers.iter().any(|it| it == "+PONG"), "{answers:?}");
}

/// redis-py, from where its tests are installed.
fn python(script: &str, address: std::net::SocketAddr) -> Option<String> {
    let home: PathBuf = peers()?.join("redis-py");
    let output = Command::new("timeout")
        .args(["60", "python3", "-B", "-c", script])
        .args([address.ip().to_string(), address.port().to_string()])
        .env("PYTHONPATH", &home)
        .output()
        .expect("python3 runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

const STEADY: &str = "
import redis, sys, threading, time
host, port = sys.argv[1], int(sys.argv[2])
def ask(pause):
    client = redis.Redis(host, port, retry=None)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        assert client.set('key', 'value')
        time.sleep(pause)
failed = []
threading.excepthook = lambda it: failed.append(repr(it.exc_value))
threads = [threading.Thread(target=ask, args=(pause,)) for pause in (0.002, 0.05, 1.3)]
[it.start() for it in threads]
[it.join() for it in threads]
print(failed)
";

#[test]
fn clients_that_are_connected_for_long_leave_without_an_error() {
    let policy = "connectionPool: {tcp: {maxConnectionDuration: 1s}}";
    let Some(proxied) = Proxied::start(policy) else {
        return;
    };
    let begun = Instant::now();
    let mut client = proxied.connect();
    client.call("GET key");
    assert_eq!(client.try_reply(), None, "its end, and no error before it");
    assert!(begun.elapsed() >= Duration::from_millis(900));
    assert!(proxied.metric("meltemi_downstream_cx_max_duration_reached_total") >= 1);
    let address = proxied.meltemi.address("default/edge/redis");
    if let Some(said) = python(STEADY, address) {
        assert_eq!(said, "[]");
    }
}
