//! Why a request takes its route, and not one before it.

use std::borrow::Cow;

use super::matcher::Matcher;
use super::{AttributeMatch, Condition, RouteTable, Values};

/// What each rule says, up to and including the one that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// In the order of the rules.
    pub verdicts: Vec<Verdict>,
    /// The rule that decides; it is the last verdict.
    pub matched: Option<usize>,
}

/// What one rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub rule: usize,
    /// The conditions that do not hold, in their order; none for a rule that matches.
    pub failures: Vec<Failure>,
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub attribute: String,
    pub condition: Condition,
    /// The message's value, `None` if it has none.
    pub actual: Option<Vec<u8>>,
}

impl<T> RouteTable<T> {
    /// What [`RouteTable::select`] finds, and why not something earlier. For people: every rule is
    /// tried in turn, and every condition of it.
    pub fn explain<'m>(&self, lookup: impl FnMut(usize) -> Option<Cow<'m, [u8]>>) -> Explanation {
        let mut values = Values::new(lookup);
        let mut verdicts = Vec::new();
        for (rule, matches) in self.rules.iter().enumerate() {
            let failures: Vec<Failure> = matches
                .iter()
                .filter_map(|matching| {
                    let attribute = self.attributes.iter().position(|a| *a == matching.name)?;
                    failure(matching, values.value(attribute))
                })
                .collect();
            let matched = failures.is_empty();
            verdicts.push(Verdict { rule, failures });
            if matched {
                return Explanation {
                    verdicts,
                    matched: Some(rule),
                };
            }
        }
        Explanation {
            verdicts,
            matched: None,
        }
    }
}

fn failure(matching: &AttributeMatch, value: Option<&[u8]>) -> Option<Failure> {
    let matcher = Matcher::new(&matching.condition).expect("compiled with the table before");
    if value.is_some_and(|value| matcher.holds(value)) {
        return None;
    }
    Some(Failure {
        attribute: matching.name.clone(),
        condition: matching.condition.clone(),
        actual: value.map(<[u8]>::to_vec),
    })
}
