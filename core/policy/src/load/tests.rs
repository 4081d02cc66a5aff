//! Tables for the load arithmetic: healthy and degraded percentages by host counts.

use proptest::prelude::*;

use super::*;

/// A hundred hosts per priority; (healthy, degraded) of each.
fn of_hundred(priorities: &[(u32, u32)], threshold: u32) -> Vec<PriorityLoad> {
    let counts: Vec<HostCounts> = priorities
        .iter()
        .map(|&(healthy, degraded)| HostCounts {
            total: 100,
            healthy,
            degraded,
        })
        .collect();
    distribute(&counts, DEFAULT_OVERPROVISIONING, threshold)
}

fn healthy(loads: &[PriorityLoad]) -> Vec<u32> {
    loads.iter().map(|load| load.healthy).collect()
}

fn degraded(loads: &[PriorityLoad]) -> Vec<u32> {
    loads.iter().map(|load| load.degraded).collect()
}

fn panics(loads: &[PriorityLoad]) -> Vec<bool> {
    loads.iter().map(|load| load.panic).collect()
}

#[test]
fn healthy_load_spills_over() {
    let table: &[(&[u32], &[u32])] = &[
        (&[100, 100], &[100, 0]),
        (&[72, 100], &[100, 0]),
        (&[71, 100], &[99, 1]),
        (&[50, 100], &[70, 30]),
        (&[25, 100], &[35, 65]),
        (&[0, 100], &[0, 100]),
        (&[25, 25, 20], &[37, 35, 28]),
        (&[5, 65], &[8, 92]),
        (&[72, 72, 100], &[100, 0, 0]),
        (&[0, 72, 100], &[0, 100, 0]),
        (&[0, 0, 100], &[0, 0, 100]),
        (&[30, 30, 30], &[42, 42, 16]),
        (&[100], &[100]),
        (&[1], &[100]),
    ];
    for (hosts, expected) in table {
        let priorities: Vec<(u32, u32)> = hosts.iter().map(|&h| (h, 0)).collect();
        let loads = of_hundred(&priorities, 0);
        assert_eq!(healthy(&loads), *expected, "{hosts:?}");
        assert_eq!(degraded(&loads), vec![0; hosts.len()], "{hosts:?}");
    }
}

#[test]
fn degraded_hosts_take_what_healthy_ones_cannot() {
    // 71 healthy, 29 degraded, none unhealthy: one percent goes to the degraded ones.
    let loads = of_hundred(&[(71, 29)], 0);
    assert_eq!((loads[0].healthy, loads[0].degraded), (99, 1));
    // 71 healthy, 29 unhealthy: nothing else is left, so the healthy ones take all.
    let loads = of_hundred(&[(71, 0)], 0);
    assert_eq!((loads[0].healthy, loads[0].degraded), (100, 0));
    // The healthy hosts of every priority come before the degraded ones of any.
    let loads = of_hundred(&[(71, 29), (100, 0)], 0);
    assert_eq!(
        (healthy(&loads), degraded(&loads)),
        (vec![99, 1], vec![0, 0])
    );
    let loads = of_hundred(&[(0, 100), (50, 50)], 0);
    assert_eq!(
        (healthy(&loads), degraded(&loads)),
        (vec![0, 70], vec![30, 0])
    );
    let loads = of_hundred(&[(0, 20), (0, 20)], 0);
    assert_eq!(
        (healthy(&loads), degraded(&loads)),
        (vec![0, 0], vec![50, 50])
    );
}

