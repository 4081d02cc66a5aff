//! Who is left out: endpoints that their health check finds frozen or absent, with no request to tell; and
//! those that outlier detection ejects. Through real peers.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use meltemi_tests::dubbo::{self, Generation};
use meltemi_tests::redis::{self, Server};
use meltemi_tests::thrift::wire::{EXCEPTION, Message, Scripted, number_field};
use meltemi_tests::thrift::{Form, Language, Peers};
use meltemi_tests::{Endpoint, Manifests, Meltemi, until};
use serde_json::{Value, json};

/// Found within a quarter of a second, and back as soon.
const CHECK: &str = "interval: 50ms, timeout: 100ms, unhealthyThreshold: 2, healthyThreshold: 3";
const FORM: Form = Form::of("framed", "binary");

/// A DestinationRule of this policy, in the place of the one that is there.
fn rule(manifests: &Manifests, host: &str, policy: &str) {
    let name = host.split('.').next().unwrap_or(host);
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{ name: {name} }}\nspec:\n  \
         host: {host}\n  trafficPolicy: {{ {policy} }}\n  subsets: [{{ name: v1, labels: {{ version: v1 }} }}]\n"
    );
    manifests.write(&format!("{name}-subsets.yaml"), &text);
}

/// A proxy before servers of one version on these ports.
fn before(manifests: &Manifests, ports: &[u16], policy: &str) -> Meltemi {
    let endpoint = |port: &u16| Endpoint {
        port: *port,
        version: "v1",
        locality: "r1/z1/s1",
    };
    let endpoints: Vec<_> = ports.iter().map(endpoint).collect();
    manifests.service("probe.test", &endpoints);
    rule(manifests, "probe.test", policy);
    manifests.routes("probe.test", "");
    Meltemi::run(manifests.path())
}

/// What `/clusters` says of the endpoint on a port.
fn endpoint(meltemi: &Meltemi, port: u16) -> Value {
    let page = meltemi.get("/clusters").expect("the clusters");
    let page: Value = serde_json::from_str(&page.body).expect("JSON");
    let clusters = page["clusters"].as_object().expect("clusters by name");
    let endpoints = clusters
        .values()
        .flat_map(|cluster| cluster["endpoints"].as_array().into_iter().flatten());
    let address = format!("127.0.0.1:{port}");
    let mut found = endpoints.filter(|it| it["address"] == *address);
    found.next().cloned().unwrap_or_default()
}

fn has_flags(meltemi: &Meltemi, port: u16, flags: &[&str]) {
    until(&format!("the flags of {port} are {flags:?}"), || {
        (endpoint(meltemi, port)["health_flags"] == json!(flags)).then_some(())
    });
}

const FAILED: &[&str] = &["/failed_active_hc"];
const EJECTED: &[&str] = &["/failed_outlier_check"];

/// The sum of a metric over all clusters.
fn metric(meltemi: &Meltemi, name: &str) -> u64 {
    let page = meltemi.get("/metrics").expect("the metrics");
    let lines = page.body.lines();
    let values = lines.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        (series.split('{').next() == Some(name)).then(|| value.parse::<u64>().ok())?
    });
    values.sum()
}

/// So many more checks have passed.
fn checks_pass(meltemi: &Meltemi, more: u64) {
    const PASSED: &str = "meltemi_health_check_successes_total";
    let before = metric(meltemi, PASSED);
    until("health checks pass", || {
        (metric(meltemi, PASSED) >= before + more).then_some(())
    });
}

/// A port of loopback on which nobody listens.
fn nobody() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("a bound socket").port()
}

fn redis_before(endpoints: &[SocketAddr], policy: &str) -> (Manifests, Meltemi) {
    let manifests = redis::manifests(endpoints);
    rule(&manifests, "cache.demo", policy);
    let meltemi = Meltemi::run(manifests.path());
    (manifests, meltemi)
}

/// Each on a connection of its own; the longest that any of them took.
fn redis_calls(meltemi: &Meltemi, count: usize) -> Duration {
    let address = meltemi.address("default/edge/redis");
    let calls = (0..count).map(|_| {
        let began = Instant::now();
        let reply = redis::Wire::connect(address).call("SET k v");
        assert_eq!(reply, "+OK");
        began.elapsed()
    });
    calls.max().unwrap_or_default()
}

fn commands(server: &Server) -> String {
    server.connect().call("INFO commandstats")
}

#[test]
fn a_frozen_redis_server_is_found_without_traffic_and_comes_back() {
    if !Server::is_installed() {
        return;
    }
    let (a, b) = (Server::start(&[]), Server::start(&[]));
    let policy = format!("healthCheck: {{ {CHECK} }}");
    let (_manifests, meltemi) = redis_before(&[a.address(), b.address()], &policy);
    checks_pass(&meltemi, 4);
    assert!(commands(&a).contains("cmdstat_ping"), "{}", commands(&a));

    a.process().signal("STOP");
    has_flags(&meltemi, a.address().port(), FAILED);
    // A request that reached the frozen one would wait for ever.
    let slowest = redis_calls(&meltemi, 40);
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(metric(&meltemi, "meltemi_health_check_failures_total") >= 2);
    assert_eq!(
        metric(&meltemi, "meltemi_health_check_healthy_endpoints"),
        1
    );
    let said = meltemi.process().said();
    assert!(said.contains("fails its health check"), "{said}");

    a.process().signal("CONT");
    has_flags(&meltemi, a.address().port(), &[]);
    assert!(!commands(&a).contains("cmdstat_set"), "{}", commands(&a));
    redis_calls(&meltemi, 40);
    assert!(commands(&a).contains("cmdstat_set"), "{}", commands(&a));
}

