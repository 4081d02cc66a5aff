//! Maglev hashing, as Envoy does it: the same hosts in the same order give the same table.
//!
//! The rule is Envoy's `OriginalMaglevTable`: each host walks its own permutation of the slots,
//! seeded by xxHash64 of its address, and takes slots in turns that are as frequent as its weight.

use xxhash_rust::xxh64::xxh64;

/// Envoy's default size.
pub const TABLE_SIZE: u32 = 65_537;

/// A table of hosts. Hosts of equal weight have about the same part of it, and the loss of one
/// moves little more than its own part.
#[derive(Clone, Debug, Default)]
pub struct Maglev<T> {
    members: Vec<T>,
    slots: Vec<u32>,
}

/// A host on its way through the slots.
struct Walk {
    offset: u64,
    skip: u64,
    weight: u64,
    /// The sum of turns after which it may take a slot.
    due: u64,
    steps: u64,
}

impl<T> Maglev<T> {
    /// A table of `size` slots, which has to be a prime. Each member comes with its name (Envoy:
    /// `address:port`) and its weight, which is at least 1.
    pub fn new(members: impl IntoIterator<Item = (T, String, u32)>, size: u32) -> Self {
        let size = u64::from(size.max(2));
        let (members, mut walks): (Vec<T>, Vec<Walk>) = members
            .into_iter()
            .map(|(member, name, weight)| {
                let walk = Walk {
                    offset: xxh64(name.as_bytes(), 0) % size,
                    skip: xxh64(name.as_bytes(), 1) % (size - 1) + 1,
                    weight: u64::from(weight.max(1)),
                    due: 0,
                    steps: 0,
                };
                (member, walk)
            })
            .unzip();
        let heaviest = walks.iter().map(|walk| walk.weight).max().unwrap_or(1);
        let mut slots: Vec<Option<u32>> = vec![None; usize::try_from(size).unwrap_or(0)];
        let mut free = if members.is_empty() { 0 } else { size };
        let mut turn = 0;
        while free > 0 {
            turn += 1;
            for (index, walk) in (0_u32..).zip(&mut walks) {
                if free == 0 {
                    break;
                }
                if turn * walk.weight < walk.due {
                    continue;
                }
                walk.due += heaviest;
                walk.take(size, index, &mut slots);
                free -= 1;
            }
        }
        Self {
            members,
            slots: slots.into_iter().flatten().collect(),
        }
    }

    /// The member that has this hash.
    #[must_use]
    pub fn at(&self, hash: u64) -> Option<&T> {
        self.members.get(self.index(hash)?)
    }

    /// The place of that member among the members.
    #[must_use]
    pub fn index(&self, hash: u64) -> Option<usize> {
        let slot = hash.checked_rem(self.slots.len() as u64)?;
        let index = self.slots.get(usize::try_from(slot).ok()?)?;
        usize::try_from(*index).ok()
    }

    /// The members, in the order in which they were given.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &T> {
        self.members.iter()
    }
}

impl Walk {
    /// Takes the next slot of the permutation that is free; there is one.
    fn take(&mut self, size: u64, index: u32, slots: &mut [Option<u32>]) {
        loop {
            let slot = (self.offset + self.skip.wrapping_mul(self.steps)) % size;
            self.steps += 1;
            let place = usize::try_from(slot).ok().and_then(|s| slots.get_mut(s));
            if let Some(place @ None) = place {
                *place = Some(index);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(weights: &[u32]) -> Maglev<usize> {
        let members = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| (index, format!("127.0.0.1:{}", 90 + index), *weight));
        Maglev::new(members, TABLE_SIZE)
    }

    fn share(table: &Maglev<usize>, member: usize) -> f64 {
        let all = u64::from(TABLE_SIZE);
        let own = (0..all).filter(|hash| table.at(*hash) == Some(&member));
        own.count() as f64 / all as f64
    }

    #[test]
    fn nobody_has_a_key_of_nobody() {
        assert_eq!(table(&[]).at(7), None);
    }

    #[test]
    fn shares_follow_the_weights() {
        let table = table(&[1, 1, 2]);
        for (member, expected) in [(0, 0.25), (1, 0.25), (2, 0.5)] {
            assert!((share(&table, member) - expected).abs() < 0.001);
        }
    }

    #[test]
    fn the_loss_of_one_moves_little_more_than_its_part() {
        let (before, after) = (table(&[1; 5]), table(&[1; 4]));
        let all = u64::from(TABLE_SIZE);
        let moved = (0..all).filter(|hash| {
            let owner = before.at(*hash);
            owner != Some(&4) && owner != after.at(*hash)
        });
        assert!((moved.count() as f64) < 0.05 * all as f64);
    }
}
