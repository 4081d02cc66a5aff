//! Properties of the balancer of any cluster.

use meltemi_policy::PriorityLabel;
use meltemi_policy::hashing::{Bound, Order};
use proptest::prelude::*;

use super::*;

fn any_health() -> impl Strategy<Value = Health> {
    prop_oneof![
        4 => Just(Health::Healthy),
        1 => Just(Health::Degraded),
        1 => Just(Health::Unhealthy),
        1 => Just(Health::Draining),
    ]
}

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let locality = prop::sample::select(vec!["r1/z1", "r1/z2", "r2/z1", "r2/z2", "r3", ""]);
    let lb = prop::sample::select(vec![
        LbPolicy::RoundRobin,
        LbPolicy::LeastRequest,
        LbPolicy::Random,
        LbPolicy::PeakEwma {
            decay: Duration::from_secs(10),
        },
    ]);
    let hosts = prop::collection::vec((locality, 1u32..20, any_health()), 0..14);
    let weighted = (any::<bool>(), any::<bool>());
    (
        hosts,
        lb,
        any_rule(),
        prop::sample::select(vec![0, 50]),
        weighted,
    )
        .prop_map(
            |(hosts, lb, rule, panic_threshold, (locality_weighted, weighted_health))| {
                let mut cluster = cluster(lb, &hosts);
                cluster.panic_threshold = panic_threshold;
                cluster.locality = rule;
                cluster.locality_weighted = locality_weighted;
                let mut endpoints = (*cluster.endpoints).clone();
                endpoints.weighted_health = weighted_health;
                cluster.endpoints = Arc::new(endpoints);
                cluster
            },
        )
}

fn any_rule() -> impl Strategy<Value = LocalityRule> {
    let region = RegionFailover {
        from: "r1".into(),
        to: "r3".into(),
    };
    let zone = PriorityLabel::parse("topology.kubernetes.io/zone");
    prop::sample::select(vec![
        LocalityRule::Inactive,
        LocalityRule::nearest_first(),
        LocalityRule::Failover {
            labels: vec![],
            regions: vec![region.clone()],
        },
        LocalityRule::Failover {
            labels: vec![zone],
            regions: vec![region],
        },
        distribute(&[("r1/z1", 60), ("r1/z2", 10), ("r2", 30)]),
    ])
}

/// The hosts that may be used at all: the available ones, and in a panicking tier all.
fn usable(balancer: &Balancer, cluster: &Cluster, ejected: &[bool]) -> BTreeSet<usize> {
    let tiers = balancer.host_tiers();
    let hosts = cluster.endpoints.hosts.iter().enumerate();
    hosts
        .filter(|&(index, host)| {
            let Some(tier) = tiers[index] else {
                return false;
            };
            match host.health {
                Health::Draining => false,
                Health::Unhealthy => balancer.loads()[tier].panic,
                Health::Healthy | Health::Degraded => {
                    !ejected[index] || balancer.loads()[tier].panic
                }
            }
        })
        .map(|(index, _)| index)
        .collect()
}

