//! What routes can match on: the schema, and where each attribute is in a call.

use std::{borrow::Cow, time::Duration};

use meltemi_codec::{AttributeDef, AttributeKey, Frame};

use crate::{
    argument,
    call::CallMemo,
    dialect::{Dialect, Encoding, Transport},
    frame::{Expect, Layout},
    head,
    header::{Infos, Key},
};

/// The attributes that every call may have, as [`Named::ALL`] orders them. A key-value of a header
/// is an attribute under its own name, `header.NAME` where that is one of these.
pub(crate) const SCHEMA: &[AttributeDef] = &[
    AttributeDef {
        name: "method",
        meaning: "The method, without the service's name of a multiplexed call. Where the message is \
                  compressed, what TTHeader says (key 9).",
    },
    AttributeDef {
        name: "service",
        meaning: "The service: of a multiplexed call the name before the colon, else the header's \
                  `isn`, key 6 (TTHeader) or `service`, else the setting `service`.",
    },
    AttributeDef {
        name: "type",
        meaning: "`call` or `oneway`; `oneway` also for methods of the setting `oneway`.",
    },
    AttributeDef {
        name: "transport",
        meaning: "`framed`, `buffered`, `header` or `ttheader`.",
    },
    AttributeDef {
        name: "protocol",
        meaning: "`binary`, `lax` (binary without version), `compact` or `json`. Absent where the \
                  message is compressed.",
    },
];

/// An attribute of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Method,
    Service,
    Type,
    Transport,
    Protocol,
}

impl Named {
    const ALL: [Self; 5] = [
        Self::Method,
        Self::Service,
        Self::Type,
        Self::Transport,
        Self::Protocol,
    ];
}

/// Before the name of a key-value, where that could be taken for another attribute.
const HEADER: &str = "header.";
/// Before the ids that lead to an argument.
const ARGUMENT: &str = "arg.";

/// Kitex' name for the IDL's name of the service.
const IDL_SERVICE: Key<'_> = Key::Name(b"isn");
/// TTHeader's number for the callee's name.
const TO_SERVICE: Key<'_> = Key::Number(6);
/// TTHeader's number for the method's name.
const TO_METHOD: Key<'_> = Key::Number(9);

/// TTHeader's number for the milliseconds that the caller waits: Kitex' `RPCTimeout`.
pub(crate) const TIMEOUT: u16 = 12;

/// How long the caller of a message with a TTHeader waits, if it says so.
pub(crate) fn deadline(layout: &Layout, bytes: &[u8]) -> Option<Duration> {
    if layout.dialect.transport != Transport::TtHeader {
        return None;
    }
    let millis = str::from_utf8(pair(layout, bytes, Key::Number(TIMEOUT))?).ok()?;
    let millis = millis.parse().ok().filter(|millis| *millis > 0)?;
    Some(Duration::from_millis(millis))
}

/// The key-value that an attribute or an edit of this name means. `#N` is the number N in TTHeader.
pub(crate) fn wire_key(transport: Transport, name: &str) -> Key<'_> {
    let name = name.strip_prefix(HEADER).unwrap_or(name);
    let number = name.strip_prefix('#').and_then(|n| n.parse().ok());
    match number {
        Some(number) if transport == Transport::TtHeader => Key::Number(number),
        _ => Key::Name(name.as_bytes()),
    }
}

/// The value of an attribute; `service` is the one that settings name.
pub(crate) fn value<'a>(
    request: Frame<'a>,
    key: &AttributeKey,
    service: Option<&[u8]>,
) -> Option<Cow<'a, [u8]>> {
    let memo = CallMemo::unpack(request.memo)?;
    let expect = Expect::of(Some(memo));
    match key {
        AttributeKey::Known(index) => {
            let named = *Named::ALL.get(usize::from(*index))?;
            let text = match named {
                Named::Type if memo.oneway => "oneway",
                Named::Type => "call",
                Named::Transport => memo.dialect.transport.name(),
                Named::Protocol => memo.dialect.encoding.name()?,
                Named::Method if memo.dialect == Dialect::STRICT => {
                    let (_, method) = head::split(head::strict_name(request.bytes)?);
                    return Some(Cow::Borrowed(method));
                }
                Named::Method | Named::Service => {
                    let layout = Layout::again(request.bytes, expect)?;
                    return name(named, &layout, request.bytes, service);
                }
            };
            Some(Cow::Borrowed(text.as_bytes()))
        }
        AttributeKey::Other(name) => {
            let layout = Layout::again(request.bytes, expect)?;
            match name.strip_prefix(ARGUMENT) {
                Some(path) => arguments(&layout, request)
                    .and_then(|(encoding, body)| argument::find(encoding, body, path))
                    .map(Cow::Owned),
                None => {
                    let key = wire_key(layout.dialect.transport, name);
                    pair(&layout, request.bytes, key).map(Cow::Borrowed)
                }
            }
        }
    }
}

fn name<'a>(
    named: Named,
    layout: &Layout,
    bytes: &'a [u8],
    configured: Option<&[u8]>,
) -> Option<Cow<'a, [u8]>> {
    let name = layout.head.as_ref();
    let name = name.and_then(|head| bytes.get(head.name.clone()));
    let (service, method) = match name.map(head::split) {
        Some((service, method)) => (service, Some(method)),
        None => (None, None),
    };
    let pair = |key| pair(layout, bytes, key);
    let found = match named {
        Named::Service => service
            .or_else(|| pair(IDL_SERVICE))
            .or_else(|| pair(TO_SERVICE))
            .or_else(|| pair(Key::Name(b"service"))),
        _ => method.or_else(|| pair(TO_METHOD)),
    };
    match (found, named, configured) {
        (Some(found), ..) => Some(Cow::Borrowed(found)),
        (None, Named::Service, Some(configured)) => Some(Cow::Owned(configured.to_vec())),
        _ => None,
    }
}

fn pair<'a>(layout: &Layout, bytes: &'a [u8], key: Key<'_>) -> Option<&'a [u8]> {
    let header = layout.header.as_ref()?;
    Infos::of(layout.dialect.transport, header, bytes).find(key)
}

/// The struct that holds the arguments, if all of it is there.
fn arguments<'a>(layout: &Layout, request: Frame<'a>) -> Option<(Encoding, &'a [u8])> {
    let head = layout.head.as_ref().filter(|_| request.whole)?;
    Some((layout.dialect.encoding, request.bytes.get(head.body..)?))
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

    #[test]
    fn a_key_value_is_named_plainly_or_with_the_prefix() {
        let header = |name| wire_key(Transport::Header, name);
        assert_eq!(header("tenant"), Key::Name(b"tenant"));
        assert_eq!(header("header.method"), Key::Name(b"method"));
        assert_eq!(header("#6"), Key::Name(b"#6"));
        let ttheader = |name| wire_key(Transport::TtHeader, name);
        assert_eq!(ttheader("#6"), Key::Number(6));
        assert_eq!(ttheader("header.#6"), Key::Number(6));
        assert_eq!(ttheader("#65536"), Key::Name(b"#65536"));
    }
}
