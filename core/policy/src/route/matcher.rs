//! One condition, compiled.

use std::collections::HashSet;

use regex::bytes::{Regex, RegexBuilder};

use super::{Condition, RegexRefusal, alternation};

/// Compiled size of one regular expression; RE2's own limit in Envoy is of this order.
const REGEX_SIZE_LIMIT: usize = 1 << 20;
/// Memory of one regular expression's lazily built automaton, per thread that uses it.
const REGEX_CACHE_LIMIT: usize = 256 << 10;

#[derive(Debug)]
pub(super) enum Matcher {
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
    PrefixIgnoreCase(Vec<u8>),
    OneOf(HashSet<Box<[u8]>>),
    Regex(Regex),
    Present,
}

impl Matcher {
    pub(super) fn new(condition: &Condition) -> Result<Self, RegexRefusal> {
        Ok(match condition {
            Condition::Exact(value) => Self::Exact(value.as_bytes().to_vec()),
            Condition::Prefix(prefix) => Self::Prefix(prefix.as_bytes().to_vec()),
            Condition::PrefixIgnoreCase(prefix) => {
                Self::PrefixIgnoreCase(prefix.as_bytes().to_vec())
            }
            Condition::Regex(pattern) => match alternation::values(pattern) {
                Some(values) => Self::OneOf(values),
                None => Self::Regex(compile(pattern)?),
            },
            Condition::Present => Self::Present,
        })
    }

    pub(super) fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(expected) => value == expected,
            Self::Prefix(prefix) => value.starts_with(prefix),
            Self::PrefixIgnoreCase(prefix) => value
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
            Self::OneOf(values) => values.contains(value),
            Self::Regex(regex) => regex.is_match(value),
            Self::Present => true,
        }
    }

    /// Orders the conditions of a rule: a regular expression is the dearest, so it comes last.
    pub(super) fn is_regex(&self) -> bool {
        matches!(self, Self::Regex(_))
    }
}

/// Linear in the value's length, as RE2; anchored at both ends, as Envoy's full match.
fn compile(pattern: &str) -> Result<Regex, RegexRefusal> {
    if pattern == "*" {
        return Err(RegexRefusal::Star);
    }
    // On its own first: what is only valid between the anchors' parentheses is not valid.
    build(pattern)?;
    // A comment at its end (`(?x)abc # letters`) reaches as far as the line, so it would take the
    // parenthesis with it. Elsewhere a line's end is a part of the value.
    build(&format!(r"\A(?:{pattern})\z"))
        .or_else(|refusal| build(&format!("\\A(?:{pattern}\n)\\z")).map_err(|_| refusal))
        .map_err(|refusal| refusal.of(pattern))
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
