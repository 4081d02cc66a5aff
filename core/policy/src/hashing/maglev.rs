//! Maglev hashing, as Envoy does it: the same hosts give the same table.

use xxhash_rust::xxh64::xxh64;

use super::HashedHost;

/// A table of hosts. Hosts of equal parts have about the same part of it, and the loss of one
/// moves little more than its own part.
///
/// The rule is Envoy's `MaglevTable`: each host walks its own permutation of the slots, seeded by
/// xxHash64 of its name, and takes slots in turns that are as frequent as its part. Turns go by the
/// order of the names.
#[derive(Clone, Debug)]
pub(super) struct Maglev {
    /// The host of each slot.
    slots: Vec<u32>,
}

/// A host on its way through the slots.
struct Walk {
    host: u32,
    offset: u64,
    skip: u64,
    part: f64,
    /// The sum of turns after which it may take a slot.
    due: f64,
    steps: u64,
}

impl Maglev {
    /// A table of `size` slots, which has to be a prime.
    pub(super) fn new(mut hosts: Vec<HashedHost>, size: u32) -> Self {
        let size = u64::from(size.max(2));
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        let walks = hosts.iter().map(|host| Walk {
            host: host.host,
            offset: xxh64(host.name.as_bytes(), 0) % size,
            skip: xxh64(host.name.as_bytes(), 1) % (size - 1) + 1,
            part: host.part,
            due: 0.0,
            steps: 0,
        });
        let mut walks: Vec<Walk> = walks.collect();
        let largest = walks.iter().map(|walk| walk.part).fold(0.0, f64::max);
        let mut slots: Vec<Option<u32>> = vec![None; usize::try_from(size).unwrap_or(0)];
        let mut free = if walks.is_empty() { 0 } else { size };
        let mut turn = 0.0;
        while free > 0 {
            turn += 1.0;
            for walk in &mut walks {
                if free == 0 {
                    break;
                }
                if turn * walk.part < walk.due {
                    continue;
                }
                walk.due += largest;
                walk.take(size, &mut slots);
                free -= 1;
            }
        }
        Self {
            slots: slots.into_iter().flatten().collect(),
        }
    }

    pub(super) fn at(&self, hash: u64) -> Option<u32> {
        let slot = hash.checked_rem(self.slots.len() as u64)?;
        self.slots.get(usize::try_from(slot).ok()?).copied()
    }
}

impl Walk {
    /// Takes the next slot of the permutation that is free; there is one.
    fn take(&mut self, size: u64, slots: &mut [Option<u32>]) {
        loop {
            let slot = (self.offset + self.skip.wrapping_mul(self.steps)) % size;
            self.steps += 1;
            let place = usize::try_from(slot).ok().and_then(|s| slots.get_mut(s));
            if let Some(place @ None) = place {
                *place = Some(self.host);
                return;
            }
        }
    }
}
