//! Hosts by the hash of a key, but none with more than its part of the load: Envoy's
//! `BoundedLoadHashingLoadBalancer`.

mod twister;

use super::{HashTables, Table};
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

/// Room for an order of hosts: only as much of it is made, and unmade, as is looked at.
#[derive(Debug, Default)]
pub struct Order {
    /// In between each stands at its place.
    hosts: Vec<u32>,
    /// How far behind its place what was put there was.
    drawn: Vec<u32>,
}

impl Order {
    /// For so many hosts.
    fn make_room(&mut self, hosts: u32) {
        let known = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        self.hosts.extend(known..hosts);
    }

    /// The host that comes next, `drawn` behind the first of those that are left.
    fn next(&mut self, drawn: u32) -> Option<usize> {
        let place = self.drawn.len();
        self.drawn.push(drawn);
        self.hosts.swap(place, place + drawn as usize);
        self.hosts.get(place).map(|host| *host as usize)
    }

    fn unmake(&mut self) {
        while let Some(drawn) = self.drawn.pop() {
            let place = self.drawn.len();
            self.hosts.swap(place, place + drawn as usize);
        }
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
        order: &mut Order,
    ) -> Option<usize> {
        let table = self.table(hash)?;
        let first = table.at(hash)?;
        let load = |host: u32, part| {
            let index = usize::try_from(host).unwrap_or(usize::MAX);
            bound.load(part, active(index))
        };
        let least = load(first, table.part(first)?);
        let host = match least > 1.0 {
            true => table.less_loaded((first, least), hash, load, order),
            false => first,
        };
        usize::try_from(host).ok()
    }
}

impl Table {
    /// The first host that has not too much, or has the least, in the order of a hash whose own host
    /// has so much.
    fn less_loaded(
        &self,
        (first, mut least): (u32, f64),
        hash: u64,
        load: impl Fn(u32, f64) -> f64,
        order: &mut Order,
    ) -> u32 {
        let count = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        order.make_room(count);
        // As Envoy seeds it, of whose generator only the low half of the seed counts.
        let mut random = Twister::new(hash as u32);
        let mut best = first;
        for left in (1..=count).rev() {
            let chosen = order.next(random.below(left));
            let Some((host, part)) = chosen.and_then(|index| self.hosts.get(index)) else {
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
        order.unmake();
        best
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
        let mut order = Order::default();
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
        /// The order is the one of a shuffle from the start, however little of others was looked at.
        #[test]
        fn an_order_is_made_as_far_as_it_is_looked_at(
            looks in prop::collection::vec((1_u32..20, 0_usize..20, any::<u32>()), 1..20),
        ) {
            let mut order = Order::default();
            for (hosts, looks, seed) in looks {
                let mut whole: Vec<u32> = (0..hosts).collect();
                order.make_room(hosts);
                let mut random = Twister::new(seed);
                for (place, left) in (1..=hosts).rev().enumerate().take(looks) {
                    let drawn = random.below(left);
                    whole.swap(place, place + drawn as usize);
                    prop_assert_eq!(order.next(drawn), Some(whole[place] as usize));
                }
                order.unmake();
                prop_assert!(order.hosts.iter().copied().eq(0..order.hosts.len() as u32));
            }
        }

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
            let mut order = Order::default();
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
