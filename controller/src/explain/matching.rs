//! Which alternative of a route a request is, and why it is none of others.

use meltemi_policy::route::Failure;
use meltemi_policy::{Attribute, Condition, Text};

use crate::manifest::one_of;
use crate::model::{Alternative, Rule};

/// The place of an alternative among all of its rule, counted from one, where there are several.
/// It is told by its place among those that requests can be like.
pub(super) fn alternative(rule: &Rule, possible: usize) -> Option<usize> {
    let mut places = rule.alternatives.iter().enumerate();
    let is_possible = |(_, it): &(usize, &Alternative)| matches!(it, Alternative::Of(_));
    let place = places.by_ref().filter(is_possible).nth(possible)?.0;
    (rule.alternatives.len() > 1).then_some(place + 1)
}

/// A sentence for each condition that does not hold, of each alternative.
pub(super) fn because(rule: &Rule, failed: &[Vec<Failure>]) -> Vec<String> {
    let mut failed = failed.iter();
    let several = rule.alternatives.len() > 1;
    let mut sentences = vec![];
    for (i, alternative) in rule.alternatives.iter().enumerate() {
        let own: Vec<String> = match alternative {
            Alternative::Never(reason) => vec![reason.clone()],
            Alternative::Of(_) => failed.next().into_iter().flatten().map(failure).collect(),
        };
        let number = i + 1;
        sentences.extend(own.into_iter().map(|sentence| match several {
            true => format!("alternative {number}: {sentence}"),
            false => sentence,
        }));
    }
    sentences
}

fn failure(failure: &Failure) -> String {
    let matching = &failure.matching;
    if matching.attribute == Attribute::SourceAddress {
        return source(failure);
    }
    let name = &matching.attribute;
    let not = if matching.invert { "not " } else { "" };
    let wanted = match (&matching.condition, matching.invert) {
        (Condition::Present, false) => return format!("the request has no {name}"),
        (Condition::Present, true) => return format!("the request has {name}"),
        (condition, _) => wanted(condition),
    };
    match &failure.actual {
        Some(actual) => {
            let actual = String::from_utf8_lossy(actual);
            match matching.invert {
                true => format!("{name} is `{actual}`, and should not be {wanted}"),
                false => format!("{name} is `{actual}`, not {wanted}"),
            }
        }
        None => format!("the request has no {name}, and it should {not}be {wanted}"),
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

fn source(failure: &Failure) -> String {
    let addresses = match &failure.matching.condition {
        Condition::Exact(only) => vec![only.value.clone()],
        several => several.values().unwrap_or_default(),
    };
    let wanted = one_of(&addresses);
    match &failure.actual {
        Some(actual) => format!(
            "the client's address is {}, not {wanted}",
            String::from_utf8_lossy(actual)
        ),
        None => {
            format!("the client's address is unknown, and should be {wanted}: say it with --source")
        }
    }
}
