//! Hosts by the hash of a key, but none with more than its part of the load: Envoy's
//! `BoundedLoadHashingLoadBalancer`.

mod twister;

use super::HashTables;
use twister::Twister;

/// How many requests a host may have in flight.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// In percent of its part of all requests; at least 100.
    pub factor: u32,
    /// Requests in flight to all hosts.
    pub active: u64,
}

impl Bound {
    /// How much of what a host may have it has; above 1 is too much.
    fn load(self, part: f64, active: u32) -> f64 {
        let slots = ((self.active + 1) * u64::from(self.factor)).div_ceil(100);
        f64::from(active) / (slots as f64 * part).ceil().max(1.0)
    }
}

impl HashTables {
    /// The host of a hash, or where that one has too much to do, the first that has not, in an order
    /// that hangs on the hash alone; where all have, the one with the least.
    ///
    /// `active` tells how many requests a host has in flight, `order` is room for the order.
    pub fn at_bounded(
        &self,
        hash: u64,
        bound: Bound,
        active: impl Fn(usize) -> u32,
        order: &mut Vec<u32>,
    ) -> Option<usize> {
        let table = self.table(hash)?;
        let first = table.at(hash)?;
        let load = |host: u32, part| {
            let index = usize::try_from(host).unwrap_or(usize::MAX);
            bound.load(part, active(index))
        };
        let part = table.hosts.iter().find(|(host, _)| *host == first)?.1;
        let (mut best, mut least) = (first, load(first, part));
        order.clear();
        if least > 1.0 {
            order.extend((0_u32..).take(table.hosts.len()));
        }
        // As Envoy seeds it, of whose generator only the low half of the seed counts.
        let mut random = (!order.is_empty()).then(|| Twister::new(hash as u32));
        for place in 0..order.len() {
            let left = u32::try_from(order.len() - place).unwrap_or(u32::MAX);
            let drawn = random.as_mut().map_or(0, |random| random.below(left));
            order.swap(place, place + drawn as usize);
            let chosen = order.get(place).map(|index| *index as usize);
            let Some((host, part)) = chosen.and_then(|index| table.hosts.get(index)) else {
                continue;
            };
            if *host == first {
                continue;
            }
            let load = load(*host, *part);
            if load < least {
                (best, least) = (*host, load);
            }
            if load <= 1.0 {
                break;
            }
        }
        usize::try_from(best).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{MAGLEV, RING, hashes, tier};
    use super::*;

    #[test]
    fn slots_are_envoys() {
        // Factor, requests in all, part of the host, its requests; how full it is.
        let rows = [
            (100, 0, 0.25, 0, 0.0),
            // One of (0 + 1) × 1.0 → 1 × 0.25 → 1.
            (100, 0, 0.25, 1, 1.0),
            (100, 1, 0.5, 2, 2.0),
            // (9 + 1) × 1.5 = 15, of which a quarter is 3.75 → 4.
            (150, 9, 0.25, 4, 1.0),
            (150, 9, 0.25, 5, 1.25),
            // (2 + 1) × 1.01 = 3.03 → 4, of which a half is 2.
            (101, 2, 0.5, 2, 1.0),
        ];
        for (factor, active, part, own, expected) in rows {
            let bound = Bound { factor, active };
            assert_eq!(bound.load(part, own), expected, "{bound:?} {part} {own}");
        }
    }

    #[test]
    fn a_key_overflows_to_one_other_and_comes_back() {
        let tables = tier(MAGLEV, &[1, 1, 1, 1]);
        let mut order = vec![];
        for hash in hashes(100) {
            let owner = tables.at(hash).unwrap();
            let mut at = |busy: bool| {
                let active = |host| if busy && host == owner { 9 } else { 0 };
                let bound = Bound {
                    factor: 125,
                    active: if busy { 9 } else { 0 },
                };
                tables.at_bounded(hash, bound, active, &mut order).unwrap()
            };
            assert_eq!(at(false), owner);
            let other = at(true);
            assert_ne!(other, owner);
            assert_eq!(at(true), other, "the order hangs on the hash alone");
            assert_eq!(at(false), owner);
        }
    }

    proptest! {
        /// What is sent one by one and never answered: no host ever has more than it may, by more than
        /// the one request that was allowed at the bound.
        #[test]
        fn no_host_has_more_than_its_bound(
            weights in prop::collection::vec(1_u32..5, 1..10),
            factor in 100_u32..400,
            keys in prop::collection::vec(0_u64..4, 1..200),
            is_ring in any::<bool>(),
        ) {
            let tables = tier(if is_ring { RING } else { MAGLEV }, &weights);
            let total: u32 = weights.iter().sum();
            let mut active = vec![0_u32; weights.len()];
            let mut order = vec![];
            for (sent, key) in (0_u64..).zip(&keys) {
                let bound = Bound { factor, active: sent };
                let hash = super::super::hash_of(&key.to_le_bytes());
                let host = tables.at_bounded(hash, bound, |h| active[h], &mut order).unwrap();
                let load = |h: usize| {
                    bound.load(f64::from(weights[h]) / f64::from(total), active[h])
                };
                prop_assert!(load(host) <= 1.0, "{active:?} {host}");
                active[host] += 1;
            }
        }
    }
}
