//! Limits, faults, hashes, checks and hedging, and what is in use of bounds and buckets.

use super::*;

const TREATED: &str = "
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: cache}
spec:
  hosts: [cache.demo]
  gateways: [edge]
  localRateLimit:
    tokenBucket: {maxTokens: 100, tokensPerFill: 1, fillInterval: 1h}
    conditions:
    - match: {attributes: {command: {exact: set}}}
      tokenBucket: {maxTokens: 5, tokensPerFill: 1, fillInterval: 1h}
    - matches: [{attributes: {key: {prefix: 'x:'}}}]
      tokenBucket: {maxTokens: 7, tokensPerFill: 2, fillInterval: 1h}
  routes:
  - name: reads
    match: {attributes: {command: {exact: get}}}
    timeout: 30s
    hedge: {delay: 20s}
    fault:
      delay: {percentage: {value: 0}, fixedDelay: 1.5s}
      abort: {percentage: {value: 0}, status: overloaded}
    hashPolicy: [key]
    circuitBreaker: {maxRequests: 9}
    route: [{destination: {host: cache.demo}}]
  - name: writes
    match: {attributes: {command: {exact: set}}}
    hashPolicy: [{attribute: user, terminal: true}, {connection: true}]
    route: [{destination: {host: cache.demo}}]
  - name: rest
    idempotent: true
    hedge: {delay: 20s}
    fault: {abort: {percentage: {value: 0}}}
    route: [{destination: {host: cache.demo}}]
";

const BOUNDED: &str = "{
  loadBalancer: {consistentHash: {maglev: {}, useSourceIp: true, hashBalanceFactor: 200}},
  connectionPool: {
    tcp: {maxConnections: 20, maxConnectionDuration: 1h, idleTimeout: 10m},
    http: {http2MaxRequests: 30, http1MaxPendingRequests: 40, maxRequestsPerConnection: 50, maxRetries: 6}},
  healthCheck: {interval: 100ms, timeout: 5s, unhealthyThreshold: 2}}";

/// A proxy whose service has limits, faults, hashes and checks before it, one of whose endpoints is gone.
struct Treated {
    nodes: Scripted,
    dead: SocketAddr,
    manifests: Manifests,
    meltemi: Meltemi,
}

impl Treated {
    /// One key is answered in the second stage.
    fn start() -> Self {
        let nodes = Scripted::start(2, |asked: &Asked<'_>| {
            let is_ready = asked.stage > 0 || !asked.words.contains("slow");
            is_ready.then(|| b"+OK\r\n".to_vec())
        });
        let dead = nobody();
        let manifests = manifests(&[dead, nodes.address(0), nodes.address(1)]);
        manifests.write("routes.yaml", TREATED);
        let rule = rule(BOUNDED).replace("subsets: [{name: near, labels: {version: v1}}], ", "");
        manifests.write("rule.yaml", &rule);
        let meltemi = Meltemi::run_with(manifests.path(), &["--locality", HERE]);
        let treated = Self {
            nodes,
            dead,
            manifests,
            meltemi,
        };
        until("the check fails", || {
            let answer = treated.ask_proxy("get", "a");
            let endpoints = answer["destinations"][0]["tiers"][0]["endpoints"].to_string();
            endpoints.contains("\"failed_check\":true").then_some(())
        });
        treated
    }

    fn ask_proxy(&self, command: &str, key: &str) -> Value {
        let attributes: &[_] = &[("command", command), ("key", key)];
        let source = Some("127.0.0.1");
        Question { attributes, source }.of_proxy(&self.meltemi)
    }

    /// What both say.
    fn ask(&self, command: &str, key: &str, source: Option<&str>) -> Value {
        let attributes: &[_] = &[("command", command), ("key", key)];
        let failed = [self.dead];
        Question { attributes, source }.agree(&self.manifests, &self.meltemi, &failed)
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address("default/edge/redis"))
    }

    /// The node that was sent this.
    fn served(&self, words: &str) -> String {
        let log = self.nodes.log();
        let mut sent = log.iter().filter(|(_, it)| it == words);
        let (node, _) = sent.next().unwrap_or_else(|| panic!("{words}: {log:?}"));
        self.nodes.address(*node).to_string()
    }
}

