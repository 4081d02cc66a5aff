//! An object on its way from the API server: a tree, of which what nobody reads is dropped at once.

use std::borrow::Cow;
use std::sync::Arc;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

use crate::diagnostic::{FieldPlaces, Position, SourceFile};
use crate::manifest::{Decoded, Kind, ObjectRef, decode_tree};
use crate::status::{self, Record};
use crate::yaml::{self, Entry, Node};

mod pruned;

#[derive(Clone, Debug)]
pub(super) struct Watched {
    /// As far as a watch has to know it.
    meta: ObjectMeta,
    fields: Map<String, Value>,
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = pruned::read(deserializer)?;
        let mut meta = ObjectMeta::default();
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            let uid = metadata.remove("uid");
            meta.uid = uid.and_then(|uid| Some(uid.as_str()?.to_owned()));
            let annotations = metadata.get_mut("annotations");
            if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
                annotations.remove(LAST_APPLIED);
            }
            let text = |name: &str| Some(metadata.get(name)?.as_str()?.to_owned());
            meta.name = text("name");
            meta.namespace = text("namespace");
            meta.resource_version = text("resourceVersion");
        }
        // A bookmark has no name, an object without a version cannot be watched.
        if meta.resource_version.is_none() {
            return Err(D::Error::missing_field("metadata.resourceVersion"));
        }
        Ok(Self { meta, fields })
    }
}

impl Watched {
    pub(super) fn id(&self, kind: Kind) -> ObjectRef {
        let namespace = self.meta.namespace.as_deref().unwrap_or_default();
        ObjectRef::new(
            kind,
            namespace,
            self.meta.name.as_deref().unwrap_or_default(),
        )
    }

    /// The version of its last change; 0 where that is no number.
    pub(super) fn version(&self) -> u64 {
        let version = self.meta.resource_version.as_deref().unwrap_or_default();
        version.parse().unwrap_or_default()
    }

    /// What is kept of it for its status, where that is ours to write.
    pub(super) fn record(&self, kind: Kind) -> Option<Record> {
        if !status::KINDS.contains(&kind) {
            return None;
        }
        let uid = self.meta.uid.as_deref().unwrap_or_default();
        Record::of(self.id(kind), uid, &self.fields)
    }

    /// As if it stood in a file by itself, whose name is the object's.
    pub(super) fn decode(mut self, kind: Kind, resource: &ApiResource) -> Decoded {
        // The items of a list do not say what they are.
        for (name, value) in [
            ("kind", &resource.kind),
            ("apiVersion", &resource.api_version),
        ] {
            self.fields
                .insert(name.to_owned(), Value::String(value.clone()));
        }
        if !matches!(kind, Kind::Pod | Kind::ServiceEntry) {
            self.fields.remove("status");
        }
        let name = self.id(kind).to_string();
        let mut places = is_written_by_people(kind).then(FieldPlaces::default);
        let tree = node(Value::Object(self.fields), Position::default(), &mut places);
        let text = places.map(FieldPlaces::into_text).unwrap_or_default();
        decode_tree(&Arc::new(SourceFile { name, text }), &tree)
    }
}

/// Of others there are many, and nothing to be found wrong.
const fn is_written_by_people(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::EndpointSlice | Kind::Namespace | Kind::Node | Kind::Pod | Kind::Service
    ) && kind.acts()
}

impl Resource for Watched {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// The tree that the same text in a file would be; the places are those of fields.
fn node(value: Value, at: Position, places: &mut Option<FieldPlaces>) -> Node {
    let value = match value {
        Value::Null => yaml::Value::Null,
        Value::Bool(value) => yaml::Value::Bool(value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => yaml::Value::Integer(integer),
            None => yaml::Value::Float(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => yaml::Value::String(text),
        Value::Array(items) => {
            let items = items.into_iter().enumerate().map(|(number, item)| {
                let at = places.as_mut().map_or(at, |places| places.item(at, number));
                node(item, at, places)
            });
            yaml::Value::List(items.collect())
        }
        Value::Object(fields) => {
            let entries = fields.into_iter().map(|(key, value)| {
                let at = places.as_mut().map_or(at, |places| places.field(at, &key));
                let value = node(value, at, places);
                Entry { key, at, value }
            });
            yaml::Value::Map(entries.collect())
        }
    };
    Node { value, at }
}
