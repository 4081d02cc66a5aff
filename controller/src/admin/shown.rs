//! Resources as JSON, without what is secret in them.

use std::sync::LazyLock;

use meltemi_proto::{Any, DESCRIPTORS};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};
use serde_json::json;

/// None where the descriptors cannot be read, which a test rules out.
static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).ok());

/// A message whose content may be a secret.
const DATA_SOURCE: &str = "envoy.config.core.v3.DataSource";
const PACKED: &str = "google.protobuf.Any";
const REDACTED: &str = "[redacted]";

/// As protobuf's own JSON mapping says. What is of no known type, or is none of what it says that it is, has its size.
pub(super) fn resource(resource: &Any) -> serde_json::Value {
    shown(resource).unwrap_or_else(|| json!({ "bytes": resource.value.len() }))
}

fn shown(resource: &Any) -> Option<serde_json::Value> {
    let pool = POOL.as_ref()?;
    let name = resource.type_url.rsplit('/').next()?;
    let descriptor = pool.get_message_by_name(name)?;
    let mut message = DynamicMessage::decode(descriptor, resource.value.clone()).ok()?;
    redact(&mut message);
    serde_json::to_value(&message).ok()
}

/// Blots out what may be secret, in packed messages too.
fn redact(message: &mut DynamicMessage) {
    match message.descriptor().full_name() {
        DATA_SOURCE => blot(message),
        PACKED => redact_packed(message),
        _ => message
            .fields_mut()
            .for_each(|(_, value)| redact_value(value)),
    }
}

fn redact_value(value: &mut Value) {
    match value {
        Value::Message(message) => redact(message),
        Value::List(items) => items.iter_mut().for_each(redact_value),
        Value::Map(entries) => entries.values_mut().for_each(redact_value),
        _ => {}
    }
}

/// The text or the bytes of a source; where a file is, is no secret.
fn blot(source: &mut DynamicMessage) {
    for (field, value) in source.fields_mut() {
        match value {
            Value::String(text) if field.name() != "filename" => *text = REDACTED.to_owned(),
            Value::Bytes(bytes) => *bytes = REDACTED.into(),
            _ => {}
        }
    }
}

fn redact_packed(any: &mut DynamicMessage) {
    let text = |name: &str| Some(any.get_field_by_name(name)?.as_str()?.to_owned());
    let bytes = any.get_field_by_name("value");
    let packed = bytes.as_ref().and_then(|it| it.as_bytes()).cloned();
    let descriptor = text("type_url").and_then(|url| {
        let name = url.rsplit('/').next()?;
        POOL.as_ref()?.get_message_by_name(name)
    });
    let (Some(descriptor), Some(packed)) = (descriptor, packed) else {
        return any.clear_field_by_name("value");
    };
    let Ok(mut message) = DynamicMessage::decode(descriptor, packed) else {
        return any.clear_field_by_name("value");
    };
    redact(&mut message);
    let packed = message.encode_to_vec();
    any.set_field_by_name("value", Value::Bytes(packed.into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
    use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::{
        GenericSecret, Secret, TlsCertificate, secret::Type,
    };

    fn source(text: &str) -> Option<DataSource> {
        let specifier = Specifier::InlineBytes(text.to_owned().into());
        Some(DataSource {
            specifier: Some(specifier),
        })
    }

    #[test]
    fn a_secret_is_shown_without_its_content() {
        let certificate = TlsCertificate {
            certificate_chain: source("the chain"),
            private_key: source("the key"),
        };
        let secret = Secret {
            name: "shop/certificate".into(),
            r#type: Some(Type::TlsCertificate(certificate)),
        };
        let shown = resource(&Any::pack(&secret));
        assert_eq!(shown["name"], "shop/certificate");
        let text = shown.to_string();
        assert!(text.contains("privateKey"), "{text}");
        // Bytes are shown in base64: "[redacted]".
        assert!(text.contains("W3JlZGFjdGVkXQ=="), "{text}");
        assert!(!text.contains("dGhlIGtleQ"), "{text}");
    }

    #[test]
    fn a_text_that_is_secret_is_shown_without_it() {
        let secret = Secret {
            name: "RedisService/shop/cache/password".into(),
            r#type: Some(Type::GenericSecret(GenericSecret {
                secret: source("hunter2"),
            })),
        };
        let shown = resource(&Any::pack(&secret));
        let redacted = json!({ "inlineBytes": "W3JlZGFjdGVkXQ==" });
        assert_eq!(shown["genericSecret"]["secret"], redacted);
    }

    #[test]
    fn what_is_of_no_known_type_has_its_size() {
        let any = Any {
            type_url: "type.googleapis.com/of.Nobody".into(),
            value: vec![1, 2, 3].into(),
        };
        assert_eq!(resource(&any), json!({ "bytes": 3 }));
    }
}
