//! What is served: named resources by type, each with the version that its content gives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_proto::Any;
use prost::{Message, Name};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// An encoded resource; a clone shares the encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The hash of the encoding, so equal content has an equal version in every process.
    pub version: Arc<str>,
    pub body: Any,
}

/// An immutable set of resources; equal sets have equal versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    types: BTreeMap<String, BTreeMap<String, Resource>>,
}

impl Resources {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a resource, or replaces the one of its type and name.
    ///
    /// Maps are encoded in the order of their keys, so the encoding is canonical. The endpoints of
    /// a cluster bear the cluster's name.
    pub fn insert<M: Message + Name>(&mut self, name: impl Into<String>, message: &M) {
        let body = Any::pack(message);
        let version = format!("{:016x}", xxh3_64(&body.value)).into();
        self.types
            .entry(body.type_url.clone())
            .or_default()
            .insert(name.into(), Resource { version, body });
    }

    pub fn get(&self, type_url: &str, name: &str) -> Option<&Resource> {
        self.types.get(type_url)?.get(name)
    }

    /// All resources of a type, by name.
    pub fn of_type(&self, type_url: &str) -> impl Iterator<Item = (&str, &Resource)> {
        let resources = self.types.get(type_url).into_iter().flatten();
        resources.map(|(name, resource)| (name.as_str(), resource))
    }

    /// The type URLs of which there is a resource.
    pub fn type_urls(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }

    /// One version for all resources of a type.
    pub(super) fn type_version(&self, type_url: &str) -> String {
        digest(self.of_type(type_url))
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
