//! A map that takes no more memory than what is in it: there is one of thousands of names for each of hundreds of clients.

use std::borrow::Borrow;

/// Entries in the order of their keys. What comes in that order is put in at the end; else what is behind it moves.
#[derive(Debug)]
pub(super) struct Sorted<K, V = ()>(Vec<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Sorted<K, V> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    pub(super) fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Puts it, with its key, in the place of what was there.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(known) => {
                if let Some(entry) = self.0.get_mut(known) {
                    *entry = (key, value);
                }
            }
            Err(between) => self.0.insert(between, (key, value)),
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Ok(place) = self.place(key) {
            self.0.remove(place);
        }
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&K) -> bool) {
        self.0.retain(|(key, _)| stays(key));
        self.fit();
    }

    /// Gives back what it has room for beyond a fourth of what is in it.
    pub(super) fn fit(&mut self) {
        if self.0.capacity() > self.0.len() + self.0.len() / 4 {
            self.0.shrink_to_fit();
        }
    }

    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        let behind_all = self.0.last().is_none_or(|(last, _)| last.borrow() < key);
        match behind_all {
            true => Err(self.0.len()),
            false => self
                .0
                .binary_search_by(|(known, _)| known.borrow().cmp(key)),
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Sorted<K, V> {
    /// The last of equal keys counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut sorted = Self::default();
        for (key, value) in entries {
            sorted.insert(key, value);
        }
        sorted.fit();
        sorted
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Steps: something is put in, or taken out.
        #[test]
        fn behaves_like_a_tree(steps in prop::collection::vec((any::<bool>(), 0..40u8, any::<u8>()), 0..200)) {
            let (mut sorted, mut model) = (Sorted::default(), BTreeMap::new());
            for (is_put, key, value) in steps {
                match is_put {
                    true => {
                        sorted.insert(key, value);
                        model.insert(key, value);
                    }
                    false => {
                        sorted.remove(&key);
                        model.remove(&key);
                    }
                }
                prop_assert_eq!(sorted.get(&key), model.get(&key));
                prop_assert_eq!(sorted.contains(&key), model.contains_key(&key));
                prop_assert!(sorted.iter().eq(model.iter()));
            }
            sorted.retain(|key| key % 2 == 0);
            model.retain(|key, _| key % 2 == 0);
            prop_assert!(sorted.keys().eq(model.keys()));
            let again: Sorted<_, _> = model.clone().into_iter().rev().collect();
            prop_assert!(again.iter().eq(model.iter()));
        }
    }
}
