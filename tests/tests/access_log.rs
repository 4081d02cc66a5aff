//! The access log of some of the exchanges, before a real server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use meltemi_tests::redis::{self, Scripted, Server, Wire, manifests};
use meltemi_tests::{Meltemi, until};

/// Sent in one write, so that most of them are one of a run.
const REQUESTS: usize = 5_000;

#[test]
fn so_many_percent_of_a_pipeline_are_logged() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let manifests = manifests(&[server.address()]);
    let log = tempfile::NamedTempFile::new().expect("a file");
    let path = log.path().to_str().expect("a path");
    let arguments = [
        "--workers",
        "1",
        "--access-log",
        path,
        "--access-log-percent",
        "10",
    ];
    let meltemi = Meltemi::run_with(manifests.path(), &arguments);
    let mut client = TcpStream::connect(meltemi.address("default/edge/redis")).expect("it listens");
    client
        .write_all("ECHO hello\r\n".repeat(REQUESTS).as_bytes())
        .expect("it reads");
    let mut answers = BufReader::new(client)
        .lines()
        .map(|line| line.expect("it answers"));
    for _ in 0..REQUESTS {
        assert_eq!(answers.next().as_deref(), Some("$5"));
        assert_eq!(answers.next().as_deref(), Some("hello"));
    }
    drop(answers);
    let lines = || {
        std::fs::read_to_string(log.path())
            .expect("the log")
            .lines()
            .count()
    };
    // 500, give or take five standard deviations.
    until("the log is written", || {
        (394..=606).contains(&lines()).then_some(())
    });
    meltemi.counts(
        "meltemi_requests_total",
        &["outcome=\"ok\""],
        REQUESTS as u64,
    );
    let line = std::fs::read_to_string(log.path()).expect("the log");
    assert!(
        line.lines()
            .all(|line| line.contains(r#""command":"echo""#)),
        "{line}"
    );
}

const ROUTER: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: { name: cache }
spec:
  hosts: [cache.demo]
  gateways: [edge]
  routes:
  - timeout: 1s
    hedge: { delay: 50ms }
    retries: { attempts: 1, perTryTimeout: 200ms, retryOn: timeout }
";

/// Two servers never answer, and are asked side by side, twice.
#[test]
fn each_attempt_says_what_became_of_it() {
    let servers = Scripted::start(2, |_| None);
    let manifests = manifests(&[servers.address(0), servers.address(1)]);
    manifests.write("routes.yaml", ROUTER);
    let log = tempfile::NamedTempFile::new().expect("a file");
    let path = log.path().to_str().expect("a path");
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1", "--access-log", path]);
    let mut client = Wire::connect(meltemi.address("default/edge/redis"));
    let answer = client.call("GET key");
    assert!(answer.starts_with("-ERR"), "{answer}");
    let results = results(&log);
    assert!(results.len() > 2, "{results:?}");
    assert!(results.iter().all(|it| it == "timeout"), "{results:?}");
}

/// What became of the attempts of the first line.
fn results(log: &tempfile::NamedTempFile) -> Vec<String> {
    let line = until("the log is written", || {
        let text = std::fs::read_to_string(log.path()).expect("the log");
        text.lines().next().map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
    let attempts = line["attempts"].as_array().expect("a list");
    let results = attempts.iter().map(|it| it["result"].as_str());
    results.map(|it| it.expect("a text").to_owned()).collect()
}

const BY_KEY: &str = "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: cache }
spec:
  host: cache.demo
  trafficPolicy: { loadBalancer: { consistentHash: { maglev: {} } } }
";

/// Of two servers one is not there: what has keys of both is answered with its failure.
#[test]
fn a_request_in_parts_says_why_one_has_no_answer() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let nobody = ([127, 0, 0, 1], redis::free_port()).into();
    let manifests = manifests(&[server.address(), nobody]);
    manifests.write("rule.yaml", BY_KEY);
    let log = tempfile::NamedTempFile::new().expect("a file");
    let path = log.path().to_str().expect("a path");
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1", "--access-log", path]);
    let mut client = Wire::connect(meltemi.address("default/edge/redis"));
    let keys: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    let answer = client.call(&format!("MGET {}", keys.join(" ")));
    assert!(answer.contains("can be reached"), "{answer}");
    meltemi.counts(
        "meltemi_requests_total",
        &["outcome=\"local\"", "flag=\"UF\""],
        1,
    );
    let mut results = results(&log);
    results.sort_unstable();
    results.dedup();
    assert_eq!(results, ["connect_failure", "ok"]);
}
