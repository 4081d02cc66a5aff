//! What an API server holds of one of our objects besides what acts: its generation, and the status that is written.

use serde_json::{Map, Value};

use crate::manifest::{Kind, ObjectRef};

/// Those whose status is ours to write. Of other kinds nothing is: their lists of conditions are atomic, and a second
/// writer erases the first.
pub(crate) const KINDS: &[Kind] = &[
    Kind::ApplicationProtocol,
    Kind::DubboAuthorizationPolicy,
    Kind::MetaRouter,
    Kind::RedisDestination,
    Kind::RedisService,
];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) id: ObjectRef,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) resource_version: String,
    /// The Gateways that it names, as they are written: known also of an object that is refused.
    pub(crate) gateways: Vec<String>,
    /// The first host that it is about, as it is written.
    pub(crate) host: Option<String>,
    /// Null where there is none yet.
    pub(crate) status: Value,
}

impl Record {
    /// Of an object as the API server tells of it. None where it has no version.
    pub(crate) fn of(id: ObjectRef, uid: &str, object: &Map<String, Value>) -> Option<Self> {
        let field = |name: &str| object.get(name).unwrap_or(&Value::Null);
        let (metadata, spec) = (field("metadata"), field("spec"));
        let hosts = [&spec["host"], &spec["hosts"]];
        Some(Self {
            uid: uid.to_owned(),
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            resource_version: metadata["resourceVersion"].as_str()?.to_owned(),
            gateways: texts(&spec["gateways"]).collect(),
            host: hosts.into_iter().flat_map(texts).next(),
            status: field("status").clone(),
            id,
        })
    }
}

/// A text, or each of a list.
fn texts(value: &Value) -> impl Iterator<Item = String> {
    let list = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter()
        .filter_map(|text| Some(text.as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gateways_and_hosts_are_read_whatever_else_is_wrong() {
        let object = json!({
            "metadata": {"generation": 7, "resourceVersion": "12"},
            "spec": {"hosts": ["a.demo", "b.demo"], "gateways": ["edge", 3, "shop/edge"], "routes": 1},
        });
        let id = ObjectRef::new(Kind::MetaRouter, "default", "a");
        let object = object.as_object().expect("an object");
        let record = Record::of(id, "u", object).expect("a record");
        assert_eq!(
            (record.generation, record.resource_version.as_str()),
            (7, "12")
        );
        assert_eq!(record.gateways, ["edge", "shop/edge"]);
        assert_eq!(record.host.as_deref(), Some("a.demo"));
        assert_eq!(record.status, Value::Null);
    }
}
