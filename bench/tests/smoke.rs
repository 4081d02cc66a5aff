//! A short load over real sockets, straight to the echo and through the floor, and a short run of
//! the command. No assertion on time.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;
use std::{fs, process};

use meltemi_bench::load::{Budget, Command, Load, Request, Work};
use meltemi_bench::{echo, relay};
use serde_json::{Value, json};

const REQUESTS: u64 = 1_000;

#[test]
fn every_answer_reaches_its_own_request() {
    for argument in [128, 1024, 8192] {
        check_all(Request::Dubbo { argument });
        check_all(Request::Thrift { argument });
    }
    for command in [Command::Get, Command::Set, Command::Mget] {
        check_all(Request::Redis(command));
    }
}

#[test]
fn large_messages_pass_the_floor_in_pieces() {
    let argument = 1024 * 1024;
    for request in [
        Request::Dubbo { argument },
        Request::Thrift { argument },
        Request::Redis(Command::GetLarge),
        Request::Redis(Command::SetLarge),
    ] {
        let upstream = echo(request);
        for target in [upstream, floor(request, upstream, 4)] {
            for connections in [1, 4] {
                check(target, request, (connections, 1), true, 50);
            }
        }
    }
}

/// Sends `request` straight to the upstream, and through floors with one and with three upstream
/// connections.
fn check_all(request: Request) {
    let upstream = echo(request);
    // With ids an answer may overtake those on other connections, and with nothing else.
    let several = !matches!(request, Request::Dubbo { .. });
    let one = floor(request, upstream, 1);
    let three = floor(request, upstream, 3);
    for (target, in_order) in [(upstream, true), (one, true), (three, several)] {
        for shape in [(1, 1), (16, 1), (16, 16), (8, 64)] {
            check(target, request, shape, in_order, REQUESTS);
        }
    }
}

fn echo(request: Request) -> SocketAddr {
    serve(move |listener| echo::run(request.protocol(), listener).expect("the upstream serves"))
}

fn floor(request: Request, upstream: SocketAddr, upstreams: usize) -> SocketAddr {
    serve(move |listener| {
        relay::run(request.protocol(), listener, &[upstream], upstreams).expect("the floor serves")
    })
}

fn check(
    target: SocketAddr,
    request: Request,
    (connections, depth): (u32, u32),
    in_order: bool,
    requests: u64,
) {
    let work = Work {
        connections,
        depth,
        request,
        in_order,
    };
    let mut load = Load::connect(target, work).expect("the target listens");
    // Twice, since a measured stretch follows a warm-up on the same connections.
    for _ in 0..2 {
        let budget = Budget {
            time: Duration::from_secs(60),
            requests,
        };
        let sample = load.run(budget).expect("every answer is right");
        assert_eq!(
            (sample.requests, sample.latency.len()),
            (requests, requests)
        );
    }
}

#[test]
fn an_upstream_that_hangs_up_is_reported() {
    let target = serve(|listener| drop(listener.accept().unwrap()));
    let mut load = Load::connect(
        target,
        Work {
            connections: 1,
            depth: 1,
            request: Request::Dubbo { argument: 128 },
            in_order: false,
        },
    )
    .unwrap();
    let budget = Budget {
        time: Duration::from_secs(60),
        requests: 10,
    };
    assert!(load.run(budget).is_err());
}

#[test]
fn the_commands_run_direct_and_floor() {
    for (protocol, requests) in [
        ("dubbo", ["128 B argument", "1024 B argument"].as_slice()),
        ("thrift", &["128 B argument"]),
    ] {
        let outcome = run(protocol, "serial,8x4@3,8x4");
        // Rows with as many servers are together.
        let rows = requests.iter().flat_map(|&request| {
            [("serial", 1), ("8x4", 3), ("8x4", 1)]
                .map(|(shape, servers)| (shape, request, servers))
        });
        let mut expected: Vec<_> = rows.collect();
        expected.sort_by_key(|&(_, _, servers)| servers);
        assert_rows(&outcome, &expected);
    }
    let outcome = run(
        "redis",
        "mget@2:8x4,get:serial,get:churn1000,get:half-floor,set:serial",
    );
    assert_rows(
        &outcome,
        &[
            ("serial", "GET of 64 B", 1),
            ("churn1000", "GET of 64 B", 1),
            ("half-floor", "GET of 64 B", 1),
            ("serial", "SET of 64 B", 1),
            ("8x4", "MGET of 100 keys, 64 B each", 2),
        ],
    );
}

fn run(protocol: &str, rows: &str) -> Value {
    let dir = tempfile::tempdir().expect("a directory");
    let output = process::Command::new(env!("CARGO_BIN_EXE_meltemi-bench"))
        .args([protocol, "--only", "direct,floor", "--rows", rows])
        .args(["--rounds", "2", "--seconds", "60", "--requests", "500"])
        .args(["--warm-up", "0.01", "--idle", "20", "--json", "--save"])
        .arg(dir.path())
        .output()
        .expect("the command starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let saved = |ending| fs::read_to_string(dir.path().join(format!("{protocol}.{ending}")));
    let page = saved("html").expect("a page");
    assert!(
        page.contains(&format!("meltemi-bench {protocol}")),
        "{page}"
    );
    let outcome = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    let json: Value = serde_json::from_str(&saved("json").expect("JSON")).expect("JSON");
    assert_eq!(json, outcome);
    outcome
}

fn assert_rows(outcome: &Value, expected: &[(&str, &str, u64)]) {
    assert_eq!(
        (&outcome["void"], &outcome["absent"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(outcome["memory"][0]["connections"], 20);
    let rows = outcome["rows"].as_array().expect("rows are a list");
    let shown: Vec<_> = rows
        .iter()
        .map(|row| {
            let text = |field: &str| row[field].as_str().expect("a row is named");
            let endpoints = row["endpoints"].as_u64().expect("a number");
            (text("shape"), text("request"), endpoints)
        })
        .collect();
    assert_eq!(shown, expected);
    for row in rows {
        let rounds = |cell: usize, what: &str| row["cells"][cell][what].as_array().map(Vec::len);
        // A direct call has no proxy, and so no CPU time of one.
        assert_eq!(
            (rounds(0, "cost_us"), rounds(0, "speed")),
            (Some(0), Some(2))
        );
        // A paced row is about latency.
        let costs = if row.get("rate").is_some() { 0 } else { 2 };
        assert_eq!(
            (rounds(1, "cost_us"), rounds(1, "speed")),
            (Some(costs), Some(2))
        );
    }
}

#[test]
fn a_contender_that_does_not_speak_the_protocol_is_refused() {
    let output = process::Command::new(env!("CARGO_BIN_EXE_meltemi-bench"))
        .args(["dubbo", "--only", "floor,nutcracker"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("nutcracker does not speak dubbo"), "{said}");
}

/// Runs `server` on a thread that ends with the test process.
fn serve(server: impl FnOnce(TcpListener) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    std::thread::spawn(move || server(listener));
    address
}
