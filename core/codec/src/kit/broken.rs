//! What a rule found, for the person who has to mend it.

use std::fmt;

use super::{
    corpus::{Sample, find, place},
    excerpt::Excerpt,
    rules,
};

/// A rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Broken {
    rule: &'static str,
    place: String,
    /// A byte of a stream of messages that has not been found in one of them.
    at: Option<usize>,
    excerpt: Option<Box<Excerpt>>,
    expected: Option<Box<str>>,
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
            at: None,
            excerpt: None,
            expected: None,
            found: found.into(),
            read,
        }
    }

    /// The same, with what should have been found there. Unless it is said, it is what the rule
    /// asks for in general.
    pub(super) fn expected(self, expected: impl Into<Box<str>>) -> Self {
        Self {
            expected: Some(expected.into()),
            ..self
        }
    }

    /// The same, with the bytes around byte `at` of `bytes`. The first place that is shown stays:
    /// who knows more is asked first.
    pub(super) fn shows(mut self, bytes: &[u8], at: usize) -> Self {
        self.excerpt
            .get_or_insert_with(|| Box::new(Excerpt::of(bytes, at)));
        self
    }

    /// The same, at byte `at` of a stream of messages.
    pub(super) fn in_stream(self, at: usize) -> Self {
        Self {
            at: Some(at),
            ..self
        }
    }

    /// The same, in the sample that the place in the stream is in.
    pub(super) fn in_samples(mut self, direction: &str, samples: &[Sample]) -> Self {
        let Some(at) = self.at.take() else {
            return self;
        };
        if let Some((sample, offset)) = find(samples, at) {
            self.excerpt = Some(Box::new(Excerpt::of(&sample.bytes, offset)));
        }
        self.within(place(direction, samples, at))
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
        write!(f, "  where:    {place}")?;
        if let Some(at) = self.at {
            let comma = if place.is_empty() { "" } else { ", " };
            write!(f, "{comma}byte {at} of the stream")?;
        }
        writeln!(f)?;
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
