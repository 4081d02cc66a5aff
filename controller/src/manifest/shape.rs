//! What a mapping of a manifest may hold: the table that it is decoded by, and that the reference is
//! written from.
//!
//! A field is one entry: its name, what it takes, what holds without it, its meaning and an example.
//! What the table says is tested against the decoder (`reference/tests.rs`).

use std::fmt;
use std::time::Duration;

use super::decode::Field;

/// A mapping and its fields.
#[derive(Debug)]
pub(crate) struct Shape {
    /// A heading of the reference, unique.
    pub(crate) name: &'static str,
    /// What there is to say of all its fields together, in Markdown.
    pub(crate) meaning: &'static str,
    /// Fields that an example needs besides what it shows, as the inside of a YAML mapping.
    pub(crate) given: &'static str,
    pub(crate) fields: &'static [Described],
    /// Names that are none here although people may write them, and what to write instead.
    pub(crate) instead: &'static [(&'static str, &'static str)],
}

/// A field of a [`Shape`].
#[derive(Debug)]
pub(crate) struct Described {
    pub(super) field: Field,
    pub(crate) takes: Takes,
    pub(crate) absent: Absent,
    /// In Markdown, for a cell of a table.
    pub(crate) meaning: &'static str,
    /// The inside of a YAML mapping that has the field.
    pub(crate) example: &'static str,
}

/// What a field takes. All bounds are included.
#[derive(Debug)]
pub(crate) enum Takes {
    Text,
    Boolean,
    /// A text, a number or a boolean.
    Scalar,
    Integer {
        least: i64,
        most: i64,
    },
    Number {
        least: f64,
        most: f64,
    },
    Duration,
    /// Some of these words in one text, separated by commas.
    Words(&'static [&'static str]),
    OneOf(&'static [&'static str]),
    Mapping(&'static Shape),
    /// A mapping, or a text in its place.
    TextOr(&'static Shape),
    List(&'static Self),
    /// A mapping whose keys are free.
    Map(&'static Self),
}

/// What holds where a field is not given.
#[derive(Debug)]
pub(crate) enum Absent {
    /// It has to be given.
    Required,
    /// The same as this value.
    Default(Literal),
    /// What this says, in Markdown; empty where there is nothing to say.
    Means(&'static str),
}

/// A value as it is written in a manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Literal {
    Boolean(bool),
    Integer(i64),
    Text(&'static str),
    Duration(Duration),
    /// A mapping with a `value`.
    Percent(f64),
}

impl Described {
    pub(super) const fn new(name: &'static str, takes: Takes, meaning: &'static str) -> Self {
        Self {
            field: Field::InForce(name),
            takes,
            absent: Absent::Means(""),
            meaning,
            example: "",
        }
    }

    /// A field without an effect here, whose absence changes nothing for anybody.
    pub(super) const fn no_effect(name: &'static str, takes: Takes, meaning: &'static str) -> Self {
        Self {
            field: Field::NoEffect(name),
            ..Self::new(name, takes, meaning)
        }
    }

    pub(super) const fn required(self) -> Self {
        Self {
            absent: Absent::Required,
            ..self
        }
    }

    pub(super) const fn default(self, value: Literal) -> Self {
        Self {
            absent: Absent::Default(value),
            ..self
        }
    }

    pub(super) const fn absent(self, means: &'static str) -> Self {
        Self {
            absent: Absent::Means(means),
            ..self
        }
    }

    pub(super) const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.field.name()
    }

    /// Whether it is decoded.
    #[cfg(test)]
    pub(crate) const fn is_in_force(&self) -> bool {
        matches!(self.field, Field::InForce(_))
    }
}

impl Shape {
    pub(crate) fn field(&self, name: &str) -> Option<&'static Described> {
        self.fields.iter().find(|field| field.name() == name)
    }
}

impl Takes {
    /// The shape of what it takes, or of the items or values of that.
    pub(crate) fn shape(&self) -> Option<&'static Shape> {
        match self {
            Self::Mapping(shape) | Self::TextOr(shape) => Some(shape),
            Self::List(of) | Self::Map(of) => of.shape(),
            _ => None,
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
            Self::Duration(value) => write!(f, "{value:?}"),
            Self::Percent(value) => write!(f, "{{value: {value}}}"),
        }
    }
}
