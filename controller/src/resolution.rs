//! Which versions of the objects take effect: an error makes an object fall back to its last good
//! version, and never withdraws what is in force.
//!
//! What an object in force relies on stays as well: who takes it away, by an edit or by deleting it,
//! is told, and the last good version of what was taken away remains until nothing needs it.

use std::fmt;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::index::{Index, Objects, Refused};
use crate::manifest::{Kind, Object, ObjectRef, Spec};
use crate::model::{self, Finding, Model};
use crate::schema::Settings;

/// What takes effect, and everything that is wrong with the newest versions.
pub(crate) struct Resolution {
    pub(crate) model: Model,
    pub(crate) objects: Objects,
    pub(crate) findings: Vec<Diagnostic>,
}

/// Builds the model, replacing what is to blame for an error until there is nothing to replace.
///
/// The findings are those of the first attempt, on the newest versions: what follows from a
/// replacement is not the user's doing.
pub(crate) fn resolve(index: &Index, settings: &Settings) -> Resolution {
    let (mut objects, mut findings) = index.objects();
    let (mut model, mut model_findings) = model::build(&objects, settings);
    let mut fallbacks = fallbacks(index, &objects, &model_findings);
    findings.extend(told(index.refused(), &model_findings, &fallbacks));
    // Each pass moves at least one object to its last good version, or out: it ends.
    while fallbacks.iter().any(Option::is_some) {
        for fallback in fallbacks.into_iter().flatten() {
            match fallback.good {
                Some(good) => objects.insert(fallback.id, good),
                None => objects.remove(&fallback.id),
            };
        }
        (model, model_findings) = model::build(&objects, settings);
        fallbacks = self::fallbacks(index, &objects, &model_findings);
    }
    let mut findings: Vec<_> = findings
        .into_iter()
        .map(Diagnostic::or_general_remedy)
        .collect();
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    findings.dedup();
    Resolution {
        model,
        objects,
        findings,
    }
}

/// The findings that are the user's doing, with what becomes of other objects because of them.
fn told(
    mut refused: Refused,
    findings: &[Finding],
    fallbacks: &[Option<Fallback>],
) -> Vec<Diagnostic> {
    let with_other = findings.iter().zip(fallbacks).map(|(finding, fallback)| {
        let object = finding.diagnostic.object.as_ref();
        let other = fallback.as_ref().filter(|f| object != Some(&f.id));
        (&finding.diagnostic, other)
    });
    let with_other: Vec<_> = with_other.collect();
    let others = with_other.iter().filter_map(|(_, other)| *other);
    refused.kinds.extend(others.map(|other| other.id.kind));
    with_other
        .into_iter()
        .filter_map(|(finding, other)| match other {
            Some(other) => Some(other.explain(finding.clone())),
            None => (!follows(finding.code, &refused)).then(|| finding.clone()),
        })
        .collect()
}

/// Whether a finding of this kind may be there only because objects of these kinds were refused.
/// One mistake is said once.
fn follows(code: Code, refused: &Refused) -> bool {
    let absent: &[Kind] = match code {
        Code::UnknownHost | Code::UnknownPort => &[Kind::ServiceEntry, Kind::ApplicationProtocol],
        Code::UnknownProtocol => &[Kind::ApplicationProtocol],
        Code::UnknownSubset | Code::LocalityInactive => &[Kind::DestinationRule],
        Code::UnknownGateway | Code::NoMatchingServer => &[Kind::Gateway, Kind::ServiceEntry],
        Code::EmptySubset | Code::NoEndpoints => &[Kind::WorkloadEntry, Kind::ServiceEntry],
        _ => return false,
    };
    refused.unnamed || absent.iter().any(|kind| refused.kinds.contains(kind))
}

/// An object that does not take effect as it is now.
struct Fallback {
    id: ObjectRef,
    /// None: it is left out.
    good: Option<Arc<Object>>,
    is_deleted: bool,
}

/// What mends each finding: the first object to blame that was changed, else what was taken away
/// from an object in force.
fn fallbacks(index: &Index, objects: &Objects, findings: &[Finding]) -> Vec<Option<Fallback>> {
    let blamed = |finding: &Finding| {
        let mut changed = finding.blame.iter().filter(|id| {
            let object = objects.get(*id);
            object.is_some_and(|object| !index.is_in_force(object) && !asks_for_tls(object))
        });
        changed.next().map(|id| Fallback {
            id: id.clone(),
            good: index.last_good(id),
            is_deleted: false,
        })
    };
    findings
        .iter()
        .map(|finding| blamed(finding).or_else(|| taken_away(index, objects, finding)))
        .collect()
}

fn taken_away(index: &Index, objects: &Objects, finding: &Finding) -> Option<Fallback> {
    let mut earlier = index.good().filter(|good| match objects.get(&good.id) {
        Some(now) => !now.is_same(good) && !asks_for_tls(now),
        // To delete the file of a Gateway is to close its servers.
        None => good.id.kind != Kind::Gateway || index.has_file(&good.file.name),
    });
    let good = earlier.find(|good| finding.needs.iter().any(|need| need.is_met_by(good)))?;
    Some(Fallback {
        id: good.id.clone(),
        is_deleted: !objects.contains_key(&good.id),
        good: Some(good.clone()),
    })
}

/// To go back behind a wish for TLS would be to dial in plaintext.
fn asks_for_tls(object: &Object) -> bool {
    matches!(&object.spec, Spec::DestinationRule(rule) if rule.asks_for_tls())
}

impl Fallback {
    /// The finding, with what becomes of the object that is not the one that it is about.
    fn explain(&self, mut finding: Diagnostic) -> Diagnostic {
        finding.severity = Severity::Error;
        finding.message = format!("{}; {self}", finding.message);
        match finding.code {
            // A conflict, not something that is missing.
            Code::DuplicateHost | Code::AddressInUse | Code::HiddenRouter => finding,
            _ => finding.remedy("first change what names it, or bring back what was there"),
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.id;
        match (&self.good, self.is_deleted) {
            (_, true) => write!(f, "{id} was deleted, and stays in force while it is needed"),
            (Some(_), false) => write!(f, "{id} stays in force as it was before its last change"),
            (None, false) => write!(f, "{id} is refused"),
        }
    }
}

#[cfg(test)]
mod tests;
