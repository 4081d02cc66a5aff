//! The balancer: tables of its rules; `properties` are those of any cluster.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::{Distribution, LocalityRule, RegionFailover};

use super::*;
use crate::config::{Address, Endpoint, Endpoints, Health};

mod properties;

const IDLE: fn(usize) -> u64 = |_| 0;

/// Endpoints as (locality, weight, health).
fn cluster(lb: LbPolicy, hosts: &[(&str, u32, Health)]) -> Cluster {
    let hosts = hosts
        .iter()
        .enumerate()
        .map(|(index, &(locality, weight, health))| Endpoint {
            address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, index as u16))),
            hostname: String::new(),
            weight,
            locality: locality.parse().unwrap(),
            health,
            priority: 0,
            labels: Default::default(),
        })
        .collect();
    Cluster {
        lb,
        connect_timeout: Duration::from_secs(1),
        panic_threshold: 0,
        locality: LocalityRule::nearest_first(),
        endpoints: Arc::new(Endpoints {
            hosts,
            ..Endpoints::default()
        }),
        ..Cluster::new("outbound|1||test")
    }
}

fn healthy<'a>(localities: &[&'a str]) -> Vec<(&'a str, u32, Health)> {
    localities
        .iter()
        .map(|l| (*l, 1, Health::Healthy))
        .collect()
}

fn balancer(cluster: &Cluster) -> Balancer {
    let own = Place {
        locality: &"r1/z1".parse().unwrap(),
        labels: &Default::default(),
    };
    Balancer::new(cluster, own, 7)
}

fn first(balancer: &mut Balancer, random: u64) -> Option<usize> {
    let mut run = balancer.run(random);
    balancer.next(&mut run, IDLE)
}

fn all(balancer: &mut Balancer, random: u64) -> Vec<usize> {
    let mut run = balancer.run(random);
    std::iter::from_fn(|| balancer.next(&mut run, IDLE)).collect()
}

fn counts(balancer: &mut Balancer, requests: u64) -> Vec<u64> {
    let mut counts = vec![0; balancer.plan.hosts];
    let mut seeds = Draws::new(1);
    for _ in 0..requests {
        counts[first(balancer, seeds.next()).unwrap()] += 1;
    }
    counts
}

fn assert_shares(balancer: &Balancer, expected: &[f64]) {
    let shares = balancer.shares();
    assert_eq!(shares.len(), expected.len());
    let close = shares
        .iter()
        .zip(expected)
        .all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(close, "{shares:?} instead of {expected:?}");
}

fn distribute(to: &[(&str, u32)]) -> LocalityRule {
    let to = to.iter().map(|&(to, share)| (to.parse().unwrap(), share));
    LocalityRule::Distribute(vec![Distribution {
        from: "*".parse().unwrap(),
        to: to.collect(),
    }])
}

#[test]
fn round_robin_is_exact_by_weight() {
    let hosts = [
        ("r1/z1", 5, Health::Healthy),
        ("r1/z1", 3, Health::Healthy),
        ("r1/z1", 2, Health::Healthy),
    ];
    let mut balancer = balancer(&cluster(LbPolicy::RoundRobin, &hosts));
    for _ in 0..3 {
        assert_eq!(counts(&mut balancer, 10), [5, 3, 2]);
    }
}

#[test]
fn least_request_follows_the_weights() {
    let hosts = [
        ("r1/z1", 5, Health::Healthy),
        ("r1/z1", 3, Health::Healthy),
        ("r1/z1", 2, Health::Healthy),
    ];
    let counts = counts(
        &mut balancer(&cluster(LbPolicy::LeastRequest, &hosts)),
        10_000,
    );
    for (count, expected) in counts.iter().zip([5000, 3000, 2000]) {
        assert!(count.abs_diff(expected) < 200, "{counts:?}");
    }
}

#[test]
fn random_takes_endpoints_alike_and_localities_by_weight() {
    let hosts = [
        ("r1/z1", 6, Health::Healthy),
        ("r1/z1", 3, Health::Healthy),
        ("r1/z1", 3, Health::Unhealthy),
        ("r1/z2", 12, Health::Healthy),
    ];
    let mut cluster = cluster(LbPolicy::Random, &hosts);
    cluster.locality = LocalityRule::Inactive;
    let mut pool = balancer(&cluster);
    assert_shares(&pool, &[1.0 / 3.0, 1.0 / 3.0, 0.0, 1.0 / 3.0]);
    let counted = counts(&mut pool, 9_000);
    for (count, expected) in counted.iter().zip([3000, 3000, 0, 3000]) {
        assert!(count.abs_diff(expected) < 200, "{counted:?}");
    }

    // Two thirds of the first locality are there, which are 140 * 2/3 percent of its weight.
    cluster.locality_weighted = true;
    let localities = balancer(&cluster).shares();
    let part = localities[0] + localities[1];
    assert!(
        (localities[0] - localities[1]).abs() < 1e-9,
        "{localities:?}"
    );
    assert!((part - 14.0 / 29.0).abs() < 1e-5, "{localities:?}");

    // Who has no hash is drawn by weight, as the tables are.
    cluster.locality_weighted = false;
    cluster.hashing = Some(Hashing::Maglev { table_size: 65_537 });
    assert_shares(
        &balancer(&cluster),
        &[6.0 / 21.0, 3.0 / 21.0, 0.0, 12.0 / 21.0],
    );
}

