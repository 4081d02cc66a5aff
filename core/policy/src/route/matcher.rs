//! One condition, compiled.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ops::Range;

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use regex_automata::util::syntax;

use super::{AttributeMatch, Condition, RegexRefusal, Text, alternation, re2};

/// Compiled size of one regular expression; RE2's own limit in Envoy is of this order.
const REGEX_SIZE_LIMIT: usize = 1 << 20;
/// Memory of one regular expression's lazily built automaton, per thread that uses it.
const REGEX_CACHE_LIMIT: usize = 256 << 10;

/// A condition on values that are there.
#[derive(Clone, Debug)]
pub(super) enum Matcher {
    Text(Place, Box<[u8]>),
    TextIgnoreCase(Place, Box<[u8]>),
    Contains(Box<Finder<'static>>),
    OneOf(HashSet<Box<[u8]>>),
    /// It matches whole values.
    Regex(Pattern),
    /// It is looked for in values.
    Search(Regex),
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
            Condition::Contains(text) if text.ignore_case => Self::Search(search(&text.value)?),
            Condition::Contains(text) => {
                Self::Contains(Box::new(Finder::new(&text.value).into_owned()))
            }
            Condition::Regex(pattern) => match alternation::values(pattern) {
                Some(values) => Self::OneOf(values),
                None => Self::Regex(Pattern::new(pattern)?),
            },
            Condition::Range(range) => Self::Range(range.clone()),
            Condition::Present => Self::Present,
        })
    }

    /// Compiles what was left for when it is needed.
    pub(super) fn compile(&self) -> Result<(), RegexRefusal> {
        match self {
            Self::Regex(pattern) => pattern.compiled().map(drop),
            _ => Ok(()),
        }
    }

    fn text(place: Place, text: &Text) -> Self {
        let value = text.value.as_bytes().into();
        match text.ignore_case {
            true => Self::TextIgnoreCase(place, value),
            false => Self::Text(place, value),
        }
    }

    pub(super) fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Text(place, text) => place.of(value, text.len()) == Some(text),
            Self::TextIgnoreCase(place, text) => place
                .of(value, text.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(text)),
            Self::Contains(text) => text.find(value).is_some(),
            Self::OneOf(values) => values.contains(value),
            Self::Regex(pattern) => pattern.compiled().is_ok_and(|it| it.is_match(value)),
            Self::Search(regex) => regex.is_match(value),
            Self::Range(range) => number(value).is_some_and(|number| range.contains(&number)),
            Self::Present => true,
        }
    }
}

/// A regular expression that is compiled when it is first needed: one that is searched for among
/// others never is on its own.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    written: Box<str>,
    anchored: Box<str>,
    compiled: OnceCell<Regex>,
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
            compiled: OnceCell::new(),
        })
    }

    pub(super) fn compiled(&self) -> Result<&Regex, RegexRefusal> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(compiled);
        }
        let compiled = build(&self.anchored).map_err(|refusal| refusal.of(&self.written))?;
        Ok(self.compiled.get_or_init(|| compiled))
    }

    /// As it is compiled.
    pub(super) fn as_str(&self) -> &str {
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
            matcher if matching.absent_is_empty => matcher.holds(b"") != matching.invert,
            Matcher::Present => matching.invert,
            _ => false,
        };
        Ok(Self {
            matcher,
            invert: matching.invert,
            if_absent,
        })
    }

    pub(super) fn holds(&self, value: Option<&[u8]>) -> bool {
        value.map_or(self.if_absent, |value| {
            self.matcher.holds(value) != self.invert
        })
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
        matches!(self.matcher, Matcher::Regex(_) | Matcher::Search(_))
    }
}

/// Finds a text whatever the case of its ASCII letters, in time linear in the value's length.
fn search(text: &str) -> Result<Regex, RegexRefusal> {
    let bytes: String = text.bytes().map(|byte| format!(r"\x{byte:02x}")).collect();
    build(&format!("(?i-u){bytes}")).map_err(|refusal| refusal.of(text))
}

fn build(pattern: &str) -> Result<Regex, RegexRefusal> {
    RegexBuilder::new(pattern)
        .size_limit(REGEX_SIZE_LIMIT)
        .dfa_size_limit(REGEX_CACHE_LIMIT)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => RegexRefusal::TooLarge {
                pattern: pattern.to_owned(),
                limit,
            },
            other => RegexRefusal::Invalid {
                pattern: pattern.to_owned(),
                message: last_line(&other.to_string()),
            },
        })
}

impl RegexRefusal {
    /// The same, of the expression as it was written.
    fn of(self, written: &str) -> Self {
        let pattern = written.to_owned();
        match self {
            Self::Star => Self::Star,
            Self::Invalid { message, .. } => Self::Invalid { pattern, message },
            Self::TooLarge { limit, .. } => Self::TooLarge { pattern, limit },
        }
    }
}

/// The parser's message ends with what is wrong; the lines before it draw the pattern.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
