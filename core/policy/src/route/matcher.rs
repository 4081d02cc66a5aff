//! One condition, compiled.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem::Finder;
use regex_automata::PatternID;
use regex_automata::util::syntax;
use smallvec::SmallVec;

use super::automaton::{Automaton, SIZE_LIMIT, Steps, Undecided};
use super::{AttributeMatch, Condition, RegexRefusal, Text, alternation, re2};

/// A condition on values that are there.
#[derive(Clone, Debug)]
pub(super) enum Matcher {
    Text(Place, Box<[u8]>),
    TextIgnoreCase(Place, Box<[u8]>),
    Contains(Box<Finder<'static>>),
    /// In lower case.
    ContainsIgnoreCase(Box<Finder<'static>>),
    OneOf(HashSet<Box<[u8]>>),
    /// It matches whole values.
    Regex(Pattern),
    Range(Range<i64>),
    Present,
}

/// Where in a value a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Whole,
    Start,
    End,
}

impl Matcher {
    pub(super) fn new(condition: &Condition) -> Result<Self, RegexRefusal> {
        Ok(match condition {
            Condition::Exact(text) => Self::text(Place::Whole, text),
            Condition::Prefix(text) => Self::text(Place::Start, text),
            Condition::Suffix(text) => Self::text(Place::End, text),
            Condition::Contains(text) => match text.ignore_case {
                true => Self::ContainsIgnoreCase(finder(&text.value.to_ascii_lowercase())),
                false => Self::Contains(finder(&text.value)),
            },
            Condition::Regex(pattern) => match alternation::values(pattern) {
                Some(values) => Self::OneOf(values),
                None => Self::Regex(Pattern::new(pattern)?),
            },
            Condition::Range(range) => Self::Range(range.clone()),
            Condition::Present => Self::Present,
        })
    }

    fn text(place: Place, text: &Text) -> Self {
        let value = text.value.as_bytes().into();
        match text.ignore_case {
            true => Self::TextIgnoreCase(place, value),
            false => Self::Text(place, value),
        }
    }

    pub(super) fn holds(&self, value: &[u8]) -> Result<bool, Undecided> {
        Ok(match self {
            Self::Text(place, text) => place.of(value, text.len()) == Some(text),
            Self::TextIgnoreCase(place, text) => place
                .of(value, text.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(text)),
            Self::Contains(text) => text.find(value).is_some(),
            Self::OneOf(values) => values.contains(value),
            Self::ContainsIgnoreCase(text) => {
                let lower: SmallVec<[u8; 128]> = value.iter().map(u8::to_ascii_lowercase).collect();
                text.find(&lower).is_some()
            }
            Self::Regex(pattern) => return pattern.matches(value),
            Self::Range(range) => number(value).is_some_and(|number| range.contains(&number)),
            Self::Present => true,
        })
    }
}

/// A regular expression, which tables compile with others.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    written: Box<str>,
    anchored: Arc<str>,
}

impl Pattern {
    /// In RE2's syntax and, as RE2, linear in the value's length; anchored at both ends, as Envoy's
    /// full match.
    fn new(written: &str) -> Result<Self, RegexRefusal> {
        if written == "*" {
            return Err(RegexRefusal::Star);
        }
        let refused = |message| RegexRefusal::Invalid {
            pattern: written.to_owned(),
            message,
        };
        let translated = re2::translated(written).map_err(refused)?;
        // On its own: what is only valid between the anchors' parentheses is not valid.
        syntax::parse_with(&translated, &syntax::Config::new().utf8(false))
            .map_err(|error| refused(last_line(&error.to_string())))?;
        Ok(Self {
            written: written.into(),
            anchored: format!(r"\A(?:{translated})\z").into(),
        })
    }

    /// On its own, and for one value.
    fn matches(&self, value: &[u8]) -> Result<bool, Undecided> {
        let Ok(automaton) = self.compiled() else {
            return Ok(false);
        };
        let mut walk = automaton.walk();
        automaton.search(&mut walk, value, &mut Steps::default())?;
        Ok(walk.found(PatternID::ZERO))
    }

    pub(super) fn compiled(&self) -> Result<Automaton, RegexRefusal> {
        Automaton::new(&[self.anchored()]).map_err(|error| {
            let pattern = self.written.to_string();
            match error.size_limit() {
                Some(_) => RegexRefusal::TooLarge {
                    pattern,
                    limit: SIZE_LIMIT,
                },
                None => RegexRefusal::Invalid {
                    pattern,
                    message: last_line(&error.to_string()),
                },
            }
        })
    }

    /// As it is compiled.
    pub(super) fn anchored(&self) -> &Arc<str> {
        &self.anchored
    }
}

impl Place {
    /// The part of a value that a text of this length is compared with.
    fn of(self, value: &[u8], length: usize) -> Option<&[u8]> {
        match self {
            Self::Whole => Some(value),
            Self::Start => value.get(..length),
            Self::End => value.get(value.len().checked_sub(length)?..),
        }
    }
}

/// As `absl::SimpleAtoi` reads an `int64_t`, with which Envoy does: blanks around it, one sign.
fn number(value: &[u8]) -> Option<i64> {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = value.iter().position(|byte| !is_blank(byte))?;
    let end = value.iter().rposition(|byte| !is_blank(byte))?;
    std::str::from_utf8(value.get(start..=end)?)
        .ok()?
        .parse()
        .ok()
}

/// A condition on an attribute that may be absent.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) matcher: Matcher,
    pub(super) invert: bool,
    pub(super) if_absent: bool,
}

impl Test {
    pub(super) fn new(matching: &AttributeMatch) -> Result<Self, RegexRefusal> {
        let matcher = Matcher::new(&matching.condition)?;
        let if_absent = match &matcher {
            matcher if matching.absent_is_empty => matcher
                .holds(b"")
                .is_ok_and(|holds| holds != matching.invert),
            Matcher::Present => matching.invert,
            _ => false,
        };
        Ok(Self {
            matcher,
            invert: matching.invert,
            if_absent,
        })
    }

    pub(super) fn holds(&self, value: Option<&[u8]>) -> Result<bool, Undecided> {
        match value {
            Some(value) => Ok(self.matcher.holds(value)? != self.invert),
            None => Ok(self.if_absent),
        }
    }

    /// The values that satisfy it, where nothing else does: neither others nor absence.
    pub(super) fn listed(&self) -> Option<Vec<&[u8]>> {
        match &self.matcher {
            _ if self.invert || self.if_absent => None,
            Matcher::Text(Place::Whole, value) => Some(vec![value]),
            Matcher::OneOf(values) => Some(values.iter().map(AsRef::as_ref).collect()),
            _ => None,
        }
    }

    /// Orders the conditions of a rule: a regular expression is the dearest, so it comes last.
    pub(super) fn is_regex(&self) -> bool {
        matches!(self.matcher, Matcher::Regex(_))
    }
}

/// In time linear in the value's length.
fn finder(text: &str) -> Box<Finder<'static>> {
    Box::new(Finder::new(text).into_owned())
}

/// The parser's message ends with what is wrong; the lines before it draw the pattern.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
