//! Which priority each endpoint has for a client, by distance.

use crate::{Locality, LocalityRule};

/// The priority of each endpoint, in the given order: 0 is used first, and none is skipped.
///
/// Source of the rule: Istio's locality failover (its default priorities, and `failover` for the
/// endpoints outside the client's region).
pub fn tiers<'a>(
    own: &Locality,
    rule: &LocalityRule,
    endpoints: impl IntoIterator<Item = &'a Locality>,
) -> Vec<usize> {
    let distances: Vec<u8> = match rule {
        LocalityRule::Inactive => endpoints.into_iter().map(|_| 0).collect(),
        LocalityRule::Failover { regions } => {
            let next_region = regions
                .iter()
                .find(|failover| failover.from == own.region)
                .map(|failover| failover.to.as_str());
            endpoints
                .into_iter()
                .map(|endpoint| distance(own, endpoint, next_region))
                .collect()
        }
    };
    compact(&distances)
}

fn distance(own: &Locality, endpoint: &Locality, next_region: Option<&str>) -> u8 {
    if own.region != endpoint.region {
        return match next_region {
            Some(region) if region != endpoint.region => 4,
            _ => 3,
        };
    }
    if own.zone != endpoint.zone {
        2
    } else if own.subzone != endpoint.subzone {
        1
    } else {
        0
    }
}

/// Envoy requires priorities without gaps.
fn compact(distances: &[u8]) -> Vec<usize> {
    let mut distinct = distances.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distances
        .iter()
        .map(|distance| distinct.partition_point(|d| d < distance))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RegionFailover;

    fn failover(entries: &[(&str, &str)]) -> LocalityRule {
        LocalityRule::Failover {
            regions: entries
                .iter()
                .map(|&(from, to)| RegionFailover {
                    from: from.into(),
                    to: to.into(),
                })
                .collect(),
        }
    }

    fn assert_tiers(own: &str, rule: &LocalityRule, endpoints: &[&str], expected: &[usize]) {
        let own: Locality = own.parse().unwrap();
        let endpoints: Vec<Locality> = endpoints.iter().map(|e| e.parse().unwrap()).collect();
        assert_eq!(
            tiers(&own, rule, &endpoints),
            expected,
            "{own} {rule:?} {endpoints:?}"
        );
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
            assert_tiers(own, &rule, endpoints, expected);
        }
    }

    #[test]
    fn failover_prefers_one_of_the_other_regions() {
        let rule = failover(&[("r1", "r3")]);
        assert_tiers(
            "r1/z1",
            &rule,
            &["r2", "r3", "r1/z1", "r1/z2"],
            &[3, 2, 0, 1],
        );
        // The first entry of the client's region decides.
        let rule = failover(&[("r9", "r2"), ("r1", "r2"), ("r1", "r3")]);
        assert_tiers("r1", &rule, &["r1", "r3", "r2"], &[0, 2, 1]);
        // No entry for the client's region: the other regions are equal.
        let rule = failover(&[("r9", "r3")]);
        assert_tiers("r1", &rule, &["r1", "r3", "r2"], &[0, 1, 1]);
    }

    #[test]
    fn without_a_rule_all_are_one_tier() {
        assert_tiers("r1/z1", &LocalityRule::Inactive, &["r2", "r1/z1"], &[0, 0]);
    }
}
