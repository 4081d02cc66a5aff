//! Tables of hosts: what they have by the rules, and what holds for any hosts.

use std::collections::BTreeSet;

use proptest::prelude::*;
use xxhash_rust::xxh64::xxh64;

use super::*;

pub(super) const MAGLEV: Hashing = Hashing::Maglev {
    table_size: DEFAULT_TABLE_SIZE,
};
pub(super) const RING: Hashing = Hashing::Ring {
    minimum_size: DEFAULT_RING_SIZE,
};

fn host(host: usize, weight: u32) -> TierHost {
    TierHost {
        host,
        name: format!("127.0.0.1:{}", 90 + host),
        weight,
        group: host % 2,
    }
}

fn load(healthy: u32, degraded: u32) -> PriorityLoad {
    PriorityLoad {
        healthy,
        degraded,
        panic: false,
    }
}

/// One tier of these weights.
pub(super) fn tier(kind: Hashing, weights: &[u32]) -> HashTables {
    let hosts = weights.iter().enumerate();
    let hosts = hosts.filter(|(_, weight)| **weight > 0);
    let hosts = hosts.map(|(index, weight)| host(index, *weight)).collect();
    HashTables::new(kind, &[load(100, 0)], vec![parts(hosts, None), vec![]])
}

pub(super) fn hashes(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|n| xxh64(&n.to_le_bytes(), 0))
}

fn share(tables: &HashTables, host: usize) -> f64 {
    let own = hashes(50_000).filter(|hash| tables.at(*hash) == Some(host));
    own.count() as f64 / 50_000.0
}

#[test]
fn nobody_has_a_key_of_nobody() {
    for kind in [MAGLEV, RING] {
        assert_eq!(tier(kind, &[]).at(7), None);
        assert_eq!(HashTables::new(kind, &[], vec![]).at(7), None);
    }
}

#[test]
fn parts_follow_the_weights() {
    let shared = |hosts: &[(u32, usize)], groups: Option<&[u64]>| {
        let hosts = hosts
            .iter()
            .enumerate()
            .map(|(index, &(weight, group))| TierHost {
                group,
                ..host(index, weight)
            });
        let parts = parts(hosts.collect(), groups).into_iter();
        parts.map(|host| (host.host, host.part)).collect::<Vec<_>>()
    };
    let flat = shared(&[(1, 0), (3, 1)], None);
    assert_eq!(flat, [(0, 0.25), (1, 0.75)]);
    let of_localities = shared(&[(1, 0), (3, 0), (7, 2)], Some(&[50, 30, 20]));
    // The locality in the middle has no host, and the others are no larger for it.
    assert_eq!(of_localities, [(0, 0.125), (1, 0.375), (2, 0.2)]);
    let without_weight = shared(&[(1, 0), (3, 1)], Some(&[0, 10]));
    assert_eq!(without_weight, [(1, 1.0)]);
    assert_eq!(shared(&[(1, 0)], Some(&[0])), []);
}

#[test]
fn tables_follow_the_parts() {
    for (kind, tolerance) in [(MAGLEV, 0.01), (RING, 0.05)] {
        let tables = tier(kind, &[1, 1, 2]);
        for (host, expected) in [(0, 0.25), (1, 0.25), (2, 0.5)] {
            assert!(
                (share(&tables, host) - expected).abs() < tolerance,
                "{kind:?}"
            );
        }
    }
}

#[test]
fn the_order_of_hosts_does_not_matter_to_maglev() {
    let weights = [3, 1, 2, 5, 1];
    let hosts: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(i, w)| host(i, *w))
        .collect();
    let turned = hosts.iter().rev().cloned().collect();
    let table = |hosts| HashTables::new(MAGLEV, &[load(100, 0)], vec![parts(hosts, None), vec![]]);
    let (one, other) = (table(hosts), table(turned));
    assert!(hashes(10_000).all(|hash| one.at(hash) == other.at(hash)));
}

