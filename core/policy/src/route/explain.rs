//! Why a request takes its route, and not one before it.

use std::borrow::Cow;

use super::matcher::Test;
use super::{Alternative, AttributeMatch, RouteTable, Values};

/// What each rule says, up to and including the one that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// In the order of the rules.
    pub verdicts: Vec<Verdict>,
    /// What decides; its rule is that of the last verdict.
    pub matched: Option<Taken>,
}

/// A rule, and the first of its alternatives that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub rule: usize,
    pub alternative: usize,
}

/// What one rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub rule: usize,
    /// Of each alternative that does not hold, up to the one that does, what fails.
    pub failed: Vec<Vec<Failure>>,
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub matching: AttributeMatch,
    /// The request's value, `None` if it has none.
    pub actual: Option<Vec<u8>>,
}

impl<T> RouteTable<T> {
    /// What [`RouteTable::select`] finds, and why not something earlier. For people: every rule is
    /// tried in turn, and every condition of it.
    pub fn explain<'m>(&self, lookup: impl FnMut(usize) -> Option<Cow<'m, [u8]>>) -> Explanation {
        let mut values = Values::new(lookup);
        let mut verdicts = Vec::new();
        let mut matched = None;
        for (rule, alternatives) in self.rules.iter().enumerate() {
            let mut failed = Vec::new();
            for (alternative, conditions) in alternatives.iter().enumerate() {
                let failures = self.failures(conditions, &mut values);
                if failures.is_empty() {
                    matched = Some(Taken { rule, alternative });
                    break;
                }
                failed.push(failures);
            }
            verdicts.push(Verdict { rule, failed });
            if matched.is_some() {
                break;
            }
        }
        Explanation { verdicts, matched }
    }

    fn failures<'m, F>(&self, conditions: &Alternative, values: &mut Values<'m, F>) -> Vec<Failure>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        let failing = conditions.iter().filter_map(|matching| {
            let mut attributes = self.attributes.iter();
            let attribute = attributes.position(|known| *known == matching.attribute)?;
            failure(matching, values.value(attribute))
        });
        failing.collect()
    }
}

fn failure(matching: &AttributeMatch, value: Option<&[u8]>) -> Option<Failure> {
    let test = Test::new(matching).expect("compiled with the table before");
    (!test.holds(value)).then(|| Failure {
        matching: matching.clone(),
        actual: value.map(<[u8]>::to_vec),
    })
}