#[test]
fn a_server_that_never_was_gets_no_request() {
    if !Server::is_installed() {
        return;
    }
    let (server, absent) = (Server::start(&[]), nobody());
    let absent = SocketAddr::from((Ipv4Addr::LOCALHOST, absent));
    let policy = format!("healthCheck: {{ {CHECK}, tcp: true }}");
    let (_manifests, meltemi) = redis_before(&[server.address(), absent], &policy);
    has_flags(&meltemi, absent.port(), FAILED);
    let before = metric(&meltemi, "meltemi_upstream_connect_failures_total");
    redis_calls(&meltemi, 30);
    let after = metric(&meltemi, "meltemi_upstream_connect_failures_total");
    assert_eq!(before, after);
    // By a connection alone: nothing was asked.
    assert!(!commands(&server).contains("cmdstat_ping"));
}

#[test]
fn a_redis_server_with_a_password_is_alive_and_logged_in_to_where_there_is_one() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&["--requirepass", "open-sesame"]);
    let policy = format!("healthCheck: {{ {CHECK} }}");
    let (manifests, meltemi) = redis_before(&[server.address()], &policy);
    checks_pass(&meltemi, 5);
    has_flags(&meltemi, server.address().port(), &[]);
    let statistics = || {
        let mut wire = server.connect();
        assert_eq!(wire.call("AUTH open-sesame"), "+OK");
        wire.call("INFO commandstats")
    };
    assert!(
        statistics().contains("cmdstat_ping:calls=0"),
        "{}",
        statistics()
    );

    manifests.write(
        "destination.yaml",
        "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisDestination\nmetadata: { name: cache }\nspec:\n  \
         host: cache.demo\n  trafficPolicy:\n    connectionPool:\n      redis:\n        mode: PROXY\n        \
         auth: { plain: { password: open-sesame } }\n",
    );
    until("the check logs in", || {
        statistics().lines().find_map(|line| {
            let calls = line.strip_prefix("cmdstat_ping:calls=")?;
            (!calls.starts_with("0,")).then_some(())
        })
    });
    has_flags(&meltemi, server.address().port(), &[]);
}

fn thrift_calls(meltemi: &Meltemi, peers: &Peers, calls: &Value) -> Vec<Value> {
    let port = meltemi.address("default/edge/thrift").port();
    peers.client(Language::Python).session(port, FORM, calls)
}

fn many(method: &str, count: usize) -> Value {
    Value::from(vec![json!([method]); count])
}

#[test]
fn a_frozen_thrift_server_is_found_by_a_call() {
    let Some(peers) = Peers::find() else { return };
    let (a, b) = (
        peers.server(Language::Python, "a", &[FORM]),
        peers.server(Language::Python, "b", &[FORM]),
    );
    let ports = [a.port(FORM), b.port(FORM)];
    let manifests = Manifests::thrift_gateway();
    let policy = format!("healthCheck: {{ {CHECK}, settings: {{ check: label }} }}");
    let meltemi = before(&manifests, &ports, &policy);
    checks_pass(&meltemi, 4);
    a.freeze();
    has_flags(&meltemi, ports[0], FAILED);
    for answer in thrift_calls(&meltemi, &peers, &many("label", 20)) {
        assert_eq!(answer["value"], "b");
    }
    a.thaw();
    has_flags(&meltemi, ports[0], &[]);
}

#[test]
fn a_method_that_a_server_does_not_know_is_an_answer() {
    let Some(peers) = Peers::find() else { return };
    let server = peers.server(Language::Python, "a", &[FORM]);
    let manifests = Manifests::thrift_gateway();
    let policy = format!("healthCheck: {{ {CHECK}, settings: {{ check: absent }} }}");
    let meltemi = before(&manifests, &[server.port(FORM)], &policy);
    checks_pass(&meltemi, 4);
    has_flags(&meltemi, server.port(FORM), &[]);
    assert_eq!(metric(&meltemi, "meltemi_health_check_failures_total"), 0);
}

#[test]
fn a_frozen_dubbo_provider_is_found_by_its_heartbeat() {
    let Some(peers) = dubbo::Peers::find() else {
        return;
    };
    let (a, b) = (
        peers.provider(Generation::V3_3_6, "a"),
        peers.provider(Generation::V2_7_23, "b"),
    );
    let manifests = Manifests::dubbo_gateway();
    let policy = format!("healthCheck: {{ {CHECK} }}");
    let meltemi = before(&manifests, &[a.port(), b.port()], &policy);
    checks_pass(&meltemi, 4);
    a.freeze();
    has_flags(&meltemi, a.port(), FAILED);
    let port = meltemi.address("default/edge/dubbo").port();
    let mut load = peers.load(Generation::V3_3_6, port, 8, None);
    let (run, _) = load.runs_until("b answers", 100, |run| run.of("b") > 0);
    assert!(run.is_clean() && run.of("a") == 0, "{run:?}");
    a.thaw();
    has_flags(&meltemi, a.port(), &[]);
    load.runs_until("a answers", 100, |run| run.of("a") > 0);
    assert!(load.stop().is_clean());
}