#[test]
fn a_new_endpoint_has_a_part_of_its_weight() {
    let hosts = [
        ("r1/z1", 1, Health::Healthy),
        ("r1/z1", 2, Health::Healthy),
        ("r1/z1", 1, Health::Healthy),
    ];
    for lb in [LbPolicy::RoundRobin, LbPolicy::LeastRequest] {
        let mut balancer = balancer(&cluster(lb, &hosts));
        let part = |part: f64| move |host| if host == 0 { part } else { 1.0 };
        balancer.warm_up(part(0.1));
        assert_shares(&balancer, &[0.1 / 3.1, 2.0 / 3.1, 1.0 / 3.1]);
        let counted = counts(&mut balancer, 31_000);
        assert!(counted[0].abs_diff(1_000) < 200, "{lb:?} {counted:?}");
        // It still counts as a whole endpoint, and keeps its part when another is ejected.
        assert_eq!(balancer.loads()[0].healthy, 100);
        balancer.set_ejected(|host| host == 1);
        assert_shares(&balancer, &[0.1 / 1.1, 0.0, 1.0 / 1.1]);
        balancer.set_ejected(|_| false);
        balancer.warm_up(part(1.0));
        assert_shares(&balancer, &[0.25, 0.5, 0.25]);
        // However small, it is no part of nothing.
        balancer.warm_up(part(0.0));
        assert!(balancer.shares()[0] > 0.0);
    }
}

#[test]
fn least_request_avoids_the_busy() {
    let mut equal = balancer(&cluster(LbPolicy::LeastRequest, &healthy(&["r1/z1"; 2])));
    // Requests in flight, and the host that every request then goes to.
    for (active, expected) in [([1, 0], 1), ([0, 1], 0), ([2, 5], 0)] {
        for random in 0..50 {
            let mut run = equal.run(random);
            let host = equal.next(&mut run, |host| active[host]);
            assert_eq!(host, Some(expected), "{active:?}");
        }
    }
    // Where weights differ, turns are as frequent as weight / (active + 1).
    let hosts = [("r1/z1", 1, Health::Healthy), ("r1/z1", 3, Health::Healthy)];
    for (active, shares) in [
        ([0, 0], [1, 3]),
        ([1, 0], [1, 6]),
        ([0, 2], [1, 1]),
        ([0, 8], [3, 1]),
    ] {
        let mut unequal = balancer(&cluster(LbPolicy::LeastRequest, &hosts));
        let mut picked = [0_u64; 2];
        for random in 0..840 {
            let mut run = unequal.run(random);
            picked[unequal.next(&mut run, |host| active[host]).unwrap()] += 1;
        }
        let expected = shares.map(|share| 840 * share / (shares[0] + shares[1]));
        assert!(
            picked[0].abs_diff(expected[0]) <= 1,
            "{active:?} {picked:?}"
        );
    }
}

#[test]
fn candidates_come_from_the_nearest_tiers_first() {
    let hosts = healthy(&["r2", "r1/z1", "r1/z2", "r1/z1", "r2", "r1/z2"]);
    for lb in [
        LbPolicy::RoundRobin,
        LbPolicy::LeastRequest,
        LbPolicy::Random,
    ] {
        let mut balancer = balancer(&cluster(lb, &hosts));
        for random in 0..20 {
            let run = all(&mut balancer, random);
            let tiers: Vec<_> = run
                .iter()
                .map(|&host| balancer.host_tiers()[host].unwrap())
                .collect();
            assert_eq!(tiers, [0, 0, 1, 1, 2, 2], "{lb:?} {run:?}");
            assert_eq!(BTreeSet::from_iter(run).len(), 6);
        }
    }
}

