//! An ordered map of thousands of entries, of which a clone is a pointer and a change copies a few dozen.
//!
//! What is published is held by those who read it until the next is there, so that a map that is whole would be copied with
//! each change.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// How many entries a chunk has at most; twice as many as after it was divided.
const FULL: usize = 64;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// Entries in the order of their keys, in chunks that clones share. No chunk is empty.
#[derive(Debug)]
pub(crate) struct PersistentMap<K, V> {
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Clone for PersistentMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            chunks: self.chunks.clone(),
            len: self.len,
        }
    }
}

impl<K, V> Default for PersistentMap<K, V> {
    fn default() -> Self {
        Self {
            chunks: Arc::default(),
            len: 0,
        }
    }
}

impl<K, V> PersistentMap<K, V> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// In the order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        let entries = self.chunks.iter().flat_map(|chunk| chunk.iter());
        entries.map(|(key, value)| (key, value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }
}

impl<K: Ord, V> PersistentMap<K, V> {
    /// The keys of which the value may be another than in an earlier map, or that only one of both has: those of chunks that
    /// they do not share.
    pub(crate) fn changed_since<'a>(&'a self, earlier: &'a Self) -> BTreeSet<&'a K> {
        if Arc::ptr_eq(&self.chunks, &earlier.chunks) {
            return BTreeSet::new();
        }
        let of = |map: &Self| map.chunks.iter().map(Arc::as_ptr).collect::<HashSet<_>>();
        let (own, others) = (of(self), of(earlier));
        let is_apart = |chunk: &&Chunk<K, V>| {
            let chunk = Arc::as_ptr(chunk);
            !own.contains(&chunk) || !others.contains(&chunk)
        };
        let chunks = self.chunks.iter().chain(earlier.chunks.iter());
        let apart = chunks.filter(is_apart).flat_map(|chunk| chunk.iter());
        apart.map(|(key, _)| key).collect()
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    pub(crate) fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk(key)?)?;
        let (known, value) = chunk.get(place(chunk, key).ok()?)?;
        Some((known, value))
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Which chunk has the key, if any has it: the last that does not begin behind it.
    fn chunk<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let begins_before = |chunk: &Chunk<K, V>| {
            let first = chunk.first();
            first.is_some_and(|(first, _)| first.borrow() <= key)
        };
        self.chunks.partition_point(begins_before).checked_sub(1)
    }
}

impl<K: Ord + Clone, V: Clone> PersistentMap<K, V> {
    /// The value, to be changed: its chunk is copied first, where others have it, too.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunk(key)?;
        let place = place(self.chunks.get(chunk)?, key).ok()?;
        let chunk = Arc::make_mut(&mut self.chunks).get_mut(chunk)?;
        let (_, value) = Arc::make_mut(chunk).get_mut(place)?;
        Some(value)
    }

    /// Puts it in the place of what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let chunk = self.chunk(&key).unwrap_or(0);
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.is_empty() {
            chunks.push(Arc::default());
        }
        let Some(of_key) = chunks.get_mut(chunk) else {
            return;
        };
        let entries = Arc::make_mut(of_key);
        match place(entries, &key) {
            Ok(known) => entries.splice(known..=known, [(key, value)]).for_each(drop),
            Err(between) => {
                entries.insert(between, (key, value));
                self.len += 1;
            }
        }
        if entries.len() > FULL {
            let behind = entries.split_off(FULL / 2);
            chunks.insert(chunk + 1, Arc::new(behind));
        }
    }

    /// What was there.
    #[cfg(any(test, feature = "kubernetes"))]
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunk(key)?;
        let place = place(self.chunks.get(chunk)?, key).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let entries = Arc::make_mut(chunks.get_mut(chunk)?);
        let (_, value) = entries.remove(place);
        if entries.is_empty() {
            chunks.remove(chunk);
        }
        self.len -= 1;
        Some(value)
    }

    /// All values, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let chunks = Arc::make_mut(&mut self.chunks).iter_mut();
        let entries = chunks.flat_map(|chunk| Arc::make_mut(chunk).iter_mut());
        entries.map(|(key, value)| (&*key, value))
    }
}

/// Where a key is, or would be.
fn place<K: Borrow<Q>, V, Q: Ord + ?Sized>(entries: &[(K, V)], key: &Q) -> Result<usize, usize> {
    entries.binary_search_by(|(known, _)| known.borrow().cmp(key))
}

impl<K: PartialEq, V: PartialEq> PartialEq for PersistentMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks)
            || (self.len == other.len && self.iter().eq(other.iter()))
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for PersistentMap<K, V> {
    /// The last of equal keys counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries: BTreeMap<K, V> = entries.into_iter().collect();
        let len = entries.len();
        let mut entries = entries.into_iter().peekable();
        let mut chunks = vec![];
        while entries.peek().is_some() {
            // With room for others.
            let chunk: Vec<_> = entries.by_ref().take(FULL * 3 / 4).collect();
            chunks.push(Arc::new(chunk));
        }
        Self {
            chunks: Arc::new(chunks),
            len,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16, u8),
        Remove(u16),
        Change(u16, u8),
        /// Somebody holds what there is.
        Hold,
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = || 0..400_u16;
        prop_oneof![
            6 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
            3 => key().prop_map(Step::Remove),
            2 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Change(key, value)),
            1 => Just(Step::Hold),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_a_map_and_what_is_held_stays(
            first in vec((0..400_u16, any::<u8>()), 0..300),
            steps in vec(step(), 0..400),
        ) {
            let mut model: BTreeMap<u16, u8> = first.iter().copied().collect();
            let mut map: PersistentMap<u16, u8> = first.into_iter().collect();
            let mut held = vec![];
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        model.insert(key, value);
                        map.insert(key, value);
                    }
                    Step::Remove(key) => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    Step::Change(key, value) => {
                        let (one, other) = (map.get_mut(&key), model.get_mut(&key));
                        prop_assert_eq!(one.is_some(), other.is_some());
                        one.into_iter().chain(other).for_each(|it| *it = value);
                    }
                    Step::Hold => held.push((map.clone(), model.clone())),
                }
                prop_assert_eq!(map.len(), model.len());
            }
            held.push((map, model));
            for pair in held.windows(2) {
                let [(was, model_was), (now, model_now)] = pair else { continue };
                let changed = now.changed_since(was);
                let differs = |key: &u16| model_was.get(key) != model_now.get(key);
                prop_assert!((0..400).filter(differs).all(|key| changed.contains(&key)));
            }
            for (map, model) in held {
                prop_assert!(map.iter().eq(model.iter()));
                prop_assert!((0..400).all(|key| map.get(&key) == model.get(&key)));
                prop_assert!(map == model.into_iter().collect());
            }
        }
    }

    #[test]
    fn a_change_copies_one_chunk() {
        let was: PersistentMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        let mut now = was.clone();
        now.insert(5_000, 0);
        now.insert(10_000, 0);
        now.remove(&7_000);
        let shared = was.chunks.iter().filter(|chunk| {
            let mut others = now.chunks.iter();
            others.any(|other| Arc::ptr_eq(chunk, other))
        });
        assert_eq!(shared.count(), was.chunks.len() - 3);
        let changed = now.changed_since(&was).len();
        assert!((3..=3 * FULL).contains(&changed), "{changed}");
    }
}
