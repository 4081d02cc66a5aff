//! `POST /explain` of a running proxy says what `meltemi explain` says of its manifests, before an
//! ejection and, where that is told what failed, after it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use meltemi_tests::redis::{Asked, Scripted, Wire, manifests, service};
use meltemi_tests::{Manifests, Meltemi, binary, until};
use serde_json::{Map, Value, json};

#[path = "explain/clusters.rs"]
mod clusters;
#[path = "explain/treated.rs"]
mod treated;
#[path = "explain/worst.rs"]
mod worst;

const HERE: &str = "r1/z1/s1";

/// The question, to both.
struct Question<'a> {
    attributes: &'a [(&'a str, &'a str)],
    source: Option<&'a str>,
}

impl Question<'_> {
    fn of_manifests(&self, manifests: &Manifests, failed: &[SocketAddr]) -> Value {
        let mut explain = Command::new(binary());
        explain.args(["explain", "--service", "cache.demo", "--output", "json"]);
        explain
            .args(["--locality", HERE, "-f"])
            .arg(manifests.path());
        for (name, value) in self.attributes {
            explain.arg("--attr").arg(format!("{name}={value}"));
        }
        if let Some(source) = self.source {
            explain.args(["--source", source]);
        }
        for address in failed {
            explain.arg("--failed").arg(address.to_string());
        }
        let output = explain.output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn of_proxy(&self, meltemi: &Meltemi) -> Value {
        let attributes: Map<_, _> = self
            .attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let question = json!({
            "service": "cache.demo",
            "listener": "default/edge/redis",
            "attributes": attributes,
            "source": self.source,
        });
        let answer = meltemi.post("/explain", &question.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Compares the answers, and gives that of the proxy.
    fn agree(&self, manifests: &Manifests, meltemi: &Meltemi, failed: &[SocketAddr]) -> Value {
        let (said, lives) = (self.of_manifests(manifests, failed), self.of_proxy(meltemi));
        let mut compared = vec![];
        are_same("", &said, &lives, &mut compared);
        // What only the manifests know, or only the proxy.
        let own = [
            ".service",
            ".version",
            ".attributes[].from_annotation",
            ".policy_of",
            ".file",
            ".line",
            ".number",
            ".ejected",
            ".failed_check",
            ".circuit_breakers",
            ".rate_limit.tokens",
            ".unanswered",
            ".adaptive_concurrency.limit",
            ".adaptive_concurrency.under_way",
        ];
        for path in compared {
            assert!(
                own.iter().any(|own| path.ends_with(own)),
                "{path}: {said:#}\n{lives:#}"
            );
        }
        lives
    }
}

/// Panics where a field of both differs; collects the paths of those that one alone has.
fn are_same(path: &str, said: &Value, lives: &Value, alone: &mut Vec<String>) {
    match (said, lives) {
        (Value::Object(said), Value::Object(lives)) => {
            for (name, value) in said {
                let path = format!("{path}.{name}");
                match lives.get(name) {
                    Some(other) => are_same(&path, value, other, alone),
                    None => alone.push(path),
                }
            }
            let others = lives.keys().filter(|name| !said.contains_key(*name));
            alone.extend(others.map(|name| format!("{path}.{name}")));
        }
        (Value::Array(said), Value::Array(lives)) => {
            assert_eq!(said.len(), lives.len(), "{path}: {said:?} {lives:?}");
            for (said, lives) in said.iter().zip(lives) {
                are_same(&format!("{path}[]"), said, lives, alone);
            }
        }
        // The manifests know besides who says so.
        (Value::String(said), Value::String(lives)) if path.ends_with("[].locality") => {
            assert!(said.starts_with(lives), "{path}: {said} {lives}");
        }
        _ => assert_eq!(said, lives, "{path}"),
    }
}

fn rule(policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: cache}}\n\
         spec: {{host: cache.demo, subsets: [{{name: near, labels: {{version: v1}}}}], \
         trafficPolicy: {policy}}}\n"
    )
}