#[test]
fn limits_faults_checks_and_hedging_agree() {
    let treated = Treated::start();
    let read = treated.ask("get", "a", None);
    let expected = [
        ("hedge", json!({ "delay": "20s", "idempotent_only": true })),
        (
            "faults",
            json!([
                { "percentage": 0.0, "delay": "1.5s" },
                { "percentage": 0.0, "error": "overloaded" },
            ]),
        ),
        ("max_requests", json!(9)),
        ("unanswered", json!(0)),
        ("max_connection_duration", json!("3600s")),
        ("client_idle_timeout", json!("600s")),
    ];
    for (name, value) in expected {
        assert_eq!(read[name], value, "{read:#}");
    }
    let to = &read["destinations"][0];
    let check = "by redis every 100ms, left out after 2 without an answer in 5s, back after 1";
    assert_eq!(to["health_check"], check, "{to:#}");
    assert_eq!(to["limits"].as_array().map(Vec::len), Some(5), "{to:#}");
    let rest = treated.ask("del", "a", None);
    assert_eq!(rest["hedge"]["idempotent_only"], false);
    assert_eq!(rest["faults"][0]["error"], "fault-injected");
}

#[test]
fn a_bucket_is_told_with_the_tokens_that_it_has() {
    let treated = Treated::start();
    let bucket = |command, key| {
        let limit = treated.ask(command, key, None)["rate_limit"].clone();
        (limit["condition"].clone(), limit["tokens"].clone())
    };
    assert_eq!(bucket("set", "x:1"), (json!(1), json!(5)));
    assert_eq!(bucket("get", "x:1"), (json!(2), json!(7)));
    assert_eq!(bucket("get", "a"), (Value::Null, json!(100)));
    let mut client = treated.connect();
    for _ in 0..7 {
        client.call("SET x:1 v");
    }
    client.call("GET x:1");
    assert_eq!(bucket("set", "a"), (json!(1), json!(0)));
    assert_eq!(bucket("del", "x:1"), (json!(2), json!(6)));
    assert_eq!(bucket("get", "a"), (Value::Null, json!(100)));
}

#[test]
fn what_is_in_use_is_told_with_what_is_allowed() {
    let treated = Treated::start();
    let in_use = || {
        let answer = treated.ask_proxy("get", "slow");
        let requests = &answer["destinations"][0]["circuit_breakers"]["requests"];
        (answer["unanswered"].clone(), requests.clone())
    };
    let of = |n: u32| {
        let remaining = 30 - n;
        (
            json!(n),
            json!({ "in_use": n, "max": 30, "remaining": remaining }),
        )
    };
    assert_eq!(in_use(), of(0));
    let mut clients: Vec<_> = (0..2).map(|_| treated.connect()).collect();
    for client in &mut clients {
        client.command("GET slow");
    }
    until("both are under way", || (in_use() == of(2)).then_some(()));
    treated.ask("get", "slow", None);
    treated.nodes.turn();
    for client in &mut clients {
        assert_eq!(client.reply(), "+OK");
    }
    until("both are over", || (in_use() == of(0)).then_some(()));
}

#[test]
fn the_endpoint_of_a_hash_agrees_and_serves() {
    let treated = Treated::start();
    let mut client = treated.connect();
    let endpoint = |answer: &Value| answer["destinations"][0]["key"]["endpoint"].clone();
    let mut owners = vec![];
    for n in 0..20 {
        let words = format!("GET key:{n}");
        let owner = endpoint(&treated.ask("get", &format!("key:{n}"), None));
        client.call(&words);
        assert_eq!(owner, treated.served(&words), "{words}");
        owners.push(owner);
    }
    assert!(owners.iter().any(|owner| *owner != owners[0]), "{owners:?}");
    // Where the route says nothing, the cluster hashes where a client comes from.
    let rest = treated.ask("del", "a", Some("127.0.0.1"));
    client.call("DEL a");
    assert_eq!(endpoint(&rest), treated.served("DEL a"));
    let unsaid = treated.ask("del", "a", None);
    let nothing = "the request has nothing of what is hashed: any endpoint serves";
    assert_eq!(unsaid["destinations"][0]["unhashed"], nothing);
    let written = treated.ask("set", "a", None);
    let to = &written["destinations"][0];
    assert_eq!(to["unhashed"], "each connection has an endpoint of its own");
    let by = "MAGLEV by the attribute user, or else the connection, to an endpoint with at most 200% \
              of its part of the requests";
    assert_eq!(to["load_balancer"], by);
}
