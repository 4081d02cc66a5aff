//! Rules that can never decide, since an earlier one takes all their requests.

use std::collections::{BTreeSet, HashMap};

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
    /// alternative, which nothing hides, nor, of many hundred rules whose conditions do not tell which
    /// of them may hide which, those behind the first.
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

/// As how many rules of which it cannot be told otherwise each is compared with: the first ones. That an earlier rule behind
/// these takes its requests is left unsaid.
const COMPARED: usize = 256;

/// The rules that were looked at, so that of ten thousand not all are compared with all: each alternative is found by the
/// condition that fewest others share.
#[derive(Default)]
struct Earlier<'a> {
    by_key: HashMap<Key<'a>, Vec<usize>>,
    /// Of texts that values begin or end with.
    lengths: HashMap<(End, &'a Attribute), BTreeSet<usize>>,
    /// The first that takes everything.
    everything: Option<usize>,
}

/// What a condition can be found by that implies another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    /// A value that satisfies it.
    Value(&'a Attribute, &'a [u8]),
    /// How each value that satisfies it begins or ends.
    Text(End, &'a Attribute, &'a [u8]),
    /// The very same condition.
    Same(&'a AttributeMatch),
    /// Any condition on this attribute.
    Any(&'a Attribute),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    Start,
    End,
}

impl End {
    fn of(self, value: &[u8], length: usize) -> Option<&[u8]> {
        match self {
            Self::Start => value.get(..length),
            Self::End => value.get(value.len().checked_sub(length)?..),
        }
    }
}

impl<'a> Earlier<'a> {
    fn add(&mut self, rule: usize, wide: &'a [Vec<Compiled<'a>>]) {
        for alternative in wide {
            let keys = alternative.iter().map(keys_of);
            let count = |keys: &Vec<Key<'_>>| {
                let counts = keys
                    .iter()
                    .map(|key| self.by_key.get(key).map_or(0, Vec::len));
                counts.max()
            };
            let Some(rarest) = keys.min_by_key(count) else {
                self.everything.get_or_insert(rule);
                continue;
            };
            for key in rarest {
                if let Key::Text(end, attribute, text) = key {
                    let lengths = self.lengths.entry((end, attribute)).or_default();
                    lengths.insert(text.len());
                }
                let known = self.by_key.entry(key).or_default();
                if known.len() < COMPARED {
                    known.push(rule);
                }
            }
        }
    }

    /// Those that may take all that this one matches, each list in its order.
    fn candidates(&self, narrow: &'a [Vec<Compiled<'a>>]) -> Vec<&[usize]> {
        let Some(alternative) = narrow.first() else {
            return vec![];
        };
        let mut candidates = vec![self.everything.as_slice()];
        let mut add = |key| candidates.extend(self.by_key.get(&key).map(Vec::as_slice));
        for (asked, test) in alternative {
            let attribute = &asked.attribute;
            add(Key::Same(asked));
            add(Key::Any(attribute));
            // What takes all of several values takes the first.
            let listed = test.listed().and_then(|values| values.first().copied());
            let value = listed.or_else(|| asked.exactly());
            if let Some(value) = value {
                add(Key::Value(attribute, value));
            }
            for end in [End::Start, End::End] {
                let Some(known) = value.or_else(|| asked.text_at(end)) else {
                    continue;
                };
                let lengths = self.lengths.get(&(end, attribute)).into_iter().flatten();
                let texts = lengths.filter_map(|&length| end.of(known, length));
                texts.for_each(|text| add(Key::Text(end, attribute, text)));
            }
        }
        candidates
    }
}

/// By which it is found by whatever implies it.
fn keys_of<'a>((asked, test): &'a Compiled<'a>) -> Vec<Key<'a>> {
    let attribute = &asked.attribute;
    if let Some(values) = test.listed() {
        let values = values.into_iter();
        return values.map(|value| Key::Value(attribute, value)).collect();
    }
    if let Some(value) = asked.exactly() {
        return vec![Key::Value(attribute, value)];
    }
    let ends = [End::Start, End::End].into_iter();
    let mut texts = ends.filter_map(|end| Some(Key::Text(end, attribute, asked.text_at(end)?)));
    match texts.next().filter(|_| !asked.absent_is_empty) {
        Some(text) => vec![text],
        None => vec![Key::Same(asked), Key::Any(attribute)],
    }
}

impl AttributeMatch {
    /// The only value that satisfies it, but for absence.
    fn exactly(&self) -> Option<&[u8]> {
        match &self.condition {
            Condition::Exact(text) if !text.ignore_case && !self.invert => {
                Some(text.value.as_bytes())
            }
            _ => None,
        }
    }

    /// How each value that satisfies it begins, or ends.
    fn text_at(&self, end: End) -> Option<&[u8]> {
        let text = match (&self.condition, end) {
            (Condition::Prefix(text), End::Start) | (Condition::Suffix(text), End::End) => text,
            _ => return None,
        };
        let is_plain = !text.ignore_case && !self.invert && !text.value.is_empty();
        is_plain.then_some(text.value.as_bytes())
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
