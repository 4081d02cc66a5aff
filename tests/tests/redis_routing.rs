//! A MetaRouter before real servers: keys, commands and clients choose the server.

use std::time::{Duration, Instant};

use meltemi_tests::redis::{Proxied, Server, Wire, manifests, service};
use meltemi_tests::{Manifests, Meltemi, connect_from, until};

const ROUTER: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata:
  name: cache
spec:
  hosts: [cache.demo]
  gateways: [edge]
  routes:
";

const WORKLOAD: &str = "\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: batch
  labels: { app: batch }
spec:
  address: 127.0.0.7
  locality: r1/z1
";

/// Two servers, of which the other one is `other.demo`.
struct Two {
    cache: Server,
    other: Server,
    manifests: Manifests,
    meltemi: Meltemi,
}

impl Two {
    fn start(routes: &str) -> Option<Self> {
        if !Server::is_installed() {
            return None;
        }
        let (cache, other) = (Server::start(&[]), Server::start(&[]));
        let manifests = manifests(&[cache.address()]);
        manifests.write("other.yaml", &service("other.demo", &[other.address()]));
        manifests.write("workload.yaml", WORKLOAD);
        manifests.write("routes.yaml", &format!("{ROUTER}{routes}"));
        let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
        Some(Self {
            cache,
            other,
            manifests,
            meltemi,
        })
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address("default/edge/redis"))
    }

    fn connect_from(&self, source: &str) -> Wire {
        let source = source.parse().expect("an address");
        let address = self.meltemi.address("default/edge/redis");
        Wire::on(connect_from(source, address).expect("meltemi listens"))
    }

    /// The keys of each server.
    fn keys(&self) -> [String; 2] {
        [&self.cache, &self.other].map(|server| {
            let keys = server.connect().call("KEYS *");
            let mut keys: Vec<_> = keys.trim_matches(['[', ']']).split(' ').collect();
            keys.sort_unstable();
            keys.join(" ")
        })
    }
}

/// A value that an automaton of moderate size cannot decide on quickly.
#[test]
fn a_regex_that_takes_long_holds_nobody_up() {
    let routes = "
  - name: dear
    match: { attributes: { key: { regex: '(.*a){500}z' } } }
    route: [{ destination: { host: other.demo } }]
  - name: rest
";
    let Some(it) = Two::start(routes) else { return };
    let mut client = it.connect();
    let mut neighbour = it.connect();
    assert_eq!(neighbour.call("SET plain 1"), "+OK");
    let long = "ab".repeat(30_000);
    let short = (0..200).map(|i| format!("{i}{}", "a".repeat(1000)));
    let several: Vec<String> = short.collect();
    // Debug builds take twenty times as long as others; without a bound each would take minutes.
    for asked in [format!("GET {long}"), format!("MGET {}", several.join(" "))] {
        let started = Instant::now();
        client.command(&asked);
        assert_eq!(neighbour.call("GET plain"), "1");
        let refused = client.reply();
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
        assert!(
            refused.contains("too long for the regular expressions"),
            "{refused}"
        );
    }
    assert_eq!(it.meltemi.metric("meltemi_route_undecided_total", &[]), 2);
    // The connection goes on, and what is short is decided.
    assert_eq!(client.call("GET plain"), "1");
    assert_eq!(client.call(&format!("SET {}z 1", "a".repeat(100))), "+OK");
    assert_eq!(it.keys()[1], "");
}