#[test]
fn the_hash_decides_the_tier_by_the_load() {
    let pools = |healthy: [usize; 2], degraded: [usize; 2]| {
        let of = |count: usize, first: usize| {
            parts((first..first + count).map(|n| host(n, 1)).collect(), None)
        };
        vec![
            of(healthy[0], 0),
            of(healthy[1], 10),
            of(degraded[0], 20),
            of(degraded[1], 30),
        ]
    };
    // Load of two tiers, how many are healthy and degraded; who has 0, 69, 70 and 99 percent, in tens.
    let rows = [
        ([load(70, 0), load(30, 0)], [2, 2], [0, 0], [0, 0, 1, 1]),
        // As in Envoy: what is for degraded hosts goes to the healthy ones of their tier.
        ([load(70, 30), load(0, 0)], [2, 2], [1, 0], [0, 0, 0, 0]),
        ([load(0, 70), load(0, 30)], [0, 0], [2, 1], [2, 2, 3, 3]),
        // One of 141 rounds to no share: the load is with a tier that has nobody.
        ([load(100, 0), load(0, 0)], [0, 1], [0, 1], [1, 1, 1, 1]),
    ];
    for kind in [MAGLEV, RING] {
        for (loads, healthy, degraded, expected) in rows {
            let tables = HashTables::new(kind, &loads, pools(healthy, degraded));
            let tens = [1000, 1069, 1070, 1099].map(|hash| tables.at(hash).unwrap() / 10);
            assert_eq!(tens, expected, "{loads:?}");
        }
    }
    let hosts = HashTables::new(MAGLEV, &[load(70, 0), load(30, 0)], pools([2, 1], [3, 3]));
    assert_eq!(hosts.hosts(), [0, 1, 10]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The loss of k of n hosts moves the keys of those k, about k / n of all, and hardly another.
    ///
    /// A ring that has to have a least number of points gets more of each host as there are fewer, as in
    /// Envoy; these take some keys too, so here each host has as many before and after.
    #[test]
    fn the_loss_of_some_hosts_moves_their_keys_alone(
        count in 2_usize..20,
        lost in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let lost: BTreeSet<usize> = lost.into_iter().map(|index| index.index(count)).collect();
        prop_assume!(lost.len() < count);
        let weight = |host| u32::from(!lost.contains(&host));
        let after_weights: Vec<u32> = (0..count).map(weight).collect();
        let ring = |points: usize| Hashing::Ring {
            minimum_size: u32::try_from(100 * points).unwrap(),
        };
        let kinds = [
            (MAGLEV, MAGLEV, 0.05 * lost.len() as f64, 0.01),
            (ring(count), ring(count - lost.len()), 0.0, 0.15),
        ];
        for (before, after, slack, unevenness) in kinds {
            let (before, after) = (tier(before, &vec![1; count]), tier(after, &after_weights));
            let theirs = |hash: &u64| before.at(*hash).is_some_and(|host| lost.contains(&host));
            let moves = |hash: &u64| before.at(*hash) != after.at(*hash);
            let all: Vec<u64> = hashes(5_000).collect();
            let kept = all.iter().filter(|hash| !theirs(hash));
            let (kept, moved) = kept.fold((0, 0), |(kept, moved), hash| {
                (kept + 1, moved + usize::from(moves(hash)))
            });
            prop_assert!(moved as f64 <= slack * f64::from(kept), "{moved} of {count}");
            let all_moved = all.iter().filter(|hash| moves(hash)).count() as f64 / all.len() as f64;
            let most = lost.len() as f64 / count as f64 + slack + unevenness;
            prop_assert!(all_moved <= most, "{all_moved}, not {most}");
        }
    }

    #[test]
    fn only_and_all_of_the_hosts_have_hashes(
        weights in prop::collection::vec(0_u32..5, 1..12),
        is_ring in any::<bool>(),
    ) {
        let tables = tier(if is_ring { RING } else { MAGLEV }, &weights);
        let expected: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0).collect();
        let found: BTreeSet<usize> = hashes(20_000).filter_map(|h| tables.at(h)).collect();
        prop_assert_eq!(found.into_iter().collect::<Vec<_>>(), expected.clone());
        prop_assert_eq!(tables.hosts(), expected);
    }
}
