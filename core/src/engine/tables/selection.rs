//! The first of several that a request is like, by its protocol's attributes.

use std::borrow::Cow;

use meltemi_codec::{AttributeKey, Protocol};
use meltemi_policy::{
    Alternative, Attribute, RouteTable,
    route::{Conditions, RouteTableError, Steps, Undecided},
};

use crate::engine::source::Source;

/// A table with its attributes as the protocol names them.
pub(super) struct Selection<T> {
    table: RouteTable<T>,
    keys: Vec<Key>,
    is_by_named: bool,
}

/// What can be asked of.
enum Key {
    Message(AttributeKey),
    SourceAddress,
    SourcePrincipal,
    SourceNamespace,
}

impl<T> Selection<T> {
    /// What was compiled, for all workers or for the one `before`, is not compiled again.
    pub(super) fn new(
        rules: impl IntoIterator<Item = (Vec<Alternative>, T)>,
        protocol: &dyn Protocol,
        compiled: Option<&Conditions>,
        before: Option<&Self>,
    ) -> Result<Self, RouteTableError> {
        let table = RouteTable::renewed(rules, compiled, before.map(|it| &it.table))?;
        let schema = protocol.attributes();
        let resolve = |attribute: &Attribute| match attribute {
            Attribute::Message(name) => Key::Message(AttributeKey::resolve(schema, name)),
            Attribute::SourceAddress => Key::SourceAddress,
            Attribute::SourcePrincipal => Key::SourcePrincipal,
            Attribute::SourceNamespace => Key::SourceNamespace,
        };
        let keys: Vec<Key> = table.attributes().iter().map(resolve).collect();
        let is_named = |key: &Key| !matches!(key, Key::Message(AttributeKey::Other(_)));
        Ok(Self {
            is_by_named: keys.iter().all(is_named),
            keys,
            table,
        })
    }

    /// What the first rule leads to that matches a request from there.
    #[inline]
    pub(super) fn select<'m>(
        &self,
        source: &'m Source,
        steps: &mut Steps,
        attribute: impl Fn(&AttributeKey) -> Option<Cow<'m, [u8]>>,
    ) -> Result<Option<&T>, Undecided> {
        let found = self.find(source, steps, attribute)?;
        Ok(found.map(|(_, target)| target))
    }

    /// The same with its place among [`targets`](Self::targets).
    #[inline]
    pub(super) fn find<'m>(
        &self,
        source: &'m Source,
        steps: &mut Steps,
        attribute: impl Fn(&AttributeKey) -> Option<Cow<'m, [u8]>>,
    ) -> Result<Option<(usize, &T)>, Undecided> {
        self.table
            .select(steps, |index| match self.keys.get(index)? {
                Key::Message(key) => attribute(key),
                Key::SourceAddress => bytes(source.address.as_deref()),
                Key::SourcePrincipal => bytes(source.principal.as_deref()),
                Key::SourceNamespace => bytes(source.namespace()),
            })
    }

    /// Whether they ask for nothing of a message but what its protocol names.
    pub(super) fn is_by_named(&self) -> bool {
        self.is_by_named
    }

    /// What the rules lead to, in their order.
    pub(super) fn targets(&self) -> &[T] {
        self.table.targets()
    }
}

fn bytes(text: Option<&str>) -> Option<Cow<'_, [u8]>> {
    text.map(|text| Cow::Borrowed(text.as_bytes()))
}
