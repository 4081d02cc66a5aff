//! A short load over real sockets, straight to the echo and through the floor, and a short run of
//! the command. No assertion on time.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use meltemi_bench::load::{Budget, Load, Work};
use meltemi_bench::{echo, relay};
use serde_json::{Value, json};

const REQUESTS: u64 = 2_000;

#[test]
fn every_answer_reaches_its_own_request() {
    let upstream = serve(|listener| echo::run(listener).unwrap());
    let one = serve(move |listener| relay::run(listener, upstream, 1).unwrap());
    let three = serve(move |listener| relay::run(listener, upstream, 3).unwrap());
    for target in [upstream, one, three] {
        for (connections, depth, body) in [(1, 1, 128), (16, 1, 1024), (16, 16, 128), (8, 64, 8192)]
        {
            let mut load = Load::connect(
                target,
                Work {
                    connections,
                    depth,
                    body,
                },
            )
            .unwrap();
            // Twice, since a measured stretch follows a warm-up on the same connections.
            for _ in 0..2 {
                let budget = Budget {
                    time: Duration::from_secs(60),
                    requests: REQUESTS,
                };
                let sample = load.run(budget).unwrap();
                assert_eq!(
                    (sample.requests, sample.latency.len()),
                    (REQUESTS, REQUESTS)
                );
            }
        }
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
            body: 128,
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
fn the_command_runs_direct_and_floor() {
    let output = Command::new(env!("CARGO_BIN_EXE_meltemi-bench"))
        .args([
            "dubbo",
            "--only",
            "direct,floor",
            "--rows",
            "serial,8x4",
            "--bodies",
            "128",
        ])
        .args([
            "--rounds",
            "2",
            "--seconds",
            "60",
            "--requests",
            "500",
            "--warm-up",
            "0.01",
        ])
        .args(["--idle", "20", "--json"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&outcome["void"], &outcome["absent"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(outcome["memory"][0]["connections"], 20);
    for (row, shape) in ["serial", "8x4"].into_iter().enumerate() {
        let row = &outcome["rows"][row];
        assert_eq!(row["shape"], shape);
        let rounds = |cell: usize, what: &str| row["cells"][cell][what].as_array().unwrap().len();
        // A direct call has no proxy, and so no CPU time of one.
        assert_eq!((rounds(0, "cost_us"), rounds(0, "speed")), (0, 2));
        assert_eq!((rounds(1, "cost_us"), rounds(1, "speed")), (2, 2));
    }
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
