//! Tables of Istio's rules: tiers by distance, by region and by labels, and fixed shares.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::place::topology;
use crate::{PriorityLabel, RegionFailover};

/// `region/zone/subzone` and labels, `name=value` each.
type Spot<'a> = (&'a str, &'a [&'a str]);

/// Something that a [`Place`] can be borrowed from.
struct Owned {
    locality: Locality,
    labels: BTreeMap<String, String>,
}

impl Owned {
    fn new((locality, labels): Spot<'_>) -> Self {
        let labels = labels.iter().map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        Self {
            locality: locality.parse().unwrap(),
            labels: labels.collect(),
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            locality: &self.locality,
            labels: &self.labels,
        }
    }
}

fn placement(own: Spot<'_>, rule: &LocalityRule, endpoints: &[(Spot<'_>, u32)]) -> Placement {
    let owned: Vec<_> = endpoints
        .iter()
        .map(|(spot, _)| Owned::new(*spot))
        .collect();
    let placed = owned
        .iter()
        .zip(endpoints)
        .map(|(owned, (_, weight))| Placed {
            place: owned.place(),
            priority: 0,
            weight: *weight,
        });
    Placement::new(Owned::new(own).place(), rule, placed)
}

fn assert_tiers(own: Spot<'_>, rule: &LocalityRule, endpoints: &[Spot<'_>], expected: &[usize]) {
    let endpoints: Vec<_> = endpoints.iter().map(|spot| (*spot, 1)).collect();
    let tiers: Vec<_> = placement(own, rule, &endpoints).tiers().collect();
    let expected: Vec<_> = expected.iter().copied().map(Some).collect();
    assert_eq!(tiers, expected, "{own:?} {rule:?} {endpoints:?}");
}

/// As [`assert_tiers`], of localities alone.
fn assert_near(own: &str, rule: &LocalityRule, endpoints: &[&str], expected: &[usize]) {
    let endpoints: Vec<Spot<'_>> = endpoints.iter().map(|&e| (e, &[][..])).collect();
    assert_tiers((own, &[]), rule, &endpoints, expected);
}

fn failover(labels: &[&str], regions: &[(&str, &str)]) -> LocalityRule {
    let regions = regions.iter().map(|&(from, to)| RegionFailover {
        from: from.into(),
        to: to.into(),
    });
    LocalityRule::Failover {
        labels: labels.iter().map(|l| PriorityLabel::parse(l)).collect(),
        regions: regions.collect(),
    }
}

fn distribute(rules: &[(&str, &[(&str, u32)])]) -> LocalityRule {
    let rules = rules.iter().map(|(from, to)| Distribution {
        from: from.parse().unwrap(),
        to: to
            .iter()
            .map(|&(to, percent)| (to.parse().unwrap(), percent))
            .collect(),
    });
    LocalityRule::Distribute(rules.collect())
}

#[test]
fn default_priorities_are_by_distance_and_compact() {
    let rule = LocalityRule::nearest_first();
    let table: &[(&str, &[&str], &[usize])] = &[
        (
            "r1/z1/s1",
            &["r2/z1/s1", "r1/z1/s1", "r1/z2/s1", "r1/z1/s2"],
            &[3, 0, 2, 1],
        ),
        ("r1/z1/s1", &["r3", "r1/z2", "r2"], &[1, 0, 1]),
        ("r1/z1", &["r1/z1", "r1/z1/s1"], &[0, 1]),
        ("", &["r1/z1", "", "r2"], &[1, 0, 1]),
        // A zone of the same name in another region is no nearer.
        ("r1/z1/s1", &["r2/z1/s1", "r1/z9"], &[1, 0]),
        ("r1/z1", &[], &[]),
    ];
    for (own, endpoints, expected) in table {
        assert_near(own, &rule, endpoints, expected);
    }
}

#[test]
fn failover_prefers_one_of_the_other_regions() {
    let endpoints = ["r2", "r3", "r1/z1", "r1/z2"];
    let rule = failover(&[], &[("r1", "r3")]);
    assert_near("r1/z1", &rule, &endpoints, &[3, 2, 0, 1]);
    // The first entry of the client's region decides.
    let rule = failover(&[], &[("r9", "r2"), ("r1", "r2"), ("r1", "r3")]);
    assert_near("r1", &rule, &["r1", "r3", "r2"], &[0, 2, 1]);
    // No entry for the client's region: the other regions are equal.
    let rule = failover(&[], &[("r9", "r3")]);
    assert_near("r1", &rule, &["r1", "r3", "r2"], &[0, 1, 1]);
}

