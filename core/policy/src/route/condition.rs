//! What a rule can ask of one attribute.

use std::fmt;
use std::ops::Range;

use super::alternation;
use super::matcher::Test;

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    /// Of its message, by the name that the protocol gives it.
    Message(String),
    /// The IP address that its connection came from, as text.
    SourceAddress,
    /// The identity that its client has proven by a certificate.
    SourcePrincipal,
    /// The namespace that its client has proven so, else the address, see
    /// [`AttributeMatch::from_namespace`].
    SourceNamespace,
}

impl Attribute {
    /// Whether it is this attribute of messages.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        matches!(self, Self::Message(own) if own == name)
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(name) => f.write_str(name),
            Self::SourceAddress => f.write_str("source address"),
            Self::SourcePrincipal => f.write_str("source principal"),
            Self::SourceNamespace => f.write_str("source namespace"),
        }
    }
}

/// A condition on one attribute, as Envoy's `HeaderMatcher`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttributeMatch {
    pub attribute: Attribute,
    pub condition: Condition,
    /// It holds where the condition does not.
    pub invert: bool,
    /// An attribute that is absent counts as one that is empty. Otherwise it satisfies nothing,
    /// whether inverted or not, but for the inverse of [`Condition::Present`]: Envoy's
    /// `treat_missing_header_as_empty`.
    pub absent_is_empty: bool,
}

impl AttributeMatch {
    /// A condition on an attribute of the message.
    pub fn new(name: impl Into<String>, condition: Condition) -> Self {
        Self {
            attribute: Attribute::Message(name.into()),
            condition,
            invert: false,
            absent_is_empty: false,
        }
    }

    /// Whether one of these values satisfies it; if it does not compile, none does.
    pub fn holds_for_any<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> bool {
        let mut values = values.into_iter();
        let holds = |test: &Test, value: &str| test.holds(Some(value.as_bytes())) == Ok(true);
        Test::new(self).is_ok_and(|test| values.any(|value| holds(&test, value)))
    }

    /// That a request comes from one of these addresses, of which there is at least one.
    pub fn from_addresses<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_source(Attribute::SourceAddress, Condition::one_of(addresses))
    }

    /// That a client has proven to be one of these, of which there is at least one.
    pub fn from_principals<'a>(principals: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_source(Attribute::SourcePrincipal, Condition::one_of(principals))
    }

    pub(super) fn of_source(attribute: Attribute, condition: Condition) -> Self {
        Self {
            attribute,
            condition,
            invert: false,
            absent_is_empty: false,
        }
    }
}

/// What an attribute's value must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    Exact(Text),
    Prefix(Text),
    Suffix(Text),
    Contains(Text),
    /// A regular expression that matches the whole value. One that is a mere alternation of texts
    /// is looked up as a set, see [`Self::one_of`].
    Regex(String),
    /// A whole number in decimal that is not below the start, and below the end. It may have a sign
    /// and blanks around it, as Envoy's `range_match`.
    Range(Range<i64>),
    Present,
}

/// A text that values are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text {
    pub value: String,
    /// Its ASCII letters may be of either case.
    pub ignore_case: bool,
}

impl<T: Into<String>> From<T> for Text {
    /// A text whose case counts.
    fn from(value: T) -> Self {
        Self {
            value: value.into(),
            ignore_case: false,
        }
    }
}

impl Text {
    /// A text whose case does not count.
    pub fn ignoring_case(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            ignore_case: true,
        }
    }
}

impl Condition {
    /// The values that satisfy it, where it is a set of them; in order.
    pub fn values(&self) -> Option<Vec<String>> {
        let Self::Regex(pattern) = self else {
            return None;
        };
        let values = alternation::values(pattern)?.into_iter();
        let mut values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(&value).into_owned())
            .collect();
        values.sort_unstable();
        Some(values)
    }

    /// One of these values, of which there is at least one. They are looked up, so that their
    /// number has no limit.
    pub fn one_of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        match values.as_slice() {
            [only] => Self::Exact((*only).into()),
            several => Self::Regex(alternation::pattern(several.iter().copied())),
        }
    }

    /// The text that it compares with.
    #[must_use]
    pub fn text(&self) -> Option<&Text> {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) | Self::Contains(text) => {
                Some(text)
            }
            Self::Regex(_) | Self::Range(_) | Self::Present => None,
        }
    }
}
