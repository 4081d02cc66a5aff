//! How often a request is sent at worst, and how long that takes; and that it comes to no more.

use std::time::{Duration, Instant};

use super::*;

const REPEATED: &str = "
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: cache}
spec:
  hosts: [cache.demo]
  gateways: [edge]
  globalRateLimit:
    matches: [{attributes: {key: {prefix: 'limited:'}}}]
    domain: shop
    requestTimeout: 30ms
    rateLimitService: 'outbound|8081||ratelimit.demo'
    descriptors: [{property: command, descriptorKey: verb}, {property: key, descriptorKey: what}]
  routes:
  - name: all
    match: {attributes: {command: {exact: get}}}
    retries: {attempts: 2, perTryTimeout: 300ms, retryOn: 'timeout,connect-failure', backoff: 20ms}
    hedge: {delay: 100ms}
    fault: {delay: {percentage: {value: 100}, fixedDelay: 50ms}}
    adaptiveConcurrency: {concurrencyUpdateInterval: 100ms, maxConcurrencyLimit: 40, minRttCalcParams: {interval: 60s}}
    route: [{destination: {host: cache.demo}}]
  - name: bounded
    match: {attributes: {command: {exact: set}}}
    timeout: 400ms
    retries: {attempts: 4, perTryTimeout: 200ms, retryOn: 'timeout', retryNonIdempotent: true}
    route: [{destination: {host: cache.demo}}]
  - name: late
    match: {attributes: {command: {exact: del}}}
    idempotent: true
    retries: {attempts: 1, perTryTimeout: 200ms}
    hedge: {delay: 5s}
    route: [{destination: {host: cache.demo}}]
  - name: plain
    route: [{destination: {host: cache.demo}}]
";

const LIMITER: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ratelimit}
spec:
  hosts: [ratelimit.demo]
  ports: [{number: 8081, name: grpc, protocol: GRPC}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {grpc: 1}}]
";

/// Nodes that never answer.
fn silent() -> Scripted {
    Scripted::start(4, |_: &Asked<'_>| None)
}

fn start(nodes: &Scripted) -> (Manifests, Meltemi) {
    let addresses: Vec<_> = (0..4).map(|node| nodes.address(node)).collect();
    let manifests = manifests(&addresses);
    manifests.write("routes.yaml", REPEATED);
    manifests.write("limiter.yaml", LIMITER);
    let rule = "{retryBudget: {percent: 100, minRetryConcurrency: 50}}";
    let rule = rule_of_all(rule);
    manifests.write("rule.yaml", &rule);
    let meltemi = Meltemi::run_with(manifests.path(), &["--locality", HERE]);
    (manifests, meltemi)
}

fn rule_of_all(policy: &str) -> String {
    rule(policy).replace("subsets: [{name: near, labels: {version: v1}}], ", "")
}

/// A command and a key: how often it is sent at most, how long that takes, and why.
const WORST: &[(&str, &str, u32, Option<&str>, &str)] = &[
    (
        "get",
        "a",
        4,
        Some("1.11s"),
        "3 tries and 1 hedge; 3 × 0.3s + 0.06s of pauses + 0.1s before the hedge + 0.05s before \
         it is sent = 1.11s",
    ),
    (
        "get",
        "limited:a",
        4,
        Some("1.14s"),
        "3 tries and 1 hedge; 3 × 0.3s + 0.06s of pauses + 0.1s before the hedge + 0.08s before \
         it is sent = 1.14s",
    ),
    (
        "set",
        "a",
        5,
        Some("0.4s"),
        "5 tries; 5 × 0.2s + 0.375s of pauses = 1.375s, and no longer than the timeout of 0.4s",
    ),
    (
        "del",
        "a",
        2,
        Some("0.425s"),
        "2 tries, and no hedge, as its delay of 5s is longer than they last; 2 × 0.2s + 0.025s of \
         pauses = 0.425s",
    ),
    (
        "type",
        "a",
        1,
        None,
        "1 try; no limit, as there is neither a timeout nor a perTryTimeout",
    ),
];

#[test]
fn the_worst_case_agrees_and_holds() {
    let nodes = silent();
    let (manifests, meltemi) = start(&nodes);
    let ask = |command, key| {
        let attributes: &[_] = &[("command", command), ("key", key)];
        let source = None;
        Question { attributes, source }.agree(&manifests, &meltemi, &[])
    };
    for (command, key, attempts, longest, because) in WORST {
        let answer = ask(command, key);
        let worst = &answer["worst_case"];
        assert_eq!(worst["attempts"], *attempts, "{answer:#}");
        assert_eq!(worst["longest"], json!(longest), "{answer:#}");
        assert_eq!(worst["because"], *because, "{answer:#}");
    }
    // A command is the same, however it is written.
    assert_eq!(ask("GET", "a")["route"]["name"], "all");
    let budget = "100% of the requests under way may be repetitions, and 50 always may";
    assert_eq!(ask("get", "a")["destinations"][0]["retry_budget"], budget);
    let began = Instant::now();
    let mut client = Wire::connect(meltemi.address("default/edge/redis"));
    let reply = client.call("GET a");
    let took = began.elapsed();
    assert!(reply.starts_with('-'), "{reply}");
    let sent = nodes.log().iter().filter(|(_, it)| it == "GET a").count();
    assert_eq!(sent, 4, "{:?}", nodes.log());
    // All but the pauses, which are drawn.
    assert!(took >= Duration::from_millis(1050), "{took:?}");
}

#[test]
fn global_limits_and_adaptive_concurrency_agree() {
    let nodes = silent();
    let (manifests, meltemi) = start(&nodes);
    let ask = |attributes: &[(&str, &str)]| {
        let source = None;
        Question { attributes, source }.agree(&manifests, &meltemi, &[])
    };
    let limited = ask(&[("command", "get"), ("key", "limited:a")]);
    let expected = json!({
        "limit": "default/cache", "cluster": "outbound|8081||ratelimit.demo", "exists": true,
        "domain": "shop", "timeout": "0.03s", "deny_on_fail": false,
        "descriptor": [{ "key": "verb", "value": "get" }, { "key": "what", "value": "limited:a" }],
    });
    assert_eq!(limited["global_rate_limit"], expected, "{limited:#}");
    let free = ask(&[("command", "get"), ("key", "a")]);
    assert_eq!(free["global_rate_limit"], Value::Null);
    // Of each worker three, while the latency without a queue is measured.
    let concurrency = || ask(&[("command", "get"), ("key", "a")])["adaptive_concurrency"].clone();
    let idle = concurrency();
    assert_eq!((&idle["least"], &idle["most"]), (&json!(3), &json!(40)));
    assert_eq!(idle["under_way"], 0, "{idle}");
    assert!(idle["limit"].as_u64().is_some_and(|it| it >= 3), "{idle}");
    let mut clients: Vec<_> = (0..2)
        .map(|_| Wire::connect(meltemi.address("default/edge/redis")))
        .collect();
    for client in &mut clients {
        client.command("GET a");
    }
    until("both are under way", || {
        (concurrency()["under_way"] == 2).then_some(())
    });
    until("both are over", || {
        (concurrency()["under_way"] == 0).then_some(())
    });
}