const OUTLIERS: &str = "outlierDetection: {consecutive5xxErrors: 1, interval: 1h, \
                        baseEjectionTime: 1h, maxEjectionPercent: 100}";

const WARMUP: &str =
    "loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 90s, minimumPercent: 7}}";

fn in_places(addresses: &[SocketAddr]) -> String {
    let mut text = service("cache.demo", addresses);
    for (address, (place, version)) in
        addresses
            .iter()
            .zip([("r1/z1/s1", "v1"), ("r1/z2/s1", "v2"), ("r2/z1/s1", "v1")])
    {
        let ports = format!("ports: {{ tcp-redis: {} }}\n", address.port());
        let placed =
            format!("{ports}      locality: {place}\n      labels: {{ version: {version} }}\n");
        text = text.replace(&ports, &placed);
    }
    text
}

fn nodes() -> Scripted {
    Scripted::start(2, |_: &Asked<'_>| Some(b"+OK\r\n".to_vec()))
}

/// Nobody listens there.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Calls until the one that is dead is ejected from all clusters that these requests go to.
fn eject(meltemi: &Meltemi, questions: &[Question<'_>]) {
    let mut client = Wire::connect(meltemi.address("default/edge/redis"));
    until("the ejection", || {
        for key in 0..20 {
            client.call(&format!("GET a:{key}"));
            client.call(&format!("DEL x:{key}"));
        }
        let is_ejected = |question: &Question<'_>| {
            let answer = question.of_proxy(meltemi);
            answer["destinations"]
                .to_string()
                .contains("\"ejected\":true")
        };
        questions.iter().all(is_ejected).then_some(())
    });
}

const ROUTER: &str = "
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: cache}
spec:
  hosts: [cache.demo]
  gateways: [edge]
  routes:
  - name: writes
    match: {attributes: {command: {regex: 'set|del'}, key: {prefix: 'x:'}}}
    route: [{destination: {host: cache.demo}}]
  - name: two
    matches:
    - {attributes: {key: {exact: two}}}
    - {attributes: {key: {suffix: TWO, ignoreCase: true}}}
    route:
    - {destination: {host: cache.demo}, weight: 70}
    - {destination: {host: cache.demo, subset: near}, weight: 30}
  - name: rest
    timeout: 2.5s
    retries: {attempts: 2, perTryTimeout: 500ms, retryOn: 'connect-failure,timeout'}
    mirror: {host: cache.demo, subset: near}
    mirrorPercentage: {value: 12.5}
    route:
    - destination: {host: cache.demo, subset: near}
      fallback: [{host: cache.demo}]
";

#[test]
fn routes_tiers_and_treatment_agree_before_and_after_an_ejection() {
    let nodes = nodes();
    let dead = nobody();
    let manifests = manifests(&[]);
    manifests.write(
        "service.yaml",
        &in_places(&[dead, nodes.address(0), nodes.address(1)]),
    );
    manifests.write("routes.yaml", ROUTER);
    manifests.write("rule.yaml", &rule(&format!("{{{OUTLIERS}, {WARMUP}}}")));
    let meltemi = Meltemi::run_with(manifests.path(), &["--locality", HERE]);
    let questions = [
        ("get", "a:1", "rest"),
        ("set", "two", "two"),
        ("get", "number-two", "two"),
        ("del", "x:1", "writes"),
    ];
    let ask = |failed: &[SocketAddr]| {
        for (command, key, route) in questions {
            let question = Question {
                attributes: &[("command", command), ("key", key)],
                source: Some("192.0.2.7"),
            };
            let answer = question.agree(&manifests, &meltemi, failed);
            assert_eq!(answer["route"]["name"], route, "{answer:#}");
        }
    };
    ask(&[]);
    let of = |attributes| Question {
        attributes,
        source: None,
    };
    let question = of(&[("command", "get"), ("key", "a:1")]);
    let share = |answer: &Value| answer["destinations"][0]["tiers"][0]["share"].clone();
    assert_eq!(share(&question.of_proxy(&meltemi)), 100);
    let writes = of(&[("command", "del"), ("key", "x:1")]);
    eject(&meltemi, &[question, writes]);
    ask(&[dead]);
    let question = of(&[("command", "get"), ("key", "a:1")]);
    assert_eq!(share(&question.of_proxy(&meltemi)), 0);
    bad_questions_are_refused(&meltemi);
}

