//! Which alternative of a route a request is, and why it is none of others.

use meltemi_policy::Attribute;
use meltemi_policy::route::Failure;

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
    let option = match failure.matching.attribute {
        Attribute::SourceAddress => "--source",
        Attribute::SourcePrincipal => "--principal",
        Attribute::SourceNamespace => "--principal, or --source",
        Attribute::Message(_) => return failure.to_string(),
    };
    match &failure.actual {
        None => format!("{failure}: say it with {option}"),
        Some(_) => failure.to_string(),
    }
}
