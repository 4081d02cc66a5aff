//! The attributes of a request that is asked about.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

/// Values by name. A number, or a second value, would be a slip: it is told with its place.
#[derive(Debug, Default)]
pub(super) struct Attributes(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Named)
    }
}

struct Named;

impl<'de> Visitor<'de> for Named {
    type Value = Attributes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a text for each attribute")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
        let mut attributes = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            let Value::String(value) = value else {
                let what = "and a value is text, such as";
                return Err(Error::custom(format_args!(
                    "the value of the attribute `{name}` is {value}, {what} \"{value}\""
                )));
            };
            if attributes.contains_key(&name) {
                return Err(Error::custom(format_args!(
                    "the attribute `{name}` is given twice, and a request has one value of it"
                )));
            }
            attributes.insert(name, value);
        }
        Ok(Attributes(attributes))
    }
}
