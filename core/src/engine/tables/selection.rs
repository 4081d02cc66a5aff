//! The first of several that a request is like, by its protocol's attributes.

use std::borrow::Cow;

use meltemi_codec::{AttributeKey, Protocol};
use meltemi_policy::{Alternative, Attribute, RouteTable, route::RouteTableError};

/// A table with its attributes as the protocol names them.
pub(super) struct Selection<T> {
    table: RouteTable<T>,
    keys: Vec<Key>,
}

/// What can be asked of.
enum Key {
    Message(AttributeKey),
    SourceAddress,
}

impl<T> Selection<T> {
    pub(super) fn new(
        rules: impl IntoIterator<Item = (Vec<Alternative>, T)>,
        protocol: &dyn Protocol,
    ) -> Result<Self, RouteTableError> {
        let table = RouteTable::new(rules)?;
        let schema = protocol.attributes();
        let resolve = |attribute: &Attribute| match attribute {
            Attribute::Message(name) => Key::Message(AttributeKey::resolve(schema, name)),
            Attribute::SourceAddress => Key::SourceAddress,
        };
        Ok(Self {
            keys: table.attributes().iter().map(resolve).collect(),
            table,
        })
    }

    /// What the first rule leads to that matches a request from this address.
    #[inline]
    pub(super) fn select<'m>(
        &self,
        source: Option<&'m str>,
        attribute: impl Fn(&AttributeKey) -> Option<Cow<'m, [u8]>>,
    ) -> Option<&T> {
        let (_, target) = self.table.select(|index| match self.keys.get(index)? {
            Key::Message(key) => attribute(key),
            Key::SourceAddress => source.map(|address| Cow::Borrowed(address.as_bytes())),
        })?;
        Some(target)
    }

    /// What the rules lead to, in their order.
    pub(super) fn targets(&self) -> &[T] {
        self.table.targets()
    }
}
