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

    /// Leaves out those that do not satisfy `keeps`.
    pub(crate) fn retain(&mut self, keeps: impl Fn(&Object) -> bool) {
        let out: Vec<_> = self
            .values()
            .filter(|object| !keeps(object))
            .map(|object| object.id.clone())
            .collect();
        for id in out {
            self.remove(&id);
        }
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
