//! What routes can match on.

/// An attribute that a protocol can always name. The schema is what `check` tells a typo from an
/// attribute by, and what the documentation is generated from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeDef {
    /// As a rule writes it.
    pub name: &'static str,
    /// What it is, in a sentence for the reference documentation.
    pub meaning: &'static str,
}

/// An attribute name that was looked up once, when the rule arrived.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttributeKey {
    /// The position in [`crate::Protocol::attributes`].
    Known(u16),
    /// A name that only a message can know (an attachment, a header).
    Other(Box<str>),
}

impl AttributeKey {
    /// Looks `name` up in a protocol's schema.
    #[must_use]
    pub fn resolve(schema: &[AttributeDef], name: &str) -> Self {
        schema
            .iter()
            .position(|attribute| attribute.name == name)
            .and_then(|index| u16::try_from(index).ok())
            .map_or_else(|| Self::Other(name.into()), Self::Known)
    }
}
