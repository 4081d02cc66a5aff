//! What the findings on an object come to: whether it is in force, what it lacks, and what is in its way.

use super::condition::{State, Truth};
use super::ledger::Resolved;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::manifest::{ObjectRef, Spec};

/// What is said of an object wherever it is attached.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) accepted: State,
    pub(super) resolved_refs: State,
    pub(super) conflicted: State,
}

/// Where findings on an object as a whole stand.
const NAME: &str = "metadata.name";
/// Of more the number is said.
const MOST_FINDINGS: usize = 8;

impl Verdict {
    pub(super) fn of(id: &ObjectRef, resolved: &Resolved) -> Self {
        let findings = resolved.findings.get(id).map_or(&[][..], Vec::as_slice);
        let errors: Vec<_> = findings.iter().filter(|f| f.is_error()).collect();
        let is_refused = resolved.refused.contains(id);
        Self {
            accepted: match is_refused {
                true => refused(&errors, resolved.objects.contains_key(id)),
                false if is_closed(id, resolved) => closed(&errors),
                false => accepted(findings),
            },
            resolved_refs: resolved_refs(findings, is_refused),
            conflicted: conflicted(findings),
        }
    }
}

/// What was found about an object, where something was.
pub(super) fn found(id: &ObjectRef, resolved: &Resolved) -> Option<String> {
    let findings = resolved.findings.get(id)?;
    let findings: Vec<_> = findings.iter().collect();
    (!findings.is_empty()).then(|| text(&findings))
}

fn accepted(findings: &[Diagnostic]) -> State {
    let message = match findings {
        [] => "it is in force".to_owned(),
        some => format!(
            "it is in force, but: {}",
            text(&some.iter().collect::<Vec<_>>())
        ),
    };
    State::new(Truth::True, "Accepted", message)
}

/// `has_earlier`: an earlier version of it is in force.
fn refused(errors: &[&Diagnostic], has_earlier: bool) -> State {
    let remains = match has_earlier {
        true => "its last good version stays in force",
        false => "nothing of it is in force",
    };
    match errors.first() {
        Some(first) => {
            let said = text(errors);
            // A remedy may be a manifest.
            let end = if said.contains('\n') { "\n\n" } else { ". " };
            let message = format!("{}{end}Meanwhile {remains}", said.trim_end());
            State::new(Truth::False, first.code.as_str(), message)
        }
        None => {
            let message =
                format!("something that it relies on is refused: see there. Meanwhile {remains}");
            State::new(Truth::False, "Refused", message)
        }
    }
}

/// Whether it is a policy that cannot be read, and for that reason denies.
fn is_closed(id: &ObjectRef, resolved: &Resolved) -> bool {
    let object = resolved.objects.get(id);
    object.is_some_and(|object| match &object.spec {
        Spec::AuthorizationPolicy(policy) => policy.is_closed,
        _ => false,
    })
}

fn closed(errors: &[&Diagnostic]) -> State {
    let reason = errors.first().map_or(Code::PolicyClosed, |it| it.code);
    let said = text(errors);
    let message = format!("{said}. Meanwhile nobody may use what it is for");
    State::new(Truth::False, reason.as_str(), message)
}

fn resolved_refs(findings: &[Diagnostic], is_refused: bool) -> State {
    let missing: Vec<_> = findings.iter().filter(|f| is_reference(f.code)).collect();
    match missing.first() {
        Some(first) => State::new(Truth::False, first.code.as_str(), text(&missing)),
        // What it names may not have been looked at.
        None if is_refused => {
            let message = "it is refused for another reason, which `Accepted` tells";
            State::new(Truth::Unknown, "NotAccepted", message)
        }
        None => State::new(
            Truth::True,
            "ResolvedRefs",
            "everything that it names is there",
        ),
    }
}

fn conflicted(findings: &[Diagnostic]) -> State {
    let conflicts: Vec<_> = findings.iter().filter(|f| is_conflict(f.code)).collect();
    match conflicts.first() {
        Some(first) => State::new(Truth::True, first.code.as_str(), text(&conflicts)),
        None => State::new(Truth::False, "NoConflicts", "no other object is in its way"),
    }
}

/// Whether a finding says that something that is named is not there.
fn is_reference(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownProtocol
            | Code::UnknownHost
            | Code::UnknownPort
            | Code::UnknownGateway
            | Code::NoMatchingServer
            | Code::RefNotPermitted
            | Code::UnknownSecret
            | Code::SecretNotPermitted
            | Code::UnknownSubset
    )
}

/// Whether it says that two objects want the same.
fn is_conflict(code: Code) -> bool {
    matches!(
        code,
        Code::DuplicateHost
            | Code::DuplicateServer
            | Code::AddressInUse
            | Code::SecondRedisService
            | Code::UnexpectedDestination
            | Code::HiddenRouter
    )
}

fn text(findings: &[&Diagnostic]) -> String {
    let said: Vec<_> = findings
        .iter()
        .take(MOST_FINDINGS)
        .map(|finding| line(finding))
        .collect();
    let said = said.join("; ");
    match findings.len().checked_sub(MOST_FINDINGS) {
        Some(more @ 1..) => format!("{said}; and {more} more"),
        _ => said,
    }
}

/// With its field, where it is one of the object that the finding is about.
fn line(finding: &Diagnostic) -> String {
    let object = finding.object.as_ref().map(ToString::to_string);
    let place = finding
        .place
        .as_ref()
        .filter(|place| Some(&place.file) == object.as_ref());
    let field = place.and_then(Place::field).filter(|field| *field != NAME);
    let field = field.map(|field| format!("{field}: ")).unwrap_or_default();
    let remedy = finding
        .remedy
        .as_ref()
        .map(|remedy| match remedy.contains('\n') {
            true => format!("; {remedy}"),
            false => format!(" ({remedy})"),
        });
    format!("{field}{}{}", finding.message, remedy.unwrap_or_default())
}