#[test]
fn keys_and_commands_choose_the_server() {
    let routes = "
  - name: hot
    matches:
    - attributes: { key: { suffix: ':hot', ignoreCase: true } }
    - attributes: { key: { range: { start: -1, end: 100 } } }
    - attributes: { command: { exact: setex, ignoreCase: true }, key: { contains: tmp } }
    route: [{ destination: { host: other.demo } }]
  - name: plain
    match: { attributes: { key: { regex: '[a-z]+' } } }
  - name: odd
    match: { attributes: { key: { prefix: 'user:', invert: true }, command: { present: true } } }
    route: [{ destination: { host: other.demo } }]
  - name: rest
";
    let Some(it) = Two::start(routes) else { return };
    let mut client = it.connect();
    for (command, answer) in [
        ("SET a:hot 1", "+OK"),
        ("SET b:HOT 1", "+OK"),
        ("SET 99 1", "+OK"),
        ("SET 100 1", "+OK"),
        ("SETEX xtmpx 100 1", "+OK"),
        ("SET tmp 1", "+OK"),
        ("SET user:7 1", "+OK"),
        ("SET Odd 1", "+OK"),
        ("SET plain 1", "+OK"),
        // It has no key, so that it is no user's.
        ("PING", "+PONG"),
        ("MGET a:hot user:7 plain nothing 99", "[1 1 1 (nil) 1]"),
    ] {
        assert_eq!(client.call(command), answer, "{command}");
    }
    assert_eq!(
        it.keys(),
        ["plain tmp user:7", "100 99 Odd a:hot b:HOT xtmpx"]
    );
    let metrics = it
        .meltemi
        .get("/metrics")
        .expect("the admin address answers");
    for (route, least) in [("hot", 4), ("plain", 2), ("odd", 2), ("rest", 1)] {
        let label = format!("route=\"{route}\"");
        let mut lines = metrics.body.lines();
        let is_count =
            |line: &&str| line.starts_with("meltemi_requests_total{") && line.contains(&label);
        let line = lines
            .find(is_count)
            .unwrap_or_else(|| panic!("{route}: {}", metrics.body));
        let count: f64 = line
            .rsplit(' ')
            .next()
            .expect("a value")
            .parse()
            .expect("a number");
        assert!(count >= f64::from(least), "{line}");
    }
}

#[test]
fn clients_choose_the_server() {
    let routes = "
  - name: batch
    matches:
    - source: { labels: { app: batch }, locality: r1, namespace: default }
    - source: { principal: cluster.local/ns/default/sa/batch }
    - source: { labels: { app: unknown } }
    route: [{ destination: { host: other.demo } }]
  - name: edge
    matches: [{ source: { gateway: edge } }]
";
    let Some(it) = Two::start(routes) else { return };
    assert_eq!(it.connect_from("127.0.0.7").call("SET batch 1"), "+OK");
    assert_eq!(it.connect_from("127.0.0.8").call("SET other 1"), "+OK");
    assert_eq!(it.connect().call("SET own 1"), "+OK");
    assert_eq!(it.keys(), ["other own", "batch"]);
    // What is known of clients changes under their connections.
    let mut moved = it.connect_from("127.0.0.8");
    let mut left = it.connect_from("127.0.0.7");
    it.manifests
        .write("workload.yaml", &WORKLOAD.replace("127.0.0.7", "127.0.0.8"));
    until("the other client is the batch", || {
        assert_eq!(moved.call("SET moved 1"), "+OK");
        it.keys()[1].contains("moved").then_some(())
    });
    assert_eq!(left.call("SET left 1"), "+OK");
    assert!(it.keys()[0].contains("left"));
}

const POLICY: &str = "  \
  - match: { attributes: { command: { exact: get } } }
    timeout: 150ms
";

/// That a `GET` is given up in time, and nothing else is.
fn assert_only_get_is_limited(server: &Server, client: &mut Wire) {
    assert_eq!(client.call("SET k v"), "+OK");
    server.process().signal("STOP");
    let late = client.call("GET k");
    assert!(late.contains("within the deadline"), "{late}");
    client.command("STRLEN k");
    server.process().signal("CONT");
    assert_eq!(client.reply(), ":1");
    assert_eq!(client.call("GET k"), "v");
}

#[test]
fn routes_without_destinations_say_how_requests_are_treated() {
    let Some(two) = Two::start(POLICY) else {
        return;
    };
    assert_only_get_is_limited(&two.cache, &mut two.connect());
}

#[test]
fn where_a_redisservice_routes_the_policy_is_the_metarouters() {
    if !Server::is_installed() {
        return;
    }
    let cache = Server::start(&[]);
    let proxied = Proxied::start(&[("cache.demo", &cache)], "");
    let manifest = format!("{ROUTER}{POLICY}");
    proxied.manifests().write("policy.yaml", &manifest);
    until("the policy", || {
        let page = proxied.page("/config_dump");
        page.contains("0.15s").then_some(())
    });
    assert_only_get_is_limited(&cache, &mut proxied.connect());
}