proptest! {
    #[test]
    fn a_run_offers_every_usable_host_once(
        cluster in any_cluster(),
        ejected in prop::collection::vec(any::<bool>(), 14),
        randoms in prop::collection::vec(any::<u64>(), 1..20),
        active in prop::collection::vec(0u32..5, 14),
    ) {
        let mut balancer = balancer(&cluster);
        balancer.set_ejected(|host| ejected[host]);
        let usable = usable(&balancer, &cluster, &ejected);
        for random in randoms {
            let mut run = balancer.run(random);
            let mut offered = BTreeSet::new();
            while let Some(host) = balancer.next(&mut run, |host| active[host].into()) {
                prop_assert!(offered.insert(host), "{} is offered twice", host);
            }
            prop_assert_eq!(&offered, &usable);
        }
    }

    /// Endpoints are ejected and taken back, one after the other.
    #[test]
    fn an_ejected_host_is_picked_in_panic_alone(
        cluster in any_cluster(),
        changes in prop::collection::vec((0_usize..14, any::<bool>(), any::<u64>()), 1..30),
        active in prop::collection::vec(0u32..5, 14),
    ) {
        let mut balancer = balancer(&cluster);
        let names: Vec<String> = cluster.hashed_names().collect();
        let mut ejected = [false; 14];
        let mut order = Order::default();
        for (host, is_ejected, random) in changes {
            ejected[host] = is_ejected;
            balancer.set_ejected(|host| ejected[host]);
            let mut run = balancer.run(random);
            let first = balancer.next(&mut run, |host| active[host].into());
            let second = balancer.next(&mut run, |host| active[host].into());
            let tables = balancer.hash_tables(Hashing::Maglev { table_size: 53 }, &names);
            let bound = Bound { factor: 110, active: active.iter().map(|n| u64::from(*n)).sum() };
            let bounded = tables.at_bounded(random, bound, |host| active[host], &mut order);
            let tiers = balancer.host_tiers();
            for host in [first, second, tables.at(random), bounded].into_iter().flatten() {
                let panics = tiers[host].is_some_and(|tier| balancer.loads()[tier].panic);
                prop_assert!(!ejected[host] || panics, "{} of {:?}", host, ejected);
            }
        }
    }

    #[test]
    fn keys_belong_to_usable_hosts_alone(
        cluster in any_cluster(),
        ejected in prop::collection::vec(any::<bool>(), 14),
        is_ring in any::<bool>(),
    ) {
        let mut balancer = balancer(&cluster);
        balancer.set_ejected(|host| ejected[host]);
        let usable = usable(&balancer, &cluster, &ejected);
        let kind = match is_ring {
            true => Hashing::Ring { minimum_size: 64 },
            false => Hashing::Maglev { table_size: 251 },
        };
        let names: Vec<String> = cluster.hashed_names().collect();
        let tables = balancer.hash_tables(kind, &names);
        for hash in (0..2_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
            let host = tables.at(hash);
            prop_assert_eq!(host.is_some(), !usable.is_empty());
            prop_assert!(host.is_none_or(|host| usable.contains(&host)));
        }
    }

    #[test]
    fn shares_add_up_to_the_load_of_their_tier(
        cluster in any_cluster(),
        ejected in prop::collection::vec(any::<bool>(), 14),
    ) {
        let mut balancer = balancer(&cluster);
        balancer.set_ejected(|host| ejected[host]);
        let usable = usable(&balancer, &cluster, &ejected);
        let tiers = balancer.host_tiers();
        let mut of_tier = vec![0.0; balancer.plan.tiers];
        for (host, share) in balancer.shares().into_iter().enumerate() {
            prop_assert!(share == 0.0 || usable.contains(&host));
            if let Some(tier) = tiers[host] {
                of_tier[tier] += share;
            }
        }
        for (tier, load) in balancer.loads().iter().enumerate() {
            // A tier of draining hosts alone has nobody to take its load, even in panic.
            if usable.iter().any(|&host| tiers[host] == Some(tier)) {
                let expected = f64::from(load.healthy + load.degraded) / 100.0;
                prop_assert!((of_tier[tier] - expected).abs() < 1e-9);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn first_candidates_approach_the_shares(
        cluster in any_cluster(),
        ejected in prop::collection::vec(any::<bool>(), 14),
    ) {
        let mut balancer = balancer(&cluster);
        balancer.set_ejected(|host| ejected[host]);
        let shares = balancer.shares();
        // Where a tier has load and nobody to take it, others stand in.
        prop_assume!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let requests = 4000;
        for (count, share) in counts(&mut balancer, requests).into_iter().zip(shares) {
            let measured = count as f64 / requests as f64;
            // Five standard deviations, for the luckless case among many.
            let tolerance = 5.0 * (share * (1.0 - share) / requests as f64).sqrt() + 1e-3;
            prop_assert!((measured - share).abs() < tolerance, "{} {}", measured, share);
        }
    }
}
