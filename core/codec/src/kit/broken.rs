//! What a rule found, for the person who has to mend it.

use std::fmt;

/// A rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Broken {
    rule: &'static str,
    place: String,
    finding: String,
    read: &'static str,
}

impl Broken {
    /// A finding about `place`; `read` names the part of the contract that says so.
    pub(super) fn new(
        place: impl Into<String>,
        finding: impl Into<String>,
        read: &'static str,
    ) -> Self {
        Self {
            rule: "",
            place: place.into(),
            finding: finding.into(),
            read,
        }
    }

    /// The same, found by a rule of this name.
    pub(super) fn by(self, rule: &'static str) -> Self {
        Self { rule, ..self }
    }

    /// The same, with what surrounds the place.
    pub(super) fn within(self, place: impl fmt::Display) -> Self {
        Self {
            place: if self.place.is_empty() {
                place.to_string()
            } else {
                format!("{place}, {}", self.place)
            },
            ..self
        }
    }

    /// The rule's name.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            place,
            finding,
            read,
        } = self;
        write!(
            f,
            "rule `{rule}` is broken\n  where: {place}\n  what:  {finding}\n  read:  {read}"
        )
    }
}
