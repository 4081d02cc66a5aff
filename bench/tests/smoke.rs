//! A short load over real sockets, straight to the echo and through the floor.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use meltemi_bench::load::{Budget, Load, Work};
use meltemi_bench::{echo, relay};

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

/// Runs `server` on a thread that ends with the test process.
fn serve(server: impl FnOnce(TcpListener) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    std::thread::spawn(move || server(listener));
    address
}
