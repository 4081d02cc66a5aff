//! Why a request takes its route, and not one before it.

use std::borrow::Cow;
use std::fmt;

use super::matcher::Test;
use super::{Alternative, Attribute, AttributeMatch, Condition, RouteTable, Steps, Text, Values};
use crate::words::one_of;

/// What each rule says, up to and including the one that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// In the order of the rules.
    pub verdicts: Vec<Verdict>,
    /// What decides; its rule is that of the last verdict. Nothing does where that could not be decided.
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
    /// Whether it holds takes too many steps to be known.
    pub undecided: bool,
}

impl<T> RouteTable<T> {
    /// What [`RouteTable::select`] finds, and why not something earlier. For people: every rule is
    /// tried in turn, and every condition of it.
    pub fn explain<'m>(&self, lookup: impl FnMut(usize) -> Option<Cow<'m, [u8]>>) -> Explanation {
        let mut steps = Steps::default();
        let mut values = self.values(&mut steps, lookup);
        let mut verdicts = Vec::new();
        let mut matched = None;
        for (rule, alternatives) in self.rules.given.iter().enumerate() {
            let mut failed = Vec::new();
            let mut undecided = false;
            for (alternative, conditions) in alternatives.iter().enumerate() {
                let failures = self.failures(conditions, &mut values);
                if failures.is_empty() {
                    matched = Some(Taken { rule, alternative });
                    break;
                }
                undecided = failures.iter().all(|failure| failure.undecided);
                failed.push(failures);
                if undecided {
                    break;
                }
            }
            verdicts.push(Verdict { rule, failed });
            if matched.is_some() || undecided {
                break;
            }
        }
        Explanation { verdicts, matched }
    }

    fn failures<'m, F>(
        &self,
        conditions: &Alternative,
        values: &mut Values<'_, 'm, F>,
    ) -> Vec<Failure>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        let failing = conditions.iter().filter_map(|matching| {
            let mut attributes = self.rules.attributes.iter();
            let attribute = attributes.position(|known| *known == matching.attribute)?;
            failure(matching, values.value(attribute))
        });
        failing.collect()
    }
}

fn failure(matching: &AttributeMatch, value: Option<&[u8]>) -> Option<Failure> {
    let test = Test::new(matching).expect("compiled with the table before");
    let holds = test.holds(value);
    (holds != Ok(true)).then(|| Failure {
        matching: matching.clone(),
        actual: value.map(<[u8]>::to_vec),
        undecided: holds.is_err(),
    })
}

/// In a sentence.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matching = &self.matching;
        match matching.attribute {
            Attribute::SourceAddress => return self.tell_source(f, "address"),
            Attribute::SourcePrincipal => return self.tell_source(f, "principal"),
            Attribute::SourceNamespace => {
                let actual = self.actual.as_deref().map(String::from_utf8_lossy);
                return matching.tell_namespace(f, actual.as_deref());
            }
            Attribute::Message(_) => {}
        }
        let name = &matching.attribute;
        if self.undecided {
            let wanted = wanted(&matching.condition);
            return write!(f, "whether {name} is {wanted} takes too many steps to tell");
        }
        let not = if matching.invert { "not " } else { "" };
        let wanted = match (&matching.condition, matching.invert) {
            (Condition::Present, false) => return write!(f, "the request has no {name}"),
            (Condition::Present, true) => return write!(f, "the request has {name}"),
            (condition, _) => wanted(condition),
        };
        let actual = self.actual.as_deref().map(String::from_utf8_lossy);
        match (actual, matching.invert) {
            (Some(actual), true) => write!(f, "{name} is `{actual}`, and should not be {wanted}"),
            (Some(actual), false) => write!(f, "{name} is `{actual}`, not {wanted}"),
            (None, _) => write!(
                f,
                "the request has no {name}, and it should {not}be {wanted}"
            ),
        }
    }
}

impl Failure {
    fn tell_source(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        let wanted = match &self.matching.condition {
            Condition::Exact(only) => vec![only.value.clone()],
            several => several.values().unwrap_or_default(),
        };
        let wanted = one_of(&wanted);
        match self.actual.as_deref().map(String::from_utf8_lossy) {
            Some(actual) => write!(f, "the client's {what} is {actual}, not {wanted}"),
            None => write!(f, "the client's {what} is unknown, and should be {wanted}"),
        }
    }
}

/// What a value should be.
fn wanted(condition: &Condition) -> String {
    match condition {
        Condition::Exact(it) => text("", it),
        Condition::Prefix(it) => text("a value that begins with ", it),
        Condition::Suffix(it) => text("a value that ends with ", it),
        Condition::Contains(it) => text("a value that contains ", it),
        Condition::Regex(regex) => match condition.values() {
            Some(values) => one_of(&values),
            None => format!("a value that matches `{regex}`"),
        },
        Condition::Range(range) => {
            format!("a whole number from {} to below {}", range.start, range.end)
        }
        Condition::Present => "there".to_owned(),
    }
}

fn text(what: &str, text: &Text) -> String {
    let any_case = if text.ignore_case {
        ", in whatever case"
    } else {
        ""
    };
    format!("{what}`{}`{any_case}", text.value)
}
