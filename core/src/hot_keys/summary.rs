//! What sketches say, added up.

use std::collections::HashMap;

/// A key and how often it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// Its first [`super::LONGEST_KEY`] bytes.
    pub key: Vec<u8>,
    /// It has more.
    pub cut: bool,
    /// Requests; not below what was counted of it.
    pub count: f64,
    /// How much of `count` may be another key's.
    pub error: f64,
}

/// The most frequent keys of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Requests with a key.
    pub total: f64,
    /// The most that a key may have that is not among `keys`.
    pub absent: f64,
    /// In no order, until they are merged.
    pub keys: Vec<HotKey>,
}

impl Summary {
    /// Several of sketches with `counters` each as one, the most frequent keys first. Their
    /// guarantees hold for the sum (Agarwal et al., "Mergeable Summaries", 2012): a key that one of
    /// them does not have may have had there as much as its `absent` says.
    #[must_use]
    pub fn merge(summaries: Vec<Self>, counters: usize) -> Self {
        let absent: f64 = summaries.iter().map(|summary| summary.absent).sum();
        let total = summaries.iter().map(|summary| summary.total).sum();
        let mut keys: HashMap<(Vec<u8>, bool), HotKey> = HashMap::new();
        for summary in summaries {
            for found in summary.keys {
                let name = (found.key, found.cut);
                let sum = keys.entry(name).or_insert_with_key(|(key, cut)| HotKey {
                    key: key.clone(),
                    cut: *cut,
                    count: absent,
                    error: absent,
                });
                sum.count += found.count - summary.absent;
                sum.error += found.error - summary.absent;
            }
        }
        let mut keys: Vec<_> = keys.into_values().collect();
        keys.sort_by(|a, b| {
            let by_count = b.count.total_cmp(&a.count);
            by_count.then_with(|| a.key.cmp(&b.key))
        });
        let left_out = keys.get(counters).map_or(0.0, |most| most.count);
        keys.truncate(counters);
        Self {
            total,
            absent: absent.max(left_out),
            keys,
        }
    }
}
