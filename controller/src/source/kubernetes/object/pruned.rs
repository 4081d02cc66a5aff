//! An object's fields without what nobody reads, which is skipped as it comes and never becomes a tree: nine tenths of a Pod.

use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

/// By the field that they are in.
const UNREAD: &[(&str, &[&str])] = &[
    // The largest parts of many objects.
    (
        "metadata",
        &["managedFields", "ownerReferences", "finalizers"],
    ),
    // Most of what a Pod says, in fields that nothing else has that is read.
    (
        "spec",
        &[
            "affinity",
            "containers",
            "ephemeralContainers",
            "initContainers",
            "tolerations",
            "topologySpreadConstraints",
            "volumes",
        ],
    ),
    (
        "status",
        &[
            "containerStatuses",
            "ephemeralContainerStatuses",
            "initContainerStatuses",
        ],
    ),
];

pub(super) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Map<String, Value>, D::Error> {
    deserializer.deserialize_map(Fields)
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let unread = UNREAD.iter().find(|(part, _)| *part == name);
            let value = match unread {
                Some((_, unread)) => fields.next_value_seed(Part(unread))?,
                None => fields.next_value()?,
            };
            read.insert(name, value);
        }
        Ok(read)
    }
}

/// A value, of which these fields are left out where it has fields.
struct Part(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if self.0.contains(&name.as_str()) {
                fields.next_value::<IgnoredAny>()?;
            } else {
                read.insert(name, fields.next_value()?);
            }
        }
        Ok(Value::Object(read))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = vec![];
        while let Some(item) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_read_is_left_out_and_all_else_is_as_it_was() {
        let mut object = json!({
            "kind": "Pod",
            "metadata": {"name": "a", "labels": {"containers": "b"}},
            "spec": {"nodeName": "n", "nested": {"volumes": [1, -1, 0.5, null, true, "x"]}},
            "status": [1, {"a": null}],
            "data": null,
        });
        let expected = object.clone();
        object["metadata"]["managedFields"] = json!([{"a": 1}]);
        object["spec"]["containers"] = json!([{"env": [{"name": "a"}]}]);
        let text = object.to_string();
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let pruned = read(&mut deserializer).unwrap();
        assert_eq!(Value::Object(pruned), expected);
        for other in [
            json!(null),
            json!(1),
            json!(-1),
            json!(0.5),
            json!("x"),
            json!(true),
        ] {
            let text = json!({"spec": other}).to_string();
            let mut deserializer = serde_json::Deserializer::from_str(&text);
            let pruned = read(&mut deserializer).unwrap();
            assert_eq!(pruned["spec"], other);
        }
        assert!(read(&mut serde_json::Deserializer::from_str("[]")).is_err());
    }
}
