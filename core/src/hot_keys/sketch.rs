//! Space-Saving: the most frequent elements of a stream by a fixed number of counters (Metwally,
//! Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams",
//! 2005).

use xxhash_rust::xxh3::xxh3_64;

use super::{HotKey, LONGEST_KEY, Summary};

/// Counters of keys. A key that has none takes over the one with the least count, and its count as
/// the most that it may have had before.
///
/// **Guarantees**, with `n` for all that was counted and `k` for the number of counters:
/// - a counter is not below its key's frequency, and above it by its error at most;
/// - no error is above `n / k`;
/// - a key with a frequency above `n / k` has a counter.
///
/// Halving is exact in binary floating point, and so keeps them all.
#[derive(Clone, Debug)]
pub struct Sketch {
    capacity: usize,
    total: f64,
    /// Of the keys, in their order: what a search looks at.
    hashes: Vec<u64>,
    counters: Vec<HotKey>,
}

impl Sketch {
    /// With so many counters, which take their memory as keys come.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            total: 0.0,
            hashes: Vec::new(),
            counters: Vec::new(),
        }
    }

    /// Counts `key` as so many requests. Keys that differ behind [`LONGEST_KEY`] bytes count as one.
    pub fn count(&mut self, key: &[u8], requests: f64) {
        self.total += requests;
        let cut = key.len() > LONGEST_KEY;
        let key = key.get(..LONGEST_KEY).unwrap_or(key);
        let hash = xxh3_64(key);
        if let Some(counter) = self.find(hash, key, cut) {
            counter.count += requests;
        } else if self.counters.len() < self.capacity {
            self.hashes.push(hash);
            self.counters.push(HotKey {
                key: key.to_vec(),
                cut,
                count: requests,
                error: 0.0,
            });
        } else {
            self.take_over(hash, key, cut, requests);
        }
    }

    fn find(&mut self, hash: u64, key: &[u8], cut: bool) -> Option<&mut HotKey> {
        let same = self.hashes.iter().zip(&mut self.counters);
        same.filter(|(known, _)| **known == hash)
            .map(|(_, counter)| counter)
            .find(|counter| counter.cut == cut && counter.key == key)
    }

    fn take_over(&mut self, hash: u64, key: &[u8], cut: bool, requests: f64) {
        let counters = self.counters.iter_mut().zip(&mut self.hashes);
        let least = counters.min_by(|(a, _), (b, _)| a.count.total_cmp(&b.count));
        let Some((counter, known)) = least else {
            return;
        };
        *known = hash;
        counter.key.clear();
        counter.key.extend_from_slice(key);
        counter.cut = cut;
        counter.error = counter.count;
        counter.count += requests;
    }

    /// Halves everything so many times.
    pub fn halve(&mut self, times: u32) {
        // What was halved this often is nothing.
        let factor = 0.5_f64.powi(times.min(1000).cast_signed());
        self.total *= factor;
        for counter in &mut self.counters {
            counter.count *= factor;
            counter.error *= factor;
        }
    }

    /// What the counters say.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let full = self.counters.len() >= self.capacity;
        let least = self.counters.iter().map(|counter| counter.count);
        Summary {
            total: self.total,
            absent: if full { least.reduce(f64::min) } else { None }.unwrap_or_default(),
            keys: self.counters.clone(),
        }
    }
}