#[test]
fn panic_needs_too_few_hosts_in_all_and_in_the_priority() {
    type Row<'a> = (&'a [u32], u32, &'a [u32], &'a [bool]);
    let table: &[Row<'_>] = &[
        // Enough in all: no priority panics, whatever its own health.
        (&[50, 60], 50, &[70, 30], &[false, false]),
        (&[5, 100], 50, &[7, 93], &[false, false]),
        // Not enough in all: 7 + 91 is 98.
        (&[5, 65], 50, &[8, 92], &[true, false]),
        (&[25, 25, 20], 50, &[34, 33, 33], &[true, true, true]),
        (&[25, 25], 20, &[50, 50], &[false, false]),
        (&[0, 0], 50, &[50, 50], &[true, true]),
        // At the threshold is enough; below it is not.
        (&[50, 0], 50, &[100, 0], &[false, true]),
        (&[49, 0], 50, &[50, 50], &[true, true]),
        // A threshold of 0 never panics; where nobody serves, the first priority has the load.
        (&[0, 0], 0, &[100, 0], &[false, false]),
        (&[1, 0], 0, &[100, 0], &[false, false]),
        // Thresholds over 100 are 100.
        (&[71], 250, &[100], &[true]),
    ];
    for (hosts, threshold, expected, panic) in table {
        let priorities: Vec<(u32, u32)> = hosts.iter().map(|&h| (h, 0)).collect();
        let loads = of_hundred(&priorities, *threshold);
        assert_eq!(healthy(&loads), *expected, "{hosts:?} {threshold}");
        assert_eq!(panics(&loads), *panic, "{hosts:?} {threshold}");
    }
}

#[test]
fn in_total_panic_hosts_are_equal() {
    let sized = |sizes: &[u32]| {
        let counts: Vec<HostCounts> = sizes
            .iter()
            .map(|&total| HostCounts {
                total,
                healthy: 0,
                degraded: 0,
            })
            .collect();
        healthy(&distribute(&counts, DEFAULT_OVERPROVISIONING, 50))
    };
    assert_eq!(sized(&[1, 1, 1]), [34, 33, 33]);
    assert_eq!(sized(&[0, 1, 2]), [0, 34, 66]);
    assert_eq!(sized(&[0, 0]), [100, 0]);
    assert_eq!(sized(&[]), [0; 0]);
}

#[test]
fn overprovisioning_is_a_setting() {
    let counts = [
        HostCounts {
            total: 2,
            healthy: 1,
            degraded: 0,
        },
        HostCounts {
            total: 1,
            healthy: 1,
            degraded: 0,
        },
    ];
    assert_eq!(healthy(&distribute(&counts, 100, 0)), [50, 50]);
    assert_eq!(healthy(&distribute(&counts, 200, 0)), [100, 0]);
    // So little that every priority's part rounds to nothing.
    assert_eq!(healthy(&distribute(&counts, 1, 0)), [0, 100]);
    assert_eq!(healthy(&distribute(&counts[..1], 1, 0)), [100]);
}

#[test]
fn a_locality_weighs_less_as_its_hosts_fail() {
    let table: &[(u64, (u32, u32), u64)] = &[
        (3, (2, 2), 3_000_000),
        (3, (1, 2), 2_100_000),
        // Five of seven are enough; a third is not rounded to 46 percent.
        (1, (5, 7), 1_000_000),
        (1, (1, 3), 466_666),
        (9, (0, 3), 0),
        (9, (0, 0), 0),
        (u64::MAX, (1, 1), u64::MAX),
    ];
    for (weight, hosts, expected) in table {
        let effective = effective_weight(*weight, *hosts, DEFAULT_OVERPROVISIONING);
        assert_eq!(effective, *expected, "{weight} {hosts:?}");
    }
}

proptest! {
    #[test]
    fn loads_always_add_up_to_100(
        sizes in prop::collection::vec((0u32..300, 0u32..300, 0u32..300), 1..6),
        overprovisioning in 1u32..400,
        threshold in 0u32..150,
    ) {
        let counts: Vec<HostCounts> = sizes
            .iter()
            .map(|&(healthy, degraded, unhealthy)| HostCounts {
                total: healthy + degraded + unhealthy,
                healthy,
                degraded,
            })
            .collect();
        let loads = distribute(&counts, overprovisioning, threshold);
        prop_assert_eq!(loads.iter().map(|l| l.healthy + l.degraded).sum::<u32>(), 100);
        for (load, counts) in loads.iter().zip(&counts) {
            if !load.panic && counts.degraded == 0 {
                prop_assert_eq!(load.degraded, 0);
            }
        }
    }
}
