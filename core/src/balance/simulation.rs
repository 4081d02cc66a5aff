//! Endpoints that answer after a time of their own, and clients that send at random: who gets how much.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::config::{Address, Endpoint, Endpoints, Health};

const DECAY: Duration = Duration::from_secs(10);
const MILLISECOND: u64 = 1_000_000;

struct Server {
    /// Of an answer while nothing else is asked, in nanoseconds.
    latency: u64,
    active: u32,
    measured: PeakEwma,
    picked: u32,
}

fn cluster(lb: LbPolicy, weights: &[u32]) -> Cluster {
    let hosts = weights.iter().zip(0_u16..).map(|(weight, port)| Endpoint {
        address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        hostname: String::new(),
        weight: *weight,
        locality: "r1/z1".parse().unwrap(),
        health: Health::Healthy,
        priority: 0,
        labels: Default::default(),
    });
    let hosts = hosts.collect();
    Cluster {
        lb,
        endpoints: Arc::new(Endpoints {
            hosts,
            ..Endpoints::default()
        }),
        ..Cluster::new("outbound|1||test")
    }
}

/// The part of 20,000 requests that each server gets: one every millisecond, on average.
fn shares(lb: LbPolicy, servers: &[(u32, u64)], seed: u64) -> Vec<f64> {
    const REQUESTS: u32 = 20_000;
    let weights: Vec<u32> = servers.iter().map(|(weight, _)| *weight).collect();
    let own = Place {
        locality: &"r1/z1".parse().unwrap(),
        labels: &Default::default(),
    };
    let mut balancer = Balancer::new(&cluster(lb, &weights), own, seed);
    let mut random = StdRng::seed_from_u64(seed);
    let servers = servers.iter().map(|(_, latency)| Server {
        latency: *latency,
        active: 0,
        measured: PeakEwma::new(DECAY),
        picked: 0,
    });
    let mut servers: Vec<Server> = servers.collect();
    let mut under_way: BinaryHeap<Reverse<(u64, usize, u64)>> = BinaryHeap::new();
    let mut now = 0;
    for _ in 0..REQUESTS {
        now += random.random_range(0..2 * MILLISECOND);
        while let Some(Reverse((due, host, sent))) = under_way.peek().copied() {
            if due > now {
                break;
            }
            under_way.pop();
            servers[host].active -= 1;
            servers[host].measured.observe(due, due - sent);
        }
        let load = |host: usize| match lb {
            LbPolicy::PeakEwma { .. } => servers[host].measured.cost(now, servers[host].active),
            _ => servers[host].active.into(),
        };
        let mut run = balancer.run(random.random());
        let host = balancer.next(&mut run, load).unwrap();
        let server = &mut servers[host];
        server.active += 1;
        server.picked += 1;
        let jitter = random.random_range(80..120);
        under_way.push(Reverse((now + server.latency * jitter / 100, host, now)));
    }
    let share = |server: &Server| f64::from(server.picked) / f64::from(REQUESTS);
    servers.iter().map(share).collect()
}

#[test]
fn a_slow_endpoint_gets_less_than_its_share() {
    let peak_ewma = LbPolicy::PeakEwma { decay: DECAY };
    for seed in 0..8 {
        let alike = shares(peak_ewma, &[(1, 5 * MILLISECOND); 4], seed);
        assert!(
            alike.iter().all(|share| (share - 0.25).abs() < 0.03),
            "{alike:?}"
        );
        let mut servers = [(1, 5 * MILLISECOND); 4];
        servers[2].1 = 100 * MILLISECOND;
        let by_cost = shares(peak_ewma, &servers, seed);
        let by_load = shares(LbPolicy::LeastRequest, &servers, seed);
        // It is tried again and again, but hardly so.
        assert!((0.0001..0.02).contains(&by_cost[2]), "{by_cost:?}");
        assert!(by_cost[2] < by_load[2] && by_load[2] < 0.25, "{by_load:?}");
        let others = [0, 1, 3].map(|host| by_cost[host]);
        assert!(others.iter().all(|share| *share > 0.28), "{by_cost:?}");
    }
}

#[test]
fn weights_count_with_either_policy() {
    let servers = [(1, 5 * MILLISECOND), (3, 5 * MILLISECOND)];
    let policies = [
        (LbPolicy::PeakEwma { decay: DECAY }, 0.25),
        // With x of 5 in flight, x : 1 - x is 1 / (5x + 1) : 3 / (5(1 - x) + 1).
        (LbPolicy::LeastRequest, 0.344),
    ];
    for (lb, expected) in policies {
        let found = shares(lb, &servers, 3);
        assert!((found[0] - expected).abs() < 0.04, "{lb:?} {found:?}");
    }
}