#[test]
fn labels_decide_up_to_the_first_that_differs() {
    let rule = failover(&["a", "b"], &[]);
    let own: Spot<'_> = ("r/z", &["a=1", "b=1"]);
    let endpoints: &[Spot<'_>] = &[
        ("r/z", &["a=2", "b=1"]),
        ("r/z", &["a=1", "b=1"]),
        ("q", &["a=1", "b=1"]),
        ("r/z", &["a=1"]),
        ("r/z", &[]),
    ];
    assert_tiers(own, &rule, endpoints, &[2, 0, 0, 1, 2]);
    // A label that neither has is equal.
    assert_tiers(
        ("r", &["c=1"]),
        &rule,
        &[("r", &[]), ("r", &["b=1"])],
        &[0, 1],
    );
    // The client's locality is as good as labels; a client without anything has no preference.
    let rule = failover(&[topology::REGION, topology::ZONE], &[]);
    let endpoints: &[Spot<'_>] = &[("q/z", &[]), ("r/z", &[]), ("r/y", &[])];
    assert_tiers(("r/z", &[]), &rule, endpoints, &[2, 0, 1]);
    assert_tiers(("", &[]), &rule, endpoints, &[0, 0, 0]);
}

#[test]
fn the_value_of_a_priority_label_stands_for_the_clients() {
    let rule = failover(&["version=v2", "a"], &[]);
    let endpoints: &[Spot<'_>] = &[
        ("r", &["version=v1", "a=1"]),
        ("r", &["version=v2", "a=1"]),
        ("r", &["version=v2"]),
    ];
    assert_tiers(("r", &["version=v1", "a=1"]), &rule, endpoints, &[2, 0, 1]);
}

#[test]
fn another_network_comes_after_all_of_the_own_one() {
    // What PreferClose and PreferSameZone ask for: 5, 4, 3 | 2, 1, 0.
    let rule = failover(&[topology::NETWORK, topology::REGION, topology::ZONE], &[]);
    let (here, there) = (
        &["topology.istio.io/network=n1"],
        &["topology.istio.io/network=n2"],
    );
    let endpoints: &[Spot<'_>] = &[
        ("q/z", there),
        ("r/y", there),
        ("r/z", there),
        ("q/z", here),
        ("r/y", here),
        ("r/z", here),
    ];
    assert_tiers(("r/z", here), &rule, endpoints, &[5, 4, 3, 2, 1, 0]);
    // Elsewhere than at the first place it is a label like any other.
    let rule = failover(&[topology::REGION, topology::NETWORK, topology::ZONE], &[]);
    assert_tiers(("r/z", here), &rule, endpoints, &[3, 2, 2, 3, 1, 0]);
}

#[test]
fn the_same_node_is_nearer_than_the_same_zone() {
    let labels = [
        topology::NETWORK,
        topology::REGION,
        topology::ZONE,
        topology::SUBZONE,
        topology::HOSTNAME,
    ];
    let endpoints: &[Spot<'_>] = &[
        ("r/z/s", &["kubernetes.io/hostname=b"]),
        ("r/z/s", &["kubernetes.io/hostname=a"]),
        ("r/z/t", &["kubernetes.io/hostname=a"]),
        ("r/y/s", &[]),
    ];
    let own: Spot<'_> = ("r/z/s", &["kubernetes.io/hostname=a"]);
    assert_tiers(own, &failover(&labels, &[]), endpoints, &[1, 0, 2, 3]);
}

#[test]
fn regions_decide_among_those_that_labels_make_equal() {
    let rule = failover(&["a"], &[("r1", "r3")]);
    let endpoints: &[Spot<'_>] = &[
        ("r1", &[]),
        ("r2", &["a=1"]),
        ("r3", &["a=1"]),
        ("r1", &["a=1"]),
        ("r2", &[]),
    ];
    assert_tiers(("r1", &["a=1"]), &rule, endpoints, &[3, 2, 1, 0, 4]);
}

#[test]
fn without_a_rule_all_are_one_tier() {
    assert_near("r1/z1", &LocalityRule::Inactive, &["r2", "r1/z1"], &[0, 0]);
}

#[test]
fn the_control_planes_priority_comes_first() {
    let near: Locality = "r1".parse().unwrap();
    let far: Locality = "r2".parse().unwrap();
    let labels = BTreeMap::new();
    let tiers = |rule: &LocalityRule| {
        let endpoints = [(&far, 3), (&near, 7), (&far, 7)].map(|(locality, priority)| Placed {
            place: Place {
                locality,
                labels: &labels,
            },
            priority,
            weight: 1,
        });
        let own = Place {
            locality: &near,
            labels: &labels,
        };
        Placement::new(own, rule, endpoints)
            .tiers()
            .flatten()
            .collect::<Vec<_>>()
    };
    assert_eq!(tiers(&LocalityRule::Inactive), [0, 1, 1]);
    assert_eq!(tiers(&LocalityRule::nearest_first()), [0, 1, 2]);
}

#[test]
fn a_group_weighs_what_its_endpoints_do() {
    let rule = failover(&["a"], &[]);
    let one: &[&str] = &["a=1"];
    let endpoints = [
        (("r1", one), 2),
        (("r1", &[][..]), 7),
        (("r2", one), 3),
        (("r1", one), 4),
    ];
    let placement = placement(("r1", one), &rule, &endpoints);
    assert_eq!(placement.members, [Some(0), Some(1), Some(2), Some(0)]);
    let groups: Vec<_> = placement
        .groups
        .iter()
        .map(|g| (g.tier, g.weight))
        .collect();
    assert_eq!(groups, [(0, 6), (1, 7), (0, 3)]);
}

/// The weight of each endpoint's group.
fn weights(own: &str, rule: &LocalityRule, endpoints: &[(&str, u32)]) -> Vec<Option<u64>> {
    let endpoints: Vec<_> = endpoints.iter().map(|&(l, w)| ((l, &[][..]), w)).collect();
    let placement = placement((own, &[]), rule, &endpoints);
    assert!(placement.groups.iter().all(|group| group.tier == 0));
    let groups = placement.members.iter();
    groups
        .map(|group| Some(placement.groups[(*group)?].weight))
        .collect()
}

#[test]
fn shares_are_divided_by_weight_and_rounded_up() {
    let rule = distribute(&[
        ("r1/z1/*", &[("r1/z1/*", 80), ("r2", 20)]),
        ("r1/*", &[("r1/z2", 100)]),
        ("*", &[("*", 100)]),
    ]);
    let endpoints = [
        ("r1/z1/s1", 1),
        ("r1/z1/s2", 2),
        ("r1/z2", 1),
        ("r2", 5),
        ("r3", 1),
    ];
    // ceil(1 × 80 / 3) and ceil(2 × 80 / 3); what no pattern covers is left out.
    let expected = [Some(27), Some(54), None, Some(20), None];
    assert_eq!(weights("r1/z1/s9", &rule, &endpoints), expected);
    assert_eq!(
        weights("r1/z2", &rule, &endpoints),
        [None, None, Some(100), None, None]
    );
    // ceil(w × 100 / 10).
    assert_eq!(
        weights("r7", &rule, &endpoints),
        [Some(10), Some(20), Some(10), Some(50), Some(10)]
    );
}

#[test]
fn shares_for_other_places_change_nothing() {
    let rule = distribute(&[("r9", &[("r9", 100)])]);
    assert_eq!(
        weights("r1", &rule, &[("r1", 3), ("r2", 2)]),
        [Some(3), Some(2)]
    );
    // Where a share has no endpoint, nothing is left over for it.
    let rule = distribute(&[("r1", &[("r8", 60), ("r2", 40)])]);
    assert_eq!(
        weights("r1", &rule, &[("r1", 3), ("r2", 2)]),
        [None, Some(40)]
    );
}

proptest! {
    #[test]
    fn tiers_have_no_gaps_and_every_group_a_weight(
        endpoints in prop::collection::vec((0usize..3, 0usize..3, 0usize..3, 1u32..9), 1..20),
        rule in prop::sample::select(vec![
            LocalityRule::Inactive,
            LocalityRule::nearest_first(),
            failover(&["a"], &[]),
            failover(&["a=1", topology::ZONE], &[("r0", "r2")]),
            distribute(&[("r0", &[("r0/z0", 50), ("r0/z1", 25), ("r1", 25)])]),
        ]),
    ) {
        let texts: Vec<_> = endpoints
            .iter()
            .map(|(r, z, a, _)| (format!("r{r}/z{z}"), format!("a={a}")))
            .collect();
        let labels: Vec<[&str; 1]> = texts.iter().map(|(_, label)| [&**label]).collect();
        let spots: Vec<_> = texts
            .iter()
            .zip(&labels)
            .zip(&endpoints)
            .map(|(((locality, _), labels), (.., weight))| ((&**locality, &labels[..]), *weight))
            .collect();
        let placement = placement(("r0/z0", &["a=0"]), &rule, &spots);
        prop_assert_eq!(placement.members.len(), endpoints.len());
        prop_assert!(placement.groups.iter().all(|group| group.weight > 0));
        let mut tiers: Vec<_> = placement.tiers().flatten().collect();
        tiers.sort_unstable();
        tiers.dedup();
        let expected: Vec<_> = (0..tiers.len()).collect();
        prop_assert_eq!(tiers, expected);
    }
}
