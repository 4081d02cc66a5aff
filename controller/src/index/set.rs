//! A set of objects, of which a clone shares what is not changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::manifest::{Kind, Object, ObjectRef};

/// Accepted objects by name, in a fixed order. Those of a kind are shared by all clones until one changes them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    kinds: BTreeMap<Kind, OfKind>,
}

/// The objects of one kind. Of a change only those of its namespace are copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfKind(Arc<BTreeMap<Arc<str>, Arc<OfNamespace>>>);

type OfNamespace = BTreeMap<ObjectRef, Arc<Object>>;

impl Objects {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The objects of a kind; none where there never was one.
    pub(crate) fn kind(&self, kind: Kind) -> Option<&OfKind> {
        self.kinds.get(&kind)
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
        self.kind(kind).into_iter().flat_map(OfKind::values)
    }

    #[cfg(feature = "kubernetes")]
    pub(crate) fn of_namespace(
        &self,
        kind: Kind,
        namespace: &str,
    ) -> impl Iterator<Item = &Arc<Object>> + use<'_> {
        let of_namespace = self.kind(kind).and_then(|kind| kind.0.get(namespace));
        of_namespace.into_iter().flat_map(|of| of.values())
    }

    pub(crate) fn get(&self, id: &ObjectRef) -> Option<&Arc<Object>> {
        self.kind(id.kind)?.get(id)
    }

    pub(crate) fn contains_key(&self, id: &ObjectRef) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn insert(&mut self, id: ObjectRef, object: Arc<Object>) {
        let kind = self.kinds.entry(id.kind).or_default();
        let namespaces = Arc::make_mut(&mut kind.0);
        let of_namespace = namespaces.entry(id.namespace.clone()).or_default();
        Arc::make_mut(of_namespace).insert(id, object);
    }

    /// The object that was there.
    pub(crate) fn remove(&mut self, id: &ObjectRef) -> Option<Arc<Object>> {
        let kind = self.kinds.get_mut(&id.kind)?;
        kind.get(id)?;
        let namespaces = Arc::make_mut(&mut kind.0);
        let of_namespace = Arc::make_mut(namespaces.get_mut(&id.namespace)?);
        let removed = of_namespace.remove(id);
        if of_namespace.is_empty() {
            namespaces.remove(&id.namespace);
        }
        removed
    }

    pub(crate) fn len(&self) -> usize {
        self.kinds.values().map(OfKind::len).sum()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.kinds.values().flat_map(OfKind::values)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &ObjectRef> {
        let namespaces = self.kinds.values().flat_map(|kind| kind.0.values());
        namespaces.flat_map(|of_namespace| of_namespace.keys())
    }
}

impl OfKind {
    /// Whether both are the very same objects, which costs a comparison.
    pub(crate) fn is_same(one: Option<&Self>, other: Option<&Self>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(&one.0, &other.0),
            (one, other) => one.or(other).is_none_or(|of| of.0.is_empty()),
        }
    }

    pub(crate) fn get(&self, id: &ObjectRef) -> Option<&Arc<Object>> {
        self.0.get(&id.namespace)?.get(id)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.0
            .values()
            .flat_map(|of_namespace| of_namespace.values())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.values().map(|of_namespace| of_namespace.len()).sum()
    }
}
