//! What is served: named resources by type, each with the version that its content gives it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use meltemi_proto::Any;
use prost::{Message, Name};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::persistent::PersistentMap;

/// An encoded resource; a clone shares the encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The hash of the encoding, so equal content has an equal version in every process.
    pub version: Arc<str>,
    pub body: Any,
}

impl Resource {
    /// Maps are encoded in the order of their keys, so the encoding is canonical.
    pub fn of<M: Message + Name>(message: &M) -> Self {
        let body = Any::pack(message);
        let version = format!("{:016x}", xxh3_64(&body.value)).into();
        Self { version, body }
    }
}

/// An immutable set of resources; equal sets have equal versions. A clone shares all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    types: BTreeMap<String, Arc<OfType>>,
}

/// The resources of one type.
#[derive(Clone, Debug, Default)]
struct OfType {
    by_name: PersistentMap<Arc<str>, Arc<Resource>>,
    /// One version for all of them, where somebody has asked for it.
    version: OnceLock<String>,
}

/// The resources of one type at one moment, to tell later what has changed.
#[derive(Clone, Debug)]
pub(super) struct Seen(Option<Arc<OfType>>);

impl Seen {
    /// Whether nothing has, which costs a comparison.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// Names of which the resource may be another than before, or that only one of both has.
    pub(super) fn changed_since(&self, earlier: &Self) -> Vec<Arc<str>> {
        let none = PersistentMap::default();
        let of = |seen: &Self| seen.0.as_ref().map(|it| it.by_name.clone());
        let (now, was) = (
            of(self).unwrap_or(none.clone()),
            of(earlier).unwrap_or(none),
        );
        now.changed_since(&was).into_iter().cloned().collect()
    }
}

impl PartialEq for OfType {
    fn eq(&self, other: &Self) -> bool {
        self.by_name == other.by_name
    }
}

impl Eq for OfType {}

/// As [`Resources::sharing`].
fn share(now: &mut Arc<OfType>, was: &Arc<OfType>) {
    if Arc::ptr_eq(now, was) {
        return;
    }
    let mut is_same = now.by_name.len() == was.by_name.len();
    for (name, resource) in Arc::make_mut(now).by_name.iter_mut() {
        match was.by_name.get(name) {
            Some(known) if known == resource => *resource = known.clone(),
            _ => is_same = false,
        }
    }
    if is_same {
        *now = was.clone();
    }
}

impl Resources {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a resource, or replaces the one of its type and name.
    ///
    /// The endpoints of a cluster bear the cluster's name.
    pub fn insert<M: Message + Name>(&mut self, name: impl Into<String>, message: &M) {
        self.share(&name.into().into(), &Arc::new(Resource::of(message)));
    }

    /// Adds one that others may hold too.
    pub(crate) fn share(&mut self, name: &Arc<str>, resource: &Arc<Resource>) {
        let of_type = match self.types.get_mut(&resource.body.type_url) {
            Some(of_type) => of_type,
            None => self
                .types
                .entry(resource.body.type_url.clone())
                .or_default(),
        };
        let of_type = Arc::make_mut(of_type);
        of_type.version = OnceLock::new();
        of_type.by_name.insert(name.clone(), resource.clone());
    }

    #[cfg(feature = "kubernetes")]
    pub(crate) fn remove(&mut self, type_url: &str, name: &str) {
        let Some(of_type) = self.types.get_mut(type_url) else {
            return;
        };
        if !of_type.by_name.contains_key(name) {
            return;
        }
        let of_type = Arc::make_mut(of_type);
        of_type.version = OnceLock::new();
        of_type.by_name.remove(name);
        if of_type.by_name.len() == 0 {
            self.types.remove(type_url);
        }
    }

    pub fn get(&self, type_url: &str, name: &str) -> Option<&Resource> {
        let resource = self.types.get(type_url)?.by_name.get(name);
        resource.map(|resource| &**resource)
    }

    /// A resource with its name, to be shared.
    pub(crate) fn shared(&self, type_url: &str, name: &str) -> Option<(&Arc<str>, &Arc<Resource>)> {
        self.types.get(type_url)?.by_name.get_key_value(name)
    }

    pub(super) fn seen(&self, type_url: &str) -> Seen {
        Seen(self.types.get(type_url).cloned())
    }

    /// All resources of a type, by name.
    pub fn of_type(&self, type_url: &str) -> impl Iterator<Item = (&str, &Resource)> {
        let of_type = self.types.get(type_url).into_iter();
        let resources = of_type.flat_map(|of_type| of_type.by_name.iter());
        resources.map(|(name, resource)| (&**name, &**resource))
    }

    /// The type URLs of which there is a resource.
    pub fn type_urls(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }

    /// What others hold, too; where both have one of a name, theirs.
    pub(crate) fn extend(&mut self, others: &Self) {
        for of_type in others.types.values() {
            for (name, resource) in of_type.by_name.iter() {
                self.share(name, resource);
            }
        }
    }

    /// The same, sharing with an earlier set whatever is as it was there: all of it, where everything is.
    pub(crate) fn sharing(mut self, earlier: &Arc<Self>) -> Arc<Self> {
        for (type_url, of_type) in &mut self.types {
            if let Some(was) = earlier.types.get(type_url) {
                share(of_type, was);
            }
        }
        let is_same = self.types.len() == earlier.types.len()
            && self
                .types
                .values()
                .zip(earlier.types.values())
                .all(|(now, was)| Arc::ptr_eq(now, was));
        match is_same {
            true => earlier.clone(),
            false => Arc::new(self),
        }
    }

    /// One version for all resources of a type.
    pub(super) fn type_version(&self, type_url: &str) -> String {
        match self.types.get(type_url) {
            Some(of_type) => {
                let version = of_type
                    .version
                    .get_or_init(|| digest(self.of_type(type_url)));
                version.clone()
            }
            None => digest(std::iter::empty()),
        }
    }
}

/// A version for a selection of resources.
pub(super) fn digest<'a>(resources: impl Iterator<Item = (&'a str, &'a Resource)>) -> String {
    let mut hash = Xxh3::new();
    for (name, resource) in resources {
        for part in [name, &resource.version] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    format!("{:016x}", hash.digest())
}
