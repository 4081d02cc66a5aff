//! What a rule found, for the person who has to mend it.

use std::fmt;

use super::{excerpt::Excerpt, rules};

/// A rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Broken {
    rule: &'static str,
    place: String,
    excerpt: Option<Excerpt>,
    expected: Option<String>,
    found: String,
    read: &'static str,
}

impl Broken {
    /// What was `found` at `place`; `read` names the part of the contract that says otherwise.
    pub(super) fn new(
        place: impl Into<String>,
        found: impl Into<String>,
        read: &'static str,
    ) -> Self {
        Self {
            rule: "",
            place: place.into(),
            excerpt: None,
            expected: None,
            found: found.into(),
            read,
        }
    }

    /// The same, with what should have been found there. Unless it is said, it is what the rule
    /// asks for in general.
    pub(super) fn expected(self, expected: impl Into<String>) -> Self {
        Self {
            expected: Some(expected.into()),
            ..self
        }
    }

    /// The same, with the bytes around byte `at` of `bytes`. The first place that is shown stays:
    /// who knows more is asked first.
    pub(super) fn shows(mut self, bytes: &[u8], at: usize) -> Self {
        self.excerpt.get_or_insert_with(|| Excerpt::of(bytes, at));
        self
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

    /// The part of the contract that says what is expected: an item of this crate.
    #[must_use]
    pub fn read(&self) -> &'static str {
        self.read
    }

    /// What was found.
    pub(super) fn found(&self) -> &str {
        &self.found
    }

    /// Whether it is the same finding, at whatever place and of whatever bytes.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let kind = |broken: &Self| {
            let letters = |char: &char| char.is_alphabetic();
            broken
                .found
                .chars()
                .filter(letters)
                .take(40)
                .collect::<String>()
        };
        self.read == other.read && kind(self) == kind(other)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule, place, found, ..
        } = self;
        writeln!(f, "rule `{rule}` is broken")?;
        writeln!(f, "  where:    {place}")?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "{excerpt}")?;
        }
        let general = rules::statement(rule);
        let expected = self.expected.as_deref().unwrap_or(general);
        writeln!(f, "  expected: {expected}")?;
        writeln!(f, "  found:    {found}")?;
        write!(
            f,
            "  read:     {} (`cargo doc -p meltemi-codec --open`)",
            self.read
        )
    }
}
