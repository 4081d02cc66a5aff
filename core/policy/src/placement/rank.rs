//! How far an endpoint is from a client.

use super::Placed;
use crate::place::topology;
use crate::{Locality, LocalityRule, Place, PriorityLabel, RegionFailover};

/// The tier of each endpoint: 0 is used first, and none is skipped.
pub(super) fn tiers(own: Place<'_>, rule: &LocalityRule, endpoints: &[Placed<'_>]) -> Vec<usize> {
    let given = endpoints.iter().map(|endpoint| endpoint.priority);
    let LocalityRule::Failover { labels, regions } = rule else {
        return compact(&given.collect::<Vec<_>>());
    };
    // Where labels decide, regions do only if they are written down.
    let by_locality = labels.is_empty() || !regions.is_empty();
    let distances: Vec<(u32, usize, u8)> = endpoints
        .iter()
        .map(|endpoint| {
            let place = endpoint.place;
            let by_labels = labels_apart(own, labels, place);
            let apart =
                by_locality.then(|| localities_apart(own.locality, regions, place.locality));
            (endpoint.priority, by_labels, apart.unwrap_or(0))
        })
        .collect();
    compact(&distances)
}

/// Istio's `applyFailoverPriorities`: of n labels, those behind the first mismatch. A different
/// network, where it is the first label, comes after everybody of the same one, and the rest of the
/// labels still counts.
fn labels_apart(own: Place<'_>, labels: &[PriorityLabel], endpoint: Place<'_>) -> usize {
    if own.is_nameless() {
        return 0;
    }
    let mismatches = |label: &PriorityLabel| {
        let wanted = label.value.as_deref();
        wanted.unwrap_or_else(|| own.label(&label.name)) != endpoint.label(&label.name)
    };
    let (elsewhere, skipped) = match labels.first() {
        Some(first) if first.name == topology::NETWORK && mismatches(first) => (labels.len(), 1),
        _ => (0, 0),
    };
    let behind = labels.iter().skip(skipped).position(mismatches);
    let behind = behind.map_or(0, |position| labels.len() - skipped - position);
    elsewhere + behind
}

/// Istio's `LbPriority`, and `failover` for what is outside of the client's region.
fn localities_apart(own: &Locality, regions: &[RegionFailover], endpoint: &Locality) -> u8 {
    if own.region != endpoint.region {
        let next = regions.iter().find(|failover| failover.from == own.region);
        return match next {
            Some(next) if next.to != endpoint.region => 4,
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
fn compact<T: Ord + Copy>(distances: &[T]) -> Vec<usize> {
    let mut distinct = distances.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distances
        .iter()
        .map(|distance| distinct.partition_point(|d| d < distance))
        .collect()
}