#[test]
fn who_has_no_part_of_the_load_is_not_asked_in_place_of_who_is_slow() {
    let hosts = healthy(&["r2", "r1/z1", "r1/z2", "r1/z1", "r1/z2"]);
    let mut balancer = balancer(&cluster(LbPolicy::LeastRequest, &hosts));
    let offered = |balancer: &mut Balancer, random| {
        let mut run = balancer.run(random);
        run.stay_within_load();
        BTreeSet::from_iter(std::iter::from_fn(|| balancer.next(&mut run, IDLE)))
    };
    for random in 0..50 {
        assert_eq!(offered(&mut balancer, random), BTreeSet::from([1, 3]));
    }
    // Of the nearest tier one half can take 70 %, so that the next has a part of the load.
    balancer.set_ejected(|host| host == 1);
    for random in 0..50 {
        assert_eq!(offered(&mut balancer, random), BTreeSet::from([2, 3, 4]));
    }
}

#[test]
fn the_locality_that_was_drawn_is_offered_before_others_of_its_tier() {
    let hosts = healthy(&["r1/z1", "r1/z2", "r1/z1", "r1/z2", "r1/z1"]);
    for lb in [LbPolicy::RoundRobin, LbPolicy::LeastRequest] {
        let mut fixed = cluster(lb, &hosts);
        fixed.locality = distribute(&[("r1/z1", 70), ("r1/z2", 30)]);
        fixed.locality_weighted = true;
        let mut balancer = balancer(&fixed);
        for random in 0..200 {
            let run = all(&mut balancer, random);
            let places: Vec<_> = run.iter().map(|host| host % 2).collect();
            let expected = match places[0] {
                0 => [0, 0, 0, 1, 1],
                _ => [1, 1, 0, 0, 0],
            };
            assert_eq!(places, expected, "{lb:?} {run:?}");
        }
    }
}

#[test]
fn ejections_move_the_load_to_the_next_tier_and_back() {
    let hosts = healthy(&["r1/z1", "r1/z1", "r2", "r2"]);
    let mut balancer = balancer(&cluster(LbPolicy::RoundRobin, &hosts));
    assert_shares(&balancer, &[0.5, 0.5, 0.0, 0.0]);
    balancer.set_ejected(|host| host == 1);
    assert_shares(&balancer, &[0.7, 0.0, 0.15, 0.15]);
    for random in 0..50 {
        let run = all(&mut balancer, random);
        assert_eq!(BTreeSet::from_iter(run), BTreeSet::from([0, 2, 3]));
    }
    balancer.set_ejected(|host| host < 2);
    assert_shares(&balancer, &[0.0, 0.0, 0.5, 0.5]);
    balancer.set_ejected(|_| true);
    assert_eq!(all(&mut balancer, 1), [0; 0]);
    balancer.set_ejected(|_| false);
    assert_shares(&balancer, &[0.5, 0.5, 0.0, 0.0]);
}

#[test]
fn a_pool_without_hosts_is_stood_in_for() {
    // One of 141 rounds to no share at all; the load is with a tier that has nobody.
    let mut hosts = vec![("r1/z1", 1, Health::Unhealthy)];
    hosts.extend([("r2", 1, Health::Unhealthy); 141]);
    hosts.push(("r2", 1, Health::Healthy));
    let mut balancer = balancer(&cluster(LbPolicy::LeastRequest, &hosts));
    assert_eq!(all(&mut balancer, 3), [142]);
}

#[test]
fn panic_uses_everybody_but_the_draining() {
    let hosts = [
        ("r1/z1", 1, Health::Healthy),
        ("r1/z1", 1, Health::Unhealthy),
        ("r1/z1", 1, Health::Draining),
        ("r1/z1", 1, Health::Healthy),
    ];
    let mut cluster = cluster(LbPolicy::RoundRobin, &hosts);
    cluster.panic_threshold = 50;
    let mut balancer = balancer(&cluster);
    let usable = |balancer: &mut Balancer| BTreeSet::from_iter(all(balancer, 5));
    // Half of them are healthy: that is enough.
    assert_eq!(usable(&mut balancer), BTreeSet::from([0, 3]));
    balancer.set_ejected(|host| host == 0);
    assert!(balancer.loads()[0].panic);
    assert_eq!(usable(&mut balancer), BTreeSet::from([0, 1, 3]));
}

#[test]
fn degraded_hosts_come_after_all_healthy_ones() {
    let hosts = [
        ("r1/z1", 1, Health::Degraded),
        ("r2", 1, Health::Healthy),
        ("r1/z1", 1, Health::Degraded),
    ];
    let mut balancer = balancer(&cluster(LbPolicy::Random, &hosts));
    assert_shares(&balancer, &[0.0, 1.0, 0.0]);
    for random in 0..20 {
        assert_eq!(all(&mut balancer, random)[0], 1);
    }
}