#[test]
fn errors_of_the_application_eject_only_where_that_is_asked_for() {
    let Some(peers) = Peers::find() else { return };
    let server = peers.server(Language::Python, "a", &[FORM]);
    let manifests = Manifests::thrift_gateway();
    let ejecting = "consecutive5xxErrors: 3, interval: 1h, baseEjectionTime: 1h";
    let policy = format!("outlierDetection: {{ {ejecting} }}");
    let meltemi = before(&manifests, &[server.port(FORM)], &policy);
    let refusals = Value::from(vec![json!(["refuse", 7]); 20]);
    let answers = thrift_calls(&meltemi, &peers, &refusals);
    assert!(
        answers.iter().all(|it| !it["refused"].is_null()),
        "{answers:?}"
    );
    assert_eq!(metric(&meltemi, "meltemi_upstream_ejections_total"), 0);

    let policy = format!("outlierDetection: {{ {ejecting}, applicationErrors: true }}");
    rule(&manifests, "probe.test", &policy);
    until("it is ejected", || {
        thrift_calls(&meltemi, &peers, &refusals);
        (metric(&meltemi, "meltemi_upstream_ejections_total") == 1).then_some(())
    });
    has_flags(&meltemi, server.port(FORM), EJECTED);
}

/// Answers every so many-th call with an error of its own.
fn failing(every: usize) -> Scripted {
    Scripted::start(move |mut stream| {
        for n in 1.. {
            let Ok(call) = Message::read(&mut stream) else {
                return;
            };
            let fails = every > 0 && n % every == 0;
            let exception = Message {
                kind: EXCEPTION,
                body: number_field(2, 6),
                ..call.clone()
            };
            let answer = if fails { exception } else { call.reply("well") };
            if stream.write_all(&answer.framed()).is_err() {
                return;
            }
        }
    })
}

#[test]
fn who_succeeds_far_less_often_than_the_others_is_ejected() {
    let Some(peers) = Peers::find() else { return };
    let servers = [failing(2), failing(0), failing(0)];
    let ports: Vec<_> = servers.iter().map(Scripted::port).collect();
    let manifests = Manifests::thrift_gateway();
    let policy = "loadBalancer: { simple: ROUND_ROBIN }, outlierDetection: { consecutive5xxErrors: 0, \
                  interval: 500ms, baseEjectionTime: 1h, maxEjectionPercent: 34, successRate: \
                  { minimumHosts: 3, requestVolume: 4, stdevFactor: 1000 } }";
    let meltemi = before(&manifests, &ports, policy);
    until("it is ejected", || {
        thrift_calls(&meltemi, &peers, &many("label", 60));
        let flags = &endpoint(&meltemi, ports[0])["health_flags"];
        (*flags == json!(EJECTED)).then_some(())
    });
    let said = meltemi.process().said();
    assert!(said.contains("SuccessRate"), "{said}");
    for port in &ports[1..] {
        has_flags(&meltemi, *port, &[]);
    }
}

#[test]
fn ejections_grow_and_a_check_that_passes_ends_one() {
    if !Server::is_installed() {
        return;
    }
    let absent = SocketAddr::from((Ipv4Addr::LOCALHOST, nobody()));
    let server = Server::start(&[]);
    let outliers =
        "outlierDetection: { consecutive5xxErrors: 1, interval: 50ms, baseEjectionTime: 400ms }";
    let (manifests, meltemi) = redis_before(&[server.address(), absent], outliers);
    let ejection = || {
        let is_ejected = || endpoint(&meltemi, absent.port())["ejected"] == true;
        until("it is ejected", || {
            redis_calls(&meltemi, 8);
            is_ejected().then_some(())
        });
        let began = Instant::now();
        until("it is taken back", || (!is_ejected()).then_some(()));
        began.elapsed()
    };
    let (first, second) = (ejection(), ejection());
    assert!(
        second > first + Duration::from_millis(200),
        "{first:?} {second:?}"
    );

    // Ejected for an hour; somebody listens there again, and a check finds out.
    let outliers = outliers.replace("400ms", "1h");
    rule(&manifests, "cache.demo", &outliers);
    until("it is ejected for long", || {
        redis_calls(&meltemi, 8);
        let said = meltemi.process().said();
        (said.matches("endpoint ejected").count() >= 3).then_some(())
    });
    let _listener = TcpListener::bind(absent).expect("the port is free");
    let policy = format!("{outliers}, healthCheck: {{ {CHECK}, tcp: true }}");
    rule(&manifests, "cache.demo", &policy);
    has_flags(&meltemi, absent.port(), &[]);
}
