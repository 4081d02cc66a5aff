//! Why a resource is refused.

use std::fmt::{Display, Formatter, Result};

use meltemi_proto::UnpackError;

/// The field that makes a resource unusable, and what is wrong with it.
///
/// Shown to people: it travels in the NACK to the control plane, which reports it at the object
/// that the resource came from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// The path of the field in the published message; empty for the message itself.
    field: String,
    reason: String,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same complaint, seen from the message that holds `outer`.
    #[must_use]
    pub(crate) fn within(mut self, outer: &str) -> Self {
        self.field = match self.field.is_empty() {
            true => outer.to_owned(),
            false => format!("{outer}.{}", self.field),
        };
        self
    }
}

impl Display for Invalid {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}

impl From<UnpackError> for Invalid {
    fn from(error: UnpackError) -> Self {
        Self::new("", error.to_string())
    }
}

/// `value`, unless it is empty.
pub(super) fn required(field: &str, value: String) -> std::result::Result<String, Invalid> {
    if value.is_empty() {
        return Err(Invalid::new(field, "is missing"));
    }
    Ok(value)
}