fn bad_questions_are_refused(meltemi: &Meltemi) {
    for (question, told) in [
        (
            r#"{"attributes": {"comand": "get"}}"#,
            "unknown attribute `comand` of protocol redis; its attributes are command, ",
        ),
        (
            r#"{"service": "gone.demo"}"#,
            "nothing here leads to gone.demo; there is ",
        ),
        (
            "{\n\"attributes\": {\"key\": 7}}",
            "the body is no question: the value of the attribute `key` is 7, and a value is text, such as \
             \"7\" at line 2 column 24; ",
        ),
        (
            r#"{"attributes": {"key": "a", "key": "b"}}"#,
            "the body is no question: the attribute `key` is given twice, and a request has one value \
             of it at line 1 column ",
        ),
        ("[]", "the body is no question: it is a list; it is like {"),
        (
            r#"{"attributes": "#,
            "the body is no question: EOF while parsing a value at line 1 column 15; ",
        ),
    ] {
        let refused = meltemi.post("/explain", question);
        assert_eq!(refused.status, 400, "{question}: {}", refused.body);
        assert!(
            refused.body.starts_with(told),
            "{question}: {}",
            refused.body
        );
    }
    let long = format!(r#"{{"service": "{}"}}"#, "x".repeat(70_000));
    assert_eq!(meltemi.post("/explain", &long).status, 413);
}

const REDIS_SERVICE: &str = "
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: cache}
spec:
  host: [cache.demo]
  gateways: [edge]
  settings: {opTimeout: 3s}
  faults: [{type: ERROR, percentage: {value: 0}, commands: [FLUSHALL]}]
  redis:
  - match: {key: {prefix: 'a:', removePrefix: true}}
    route: {host: cache.demo}
  - route: {host: cache.demo}
";

#[test]
fn the_owner_of_a_key_agrees_before_and_after_an_ejection() {
    let nodes = nodes();
    let dead = nobody();
    let manifests = manifests(&[dead, nodes.address(0), nodes.address(1)]);
    manifests.write("routes.yaml", REDIS_SERVICE);
    let policy = format!("{{loadBalancer: {{consistentHash: {{maglev: {{}}}}}}, {OUTLIERS}}}");
    manifests.write(
        "rule.yaml",
        &rule(&policy).replace("subsets: [{name: near, labels: {version: v1}}], ", ""),
    );
    let meltemi = Meltemi::run_with(manifests.path(), &["--locality", HERE]);
    let owners = |failed: &[SocketAddr]| {
        let keys = (0..20).map(|key| format!("a:{key}"));
        let owners = keys.map(|key| {
            let question = Question {
                attributes: &[("command", "flushall"), ("key", &key)],
                source: None,
            };
            let answer = question.agree(&manifests, &meltemi, failed);
            assert_eq!(answer["remove_prefix"]["sent"], key[2..], "{answer:#}");
            assert_eq!(answer["faults"][0]["percentage"], 0.0);
            answer["destinations"][0]["key"]["endpoint"].clone()
        });
        owners.collect::<Vec<_>>()
    };
    let is_dead = |owner: &&Value| **owner == dead.to_string();
    let before = owners(&[]);
    assert!(before.iter().filter(is_dead).count() > 0, "{before:?}");
    let question = Question {
        attributes: &[("command", "get"), ("key", "a:1")],
        source: None,
    };
    eject(&meltemi, &[question]);
    let after = owners(&[dead]);
    assert_eq!(after.iter().filter(is_dead).count(), 0, "{after:?}");
}
