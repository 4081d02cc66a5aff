//! Rules that can never decide, since an earlier one takes all their requests.

use super::matcher::Matcher;
use super::{AttributeMatch, Condition, RouteTable};

/// A rule that never decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadowed {
    pub rule: usize,
    /// The first earlier rule that takes every request that this one would match.
    pub by: usize,
}

impl<T> RouteTable<T> {
    /// The rules that can never match because one earlier rule is at least as wide.
    ///
    /// Sound but not complete: rules hidden only by several earlier ones together, or by a regular
    /// expression that happens to include theirs, are not found.
    pub fn shadowed(&self) -> Vec<Shadowed> {
        let rules: Vec<Vec<Compiled<'_>>> = self.rules.iter().map(|rule| compile(rule)).collect();
        rules
            .iter()
            .enumerate()
            .filter_map(|(rule, narrow)| {
                let by = rules[..rule].iter().position(|wide| covers(wide, narrow))?;
                Some(Shadowed { rule, by })
            })
            .collect()
    }
}

/// A condition with its matcher, built once for all comparisons.
type Compiled<'a> = (&'a AttributeMatch, Matcher);

fn compile(rule: &[AttributeMatch]) -> Vec<Compiled<'_>> {
    rule.iter()
        .map(|matching| {
            let matcher = Matcher::new(&matching.condition).expect("compiled with the table");
            (matching, matcher)
        })
        .collect()
}

/// Whether every message that satisfies `narrow` satisfies `wide`.
fn covers(wide: &[Compiled<'_>], narrow: &[Compiled<'_>]) -> bool {
    wide.iter()
        .all(|condition| narrow.iter().any(|given| implies(given, condition)))
}

/// Whether every value that satisfies `given` satisfies `condition`.
fn implies((given, values): &Compiled<'_>, (condition, matcher): &Compiled<'_>) -> bool {
    if given.name != condition.name {
        return false;
    }
    if given.condition == condition.condition {
        return true;
    }
    if let Matcher::OneOf(values) = values {
        return values.iter().all(|value| matcher.holds(value));
    }
    match (&given.condition, &condition.condition) {
        (_, Condition::Present) => true,
        (_, Condition::Prefix(prefix) | Condition::PrefixIgnoreCase(prefix))
            if prefix.is_empty() =>
        {
            true
        }
        (Condition::Prefix(value), Condition::Prefix(prefix)) => value.starts_with(prefix),
        // Whatever case the value has, what it begins with ignores it.
        (
            Condition::Prefix(value) | Condition::PrefixIgnoreCase(value),
            Condition::PrefixIgnoreCase(_),
        ) => matcher.holds(value.as_bytes()),
        (Condition::Exact(value), _) => matcher.holds(value.as_bytes()),
        _ => false,
    }
}
