//! What routes can match on: the schema, and where each attribute is in a call.

use std::borrow::Cow;

use dubbo_rs_codec::{Request as CallBody, SerializationId, Text};
use meltemi_codec::AttributeDef;

/// What Dubbo takes for no version.
const NO_VERSION: &str = "0.0.0";

/// The attributes that every call may have, as [`Named::ALL`] orders them. An attachment is an
/// attribute under its own name.
pub(crate) const SCHEMA: &[AttributeDef] = &[
    AttributeDef {
        name: "interface",
        meaning: "The service's interface: the attachment `interface`, else the path in the body. \
                  In a message that is too large to be kept, always the path.",
    },
    AttributeDef {
        name: "method",
        meaning: "The method, also where it is called by `$invoke` or `$invokeAsync`.",
    },
    AttributeDef {
        name: "version",
        meaning: "The service's version, `0.0.0` where the consumer names none.",
    },
    AttributeDef {
        name: "group",
        meaning: "The service's group. It is an attachment.",
    },
    AttributeDef {
        name: "application",
        meaning: "The consumer's application: the attachment `remote.application`, else \
                  `application`.",
    },
    AttributeDef {
        name: "serialization",
        meaning: "How the body is serialized, by Dubbo's name (`hessian2`, `fastjson2`, `kryo`), \
                  else the number. The only attribute of a body that cannot be read.",
    },
    AttributeDef {
        name: "dubbo",
        meaning: "The version of the Dubbo protocol that the consumer speaks, such as `2.0.2`.",
    },
];

/// An attribute of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Interface,
    Method,
    Version,
    Group,
    Application,
    Serialization,
    Dubbo,
}

impl Named {
    pub(crate) const ALL: [Self; 7] = [
        Self::Interface,
        Self::Method,
        Self::Version,
        Self::Group,
        Self::Application,
        Self::Serialization,
        Self::Dubbo,
    ];
}

/// The bytes of a text, borrowed where they are UTF-8 on the wire too.
pub(crate) fn bytes(text: Text<'_>) -> Cow<'_, [u8]> {
    if let Some(ascii) = text.ascii() {
        return Cow::Borrowed(ascii);
    }
    match text.decode() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// Java writes `0.0.0` for no version, dubbo-go the empty string, a callback null.
pub(crate) fn version<'a>(call: &CallBody<'a>) -> Cow<'a, [u8]> {
    match call.version() {
        Some(version) if !version.is_empty() => bytes(version),
        _ => Cow::Borrowed(NO_VERSION.as_bytes()),
    }
}

pub(crate) fn serialization(id: SerializationId) -> Cow<'static, [u8]> {
    match id.name() {
        Some(name) => Cow::Borrowed(name.as_bytes()),
        None => Cow::Owned(id.to_string().into_bytes()),
    }
}

/// The attachment of this name, if it is a string. Skips the arguments unless somebody did.
pub(crate) fn attachment<'a>(call: &CallBody<'a>, name: &str) -> Option<Text<'a>> {
    call.attachments().ok()?.get(name).ok()??.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_in_the_order_of_its_names() {
        let schema = SCHEMA.iter().map(|attribute| attribute.name);
        let named = Named::ALL.map(|named| format!("{named:?}").to_lowercase());
        assert!(schema.eq(named));
    }
}
