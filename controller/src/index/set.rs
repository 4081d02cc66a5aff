//! A set of objects, of which a clone shares what is not changed.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use crate::manifest::{Kind, Object, ObjectRef};

/// Accepted objects by name, in a fixed order. Those of a kind are shared by all clones until one changes them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    kinds: BTreeMap<Kind, OfKind>,
}

/// The objects of one kind.
pub(crate) type OfKind = Arc<BTreeMap<ObjectRef, Arc<Object>>>;

impl Objects {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The objects of a kind; none where there never was one.
    pub(crate) fn kind(&self, kind: Kind) -> Option<&OfKind> {
        self.kinds.get(&kind)
    }

    /// Whether both hold the very same objects of a kind, which costs a comparison.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn shares(&self, other: &Self, kind: Kind) -> bool {
        match (self.kind(kind), other.kind(kind)) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => {
                one.is_none_or(|it| it.is_empty()) && other.is_none_or(|it| it.is_empty())
            }
        }
    }

    /// Takes over the objects of a kind.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn adopt(&mut self, other: &Self, kind: Kind) {
        match other.kind(kind) {
            Some(objects) => drop(self.kinds.insert(kind, objects.clone())),
            None => drop(self.kinds.remove(&kind)),
        }
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.kind(kind).into_iter().flat_map(|kind| kind.values())
    }

    pub(crate) fn get(&self, id: &ObjectRef) -> Option<&Arc<Object>> {
        self.kind(id.kind)?.get(id)
    }

    pub(crate) fn contains_key(&self, id: &ObjectRef) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn insert(&mut self, id: ObjectRef, object: Arc<Object>) {
        let kind = self.kinds.entry(id.kind).or_default();
        Arc::make_mut(kind).insert(id, object);
    }

    /// The object that was there.
    pub(crate) fn remove(&mut self, id: &ObjectRef) -> Option<Arc<Object>> {
        let kind = self.kinds.get_mut(&id.kind)?;
        kind.contains_key(id)
            .then(|| Arc::make_mut(kind).remove(id))?
    }

    pub(crate) fn len(&self) -> usize {
        self.kinds.values().map(|kind| kind.len()).sum()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.kinds.values().flat_map(|kind| kind.values())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &ObjectRef> {
        self.kinds.values().flat_map(|kind| kind.keys())
    }
}

impl<'a> IntoIterator for &'a Objects {
    type Item = (&'a ObjectRef, &'a Arc<Object>);
    type IntoIter = std::iter::FlatMap<
        btree_map::Values<'a, Kind, OfKind>,
        btree_map::Iter<'a, ObjectRef, Arc<Object>>,
        fn(&'a OfKind) -> btree_map::Iter<'a, ObjectRef, Arc<Object>>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.kinds.values().flat_map(|kind| kind.iter())
    }
}