#[test]
fn spelt_out_failover_shares_a_tier_between_localities() {
    let hosts = healthy(&["r2/a", "r2/b", "r2/a", "r2/b", "r2/a", "r1/x", "r3"]);
    let mut cluster = cluster(LbPolicy::RoundRobin, &hosts);
    cluster.locality_weighted = true;
    cluster.locality = LocalityRule::Failover {
        labels: vec![],
        regions: vec![RegionFailover {
            from: "r1".into(),
            to: "r2".into(),
        }],
    };
    let mut balancer = balancer(&cluster);
    balancer.set_ejected(|host| host == 5);
    assert_shares(&balancer, &[0.2, 0.2, 0.2, 0.2, 0.2, 0.0, 0.0]);
    // One of the two in r2/b is left: 70 percent of its weight 2, against 3.
    balancer.set_ejected(|host| host == 5 || host == 1);
    let (whole, half) = (1.0 / 4.4, 1.4 / 4.4);
    assert_shares(&balancer, &[whole, 0.0, whole, half, whole, 0.0, 0.0]);
    let counts = counts(&mut balancer, 10_000);
    assert!(counts[3].abs_diff(3182) < 200, "{counts:?}");
}

#[test]
fn fixed_shares_are_kept_while_health_allows_it() {
    let hosts = healthy(&["r1/z1", "r1/z1", "r1/z2", "r2", "r3"]);
    let mut cluster = cluster(LbPolicy::RoundRobin, &hosts);
    cluster.locality_weighted = true;
    cluster.locality = distribute(&[("r1/z1/*", 80), ("r1/z2/*", 15), ("r2", 5)]);
    let mut balancer = balancer(&cluster);
    assert_shares(&balancer, &[0.4, 0.4, 0.15, 0.05, 0.0]);
    assert_eq!(balancer.host_tiers()[4], None);
    // One of two is worth 70 percent of the two; who has no share gets nothing even then.
    balancer.set_ejected(|host| host == 0);
    assert_shares(&balancer, &[0.0, 56.0 / 76.0, 15.0 / 76.0, 5.0 / 76.0, 0.0]);
    balancer.set_ejected(|host| host < 4);
    assert_eq!(all(&mut balancer, 3), [0; 0]);
}

#[test]
fn a_third_of_a_locality_is_not_rounded() {
    let hosts = healthy(&["r1/z1", "r1/z1", "r1/z1", "r1/z2"]);
    let mut cluster = cluster(LbPolicy::Random, &hosts);
    cluster.locality_weighted = true;
    cluster.locality = distribute(&[("r1/z1", 50), ("r1/z2", 50)]);
    let mut balancer = balancer(&cluster);
    balancer.set_ejected(|host| host < 2);
    let third = 1.4 / 3.0;
    let shares = balancer.shares();
    assert!(
        (shares[2] - third / (third + 1.0)).abs() < 1e-5,
        "{shares:?}"
    );
}

#[test]
fn health_by_weight_counts_weights() {
    let hosts = [
        ("r1/z1", 9, Health::Healthy),
        ("r1/z1", 1, Health::Healthy),
        ("r2", 1, Health::Healthy),
    ];
    let mut cluster = cluster(LbPolicy::Random, &hosts);
    let load = |cluster: &Cluster| {
        let mut balancer = balancer(cluster);
        balancer.set_ejected(|host| host == 0);
        balancer.loads()[0].healthy
    };
    assert_eq!(load(&cluster), 70);
    let mut endpoints = (*cluster.endpoints).clone();
    endpoints.weighted_health = true;
    cluster.endpoints = Arc::new(endpoints);
    assert_eq!(load(&cluster), 14);
}

#[test]
fn huge_weights_keep_their_proportion() {
    let hosts = [
        ("r1/z1", u32::MAX, Health::Healthy),
        ("r1/z1", u32::MAX / 4, Health::Healthy),
        ("r1/z1", 1, Health::Healthy),
    ];
    let shares = balancer(&cluster(LbPolicy::RoundRobin, &hosts)).shares();
    assert!((shares[0] - 0.8).abs() < 1e-6, "{shares:?}");
    assert!(shares[2] > 0.0);
}

#[test]
fn no_endpoints_no_candidates() {
    for mut balancer in [
        balancer(&cluster(LbPolicy::LeastRequest, &[])),
        Balancer::default(),
    ] {
        balancer.set_ejected(|_| true);
        assert_eq!(all(&mut balancer, 9), [0; 0]);
        assert!(balancer.shares().is_empty());
    }
}
