//! Rules that can never decide, since an earlier one takes all their requests.

use std::collections::HashMap;

use super::matcher::Test;
use super::{Alternative, Attribute, AttributeMatch, Condition, RouteTable};

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
    /// expression that happens to include theirs, are not found. Nor are those without an
    /// alternative, which nothing hides.
    pub fn shadowed(&self) -> Vec<Shadowed> {
        let rules: Vec<Vec<Vec<Compiled<'_>>>> = self
            .rules
            .given
            .iter()
            .map(|rule| rule.iter().map(compile).collect())
            .collect();
        let mut earlier = Earlier::default();
        let mut shadowed = vec![];
        for (rule, narrow) in rules.iter().enumerate() {
            let takes = |wide: &&usize| takes(&rules[**wide], narrow);
            let firsts = earlier.candidates(narrow).into_iter();
            let firsts = firsts.filter_map(|wide| wide.iter().find(takes));
            shadowed.extend(firsts.min().map(|&by| Shadowed { rule, by }));
            earlier.add(rule, narrow);
        }
        shadowed
    }
}

/// The rules that were looked at, so that of ten thousand that each ask for a value of their own, not all are compared
/// with all.
#[derive(Default)]
struct Earlier<'a> {
    /// Those of which an alternative asks for a value as it is: only what asks for the same can be covered by it.
    by_value: HashMap<(&'a Attribute, &'a [u8]), Vec<usize>>,
    others: Vec<usize>,
}

impl<'a> Earlier<'a> {
    fn add(&mut self, rule: usize, wide: &'a [Vec<Compiled<'a>>]) {
        for alternative in wide {
            let values = alternative.iter().filter_map(|(asked, _)| asked.exactly());
            // The rarest divides them best.
            let rarest = values.min_by_key(|value| self.by_value.get(value).map_or(0, Vec::len));
            match rarest {
                Some(value) => self.by_value.entry(value).or_default().push(rule),
                None => self.others.push(rule),
            }
        }
    }

    /// Those that may take all that this one matches, each list in their order.
    fn candidates(&self, narrow: &'a [Vec<Compiled<'a>>]) -> Vec<&[usize]> {
        let Some(alternative) = narrow.first() else {
            return vec![];
        };
        let mut candidates = vec![&*self.others];
        for (asked, test) in alternative {
            let listed = test.listed().unwrap_or_default().into_iter();
            let values = listed.map(|value| (&asked.attribute, value));
            for value in values.chain(asked.exactly()) {
                candidates.extend(self.by_value.get(&value).map(Vec::as_slice));
            }
        }
        candidates
    }
}

impl AttributeMatch {
    /// The only value that satisfies it, but for absence.
    fn exactly(&self) -> Option<(&Attribute, &[u8])> {
        match &self.condition {
            Condition::Exact(text) if !text.ignore_case && !self.invert => {
                Some((&self.attribute, text.value.as_bytes()))
            }
            _ => None,
        }
    }
}

/// A condition with its test, built once for all comparisons.
type Compiled<'a> = (&'a AttributeMatch, Test);

fn compile(alternative: &Alternative) -> Vec<Compiled<'_>> {
    alternative
        .iter()
        .map(|matching| {
            let test = Test::new(matching).expect("compiled with the table");
            (matching, test)
        })
        .collect()
}

/// Whether each alternative of `narrow` is covered by one of `wide`.
fn takes(wide: &[Vec<Compiled<'_>>], narrow: &[Vec<Compiled<'_>>]) -> bool {
    narrow
        .iter()
        .all(|narrow| wide.iter().any(|wide| covers(wide, narrow)))
}

/// Whether every request that satisfies `narrow` satisfies `wide`.
fn covers(wide: &[Compiled<'_>], narrow: &[Compiled<'_>]) -> bool {
    wide.iter()
        .all(|condition| narrow.iter().any(|given| implies(given, condition)))
}

/// Whether everything that satisfies `given` satisfies `condition`.
fn implies((given, holding): &Compiled<'_>, (condition, test): &Compiled<'_>) -> bool {
    if given.attribute != condition.attribute {
        return false;
    }
    if given == condition {
        return true;
    }
    if let Some(values) = holding.listed() {
        return values
            .iter()
            .all(|value| test.holds(Some(value)) == Ok(true));
    }
    // What is inverted is known by itself only.
    if given.invert || condition.invert || (holding.if_absent && !test.if_absent) {
        return false;
    }
    includes(&given.condition, &condition.condition, test)
}

/// Whether every value that satisfies `given` satisfies `condition`.
fn includes(given: &Condition, condition: &Condition, test: &Test) -> bool {
    match (given, condition) {
        (_, Condition::Present) => true,
        (_, Condition::Prefix(text) | Condition::Suffix(text) | Condition::Contains(text))
            if text.value.is_empty() =>
        {
            true
        }
        (Condition::Range(inner), Condition::Range(outer)) => {
            outer.start <= inner.start && inner.end <= outer.end
        }
        (given, condition) if given == condition => true,
        (given, condition) => {
            let (Some(value), Some(text)) = (given.text(), condition.text()) else {
                return false;
            };
            let is_part = matches!(
                (given, condition),
                (Condition::Exact(_), _)
                    | (_, Condition::Contains(_))
                    | (Condition::Prefix(_), Condition::Prefix(_))
                    | (Condition::Suffix(_), Condition::Suffix(_))
            );
            // Whatever case the value has, what ignores case holds for it.
            is_part
                && (text.ignore_case || !value.ignore_case)
                && test.holds(Some(value.value.as_bytes())) == Ok(true)
        }
    }
}
