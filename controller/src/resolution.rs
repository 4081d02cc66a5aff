//! Which versions of the objects take effect: an error makes an object fall back to its last good
//! version, and never withdraws what is in force.
//!
//! What an object in force relies on stays as well: who takes it away, by an edit or by deleting it,
//! is told, and the last good version of what was taken away remains until nothing needs it.

#[cfg(feature = "kubernetes")]
use std::collections::HashSet;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::index::{Index, Objects, Refused};
use crate::manifest::{Kind, Object, ObjectRef, Spec};
use crate::model::{self, Before, Finding, Model};
use crate::schema::Settings;
use crate::standing::Standing;

mod part;

/// What takes effect, and everything that is wrong with the newest versions.
pub(crate) struct Resolution {
    pub(crate) model: Model,
    pub(crate) objects: Objects,
    pub(crate) findings: Vec<Diagnostic>,
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(dead_code, reason = "only status tells of it")
    )]
    pub(crate) standing: Standing,
    /// What the findings on several objects together are about, or lay the blame on.
    #[cfg(feature = "kubernetes")]
    pub(crate) flawed: HashSet<ObjectRef>,
    /// What nobody is told by itself, since it follows from these findings: on objects that do not take effect because of
    /// others.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(dead_code, reason = "only status tells of it")
    )]
    pub(crate) consequences: Vec<Diagnostic>,
}

/// Builds the model, replacing what is to blame for an error until there is nothing to replace.
///
/// What was taken away and is kept does not push out what is there now, unless an object in force
/// would be left with an error.
pub(crate) fn resolve(index: &Index, settings: &Settings, earlier: Before<'_>) -> Resolution {
    let (mut newest, findings) = index.objects();
    let standing = Standing::of(index, settings);
    standing.leave_out(&mut newest);
    let mut given_up = BTreeSet::new();
    let mut tried = BTreeSet::new();
    let mut settled = settle(index, (settings, earlier), &newest, &given_up);
    // Each turn tries another object: it ends.
    while let Some(id) = settled.in_the_way.difference(&tried).next().cloned() {
        tried.insert(id.clone());
        given_up.insert(id.clone());
        let without = settle(index, (settings, earlier), &newest, &given_up);
        if without.errors <= settled.errors {
            settled = without;
        } else {
            given_up.remove(&id);
        }
    }
    let findings = findings.into_iter().chain(settled.told).collect();
    let mut findings: Vec<_> = standing
        .told(findings)
        .into_iter()
        .map(Diagnostic::or_general_remedy)
        .collect();
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    findings.dedup();
    Resolution {
        model: settled.model,
        objects: settled.objects,
        findings,
        standing,
        #[cfg(feature = "kubernetes")]
        flawed: settled.flawed,
        consequences: settled.consequences,
    }
}

/// What takes effect where nothing is left to replace.
struct Settled {
    model: Model,
    objects: Objects,
    told: Vec<Diagnostic>,
    consequences: Vec<Diagnostic>,
    #[cfg(feature = "kubernetes")]
    flawed: HashSet<ObjectRef>,
    /// What was taken away, is kept, and pushes out what is there now.
    in_the_way: BTreeSet<ObjectRef>,
    /// How many errors remain.
    errors: usize,
}

/// The findings are those of the first pass, on the newest versions: what follows from a
/// replacement is not the user's doing, but whatever else falls back because of it is told too.
fn settle(
    index: &Index,
    (settings, earlier): (&Settings, Before<'_>),
    newest: &Objects,
    given_up: &BTreeSet<ObjectRef>,
) -> Settled {
    let mut objects = newest.clone();
    let mut replaced = BTreeMap::new();
    let mut in_the_way = BTreeSet::new();
    let mut said = None;
    #[cfg(feature = "kubernetes")]
    let mut flawed = HashSet::new();
    // Far more passes than objects can move in: a bound, so that no set of manifests can hang it.
    let mut passes_left = 2 * (newest.len() + index.good_count()) + 2;
    loop {
        passes_left -= 1;
        let (model, findings) = model::build(&objects, settings, Some(earlier));
        #[cfg(feature = "kubernetes")]
        flawed.extend(findings.iter().flat_map(concerned).cloned());
        let pass = Pass {
            index,
            newest,
            given_up,
            objects: &objects,
            replaced: &replaced,
        };
        let fallbacks: Vec<_> = findings.iter().map(|f| pass.fallback(f)).collect();
        let pairs = || {
            let pairs = findings.iter().zip(&fallbacks);
            pairs.filter_map(|(finding, fallback)| Some((finding, fallback.as_ref()?)))
        };
        said = Some(pass.tell(said, &findings, &fallbacks));
        for (finding, fallback) in pairs() {
            let kept = |id: &&ObjectRef| replaced.get(*id) == Some(&Why::TakenAway);
            if fallback.why == Why::ToBlame {
                in_the_way.extend(finding.blame.iter().filter(kept).cloned());
            }
        }
        // Each pass moves at least one object to its last good version, or more of it, or out.
        let is_given_up = |fallback: &Fallback| matches!(fallback.outcome, Outcome::GivenUp);
        if passes_left == 0 || pairs().all(|(_, fallback)| is_given_up(fallback)) {
            let said = said.unwrap_or_default();
            return Settled {
                model,
                objects,
                told: said.told,
                consequences: said.consequences,
                #[cfg(feature = "kubernetes")]
                flawed,
                in_the_way,
                errors: findings.iter().filter(|f| f.diagnostic.is_error()).count(),
            };
        }
        for (fallback, finding) in fallbacks.into_iter().zip(findings) {
            if let Some(fallback) = fallback {
                fallback.take_effect(&finding, &mut objects, &mut replaced);
            }
        }
    }
}

/// The objects that a finding names.
#[cfg(feature = "kubernetes")]
fn concerned(finding: &Finding) -> impl Iterator<Item = &ObjectRef> {
    finding.diagnostic.object.iter().chain(&finding.blame)
}

/// What is told, and of whose fallback it was.
#[derive(Default)]
struct Said {
    told: Vec<Diagnostic>,
    consequences: Vec<Diagnostic>,
    of: BTreeSet<ObjectRef>,
}

/// The findings that are the user's doing, with what becomes of other objects because of them; and what follows from
/// them.
fn told(mut refused: Refused, findings: &[Finding], fallbacks: &[Option<Fallback>]) -> Said {
    let with_other = findings.iter().zip(fallbacks).map(|(finding, fallback)| {
        let object = finding.diagnostic.object.as_ref();
        let other = fallback.as_ref().filter(|f| object != Some(&f.id));
        (&finding.diagnostic, other)
    });
    let with_other: Vec<_> = with_other.collect();
    let others = with_other.iter().filter_map(|(_, other)| *other);
    refused.kinds.extend(others.map(|other| other.id.kind));
    let (mut told, mut consequences) = (vec![], vec![]);
    for (finding, other) in with_other {
        match other {
            Some(other) => {
                let explained = other.explain(finding.clone());
                consequences.extend(other.as_its_own(&explained));
                told.push(explained);
            }
            None if follows(finding.code, &refused) => consequences.push(finding.clone()),
            None => told.push(finding.clone()),
        }
    }
    Said {
        told,
        consequences,
        of: BTreeSet::new(),
    }
}

/// Whether a finding of this kind may be there only because objects of these kinds were refused.
/// One mistake is said once.
fn follows(code: Code, refused: &Refused) -> bool {
    let absent: &[Kind] = match code {
        Code::UnknownHost | Code::UnknownPort => {
            &[Kind::ServiceEntry, Kind::Service, Kind::ApplicationProtocol]
        }
        Code::UnknownProtocol => &[Kind::ApplicationProtocol],
        Code::UnknownSubset | Code::LocalityInactive => &[Kind::DestinationRule],
        Code::UnknownGateway | Code::NoMatchingServer => {
            &[Kind::Gateway, Kind::KubernetesGateway, Kind::ServiceEntry]
        }
        Code::UnknownSecret => &[Kind::Secret],
        Code::EmptySubset | Code::NoEndpoints => &[Kind::WorkloadEntry, Kind::ServiceEntry],
        _ => return false,
    };
    refused.unnamed || absent.iter().any(|kind| refused.kinds.contains(kind))
}

/// An object that does not take effect as it is now.
struct Fallback {
    id: ObjectRef,
    outcome: Outcome,
    why: Why,
    is_deleted: bool,
}

enum Outcome {
    /// Its last good version, or a part of it.
    Stays(Arc<Object>),
    /// It is left out.
    Refused,
    /// What it was would push out what is there now.
    GivenUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    ToBlame,
    TakenAway,
}

/// What a pass looks at.
struct Pass<'a> {
    index: &'a Index,
    newest: &'a Objects,
    given_up: &'a BTreeSet<ObjectRef>,
    objects: &'a Objects,
    /// What earlier passes replaced.
    replaced: &'a BTreeMap<ObjectRef, Why>,
}

impl Pass<'_> {
    /// What is told after it; what was told before is nothing yet after the first one.
    fn tell(
        &self,
        before: Option<Said>,
        findings: &[Finding],
        fallbacks: &[Option<Fallback>],
    ) -> Said {
        let is_first = before.is_none();
        let mut said = before.unwrap_or_else(|| told(self.index.refused(), findings, fallbacks));
        let pairs = findings.iter().zip(fallbacks);
        let pairs = pairs.filter_map(|(finding, fallback)| Some((finding, fallback.as_ref()?)));
        let mut of = said.of.clone();
        for (finding, fallback) in pairs {
            of.insert(fallback.id.clone());
            if is_first || said.of.contains(&fallback.id) || self.is_said(finding, fallback) {
                continue;
            }
            let explained = fallback.explain(finding.diagnostic.clone());
            said.consequences.extend(fallback.as_its_own(&explained));
            said.told.push(explained);
        }
        said.of = of;
        said
    }

    /// Whether it follows from what was refused without an earlier version, which is told.
    fn is_said(&self, finding: &Finding, fallback: &Fallback) -> bool {
        let gone = self.replaced.keys();
        let gone = gone.filter(|id| !self.objects.contains_key(id));
        let mut absent = self.index.refused();
        absent.kinds.extend(gone.map(|id| id.kind));
        matches!(fallback.outcome, Outcome::Refused) && follows(finding.diagnostic.code, &absent)
    }

    /// What mends a finding: the first object to blame that was changed, else what was taken away
    /// from an object in force.
    fn fallback(&self, finding: &Finding) -> Option<Fallback> {
        let mut changed = finding.blame.iter().filter(|id| {
            let object = self.objects.get(id);
            let is_changed = |o: &Arc<Object>| {
                let good = self.index.last_good(id);
                !self.index.is_in_force(o) && !asks_for_tls(o, good.as_deref())
            };
            // Left out, a RedisService would leave its server to whoever comes: it stays, and the
            // model serves nobody. A port of an unknown protocol is not opened; that is no reason to close others.
            let stays = matches!(
                finding.diagnostic.code,
                Code::UnknownSecret | Code::SecretNotPermitted | Code::UnknownProtocol
            ) && self.index.last_good(id).is_none();
            !self.replaced.contains_key(*id) && !stays && object.is_some_and(is_changed)
        });
        let blamed = changed.next().map(|id| Fallback {
            id: id.clone(),
            outcome: self
                .index
                .last_good(id)
                .map_or(Outcome::Refused, Outcome::Stays),
            why: Why::ToBlame,
            is_deleted: false,
        });
        let taken_away = self.taken_away(finding);
        // A new rule of a host is not to blame for subsets that went with a deleted one.
        if finding.diagnostic.code == Code::UnknownSubset
            && taken_away.as_ref().is_some_and(|t| t.is_deleted)
        {
            return taken_away;
        }
        blamed.or(taken_away)
    }

    fn taken_away(&self, finding: &Finding) -> Option<Fallback> {
        if finding.needs.is_empty() {
            return None;
        }
        let earlier = self
            .index
            .good()
            .filter(|good| match self.objects.get(&good.id) {
                Some(now) => !now.is_same(good) && !asks_for_tls(now, Some(good)),
                // To delete the file of a Gateway is to close its servers.
                None => {
                    !matches!(good.id.kind, Kind::Gateway | Kind::KubernetesGateway)
                        || self.index.has_source(good)
                }
            });
        let mut earlier =
            earlier.filter(|good| finding.needs.iter().any(|need| need.is_met_by(good)));
        earlier.find_map(|good| {
            let is_deleted = !self.newest.contains_key(&good.id);
            let is_given_up = self.given_up.contains(&good.id);
            let needs = is_deleted.then_some(&*finding.needs);
            let was = self.replaced.contains_key(&good.id);
            let part = part::of(good, needs, was, self.objects)?;
            let now = self.objects.get(&good.id);
            if now.is_some_and(|now| now.is_same(&part)) {
                return None;
            }
            Some(Fallback {
                id: good.id.clone(),
                outcome: match is_given_up {
                    true => Outcome::GivenUp,
                    false => Outcome::Stays(good.clone()),
                },
                why: Why::TakenAway,
                is_deleted,
            })
        })
    }
}

/// To go back behind a wish for TLS would be to dial, or to serve, in plaintext.
fn asks_for_tls(now: &Object, good: Option<&Object>) -> bool {
    match (&now.spec, good.map(|good| &good.spec)) {
        (Spec::DestinationRule(rule), _) => rule.asks_for_tls(),
        (Spec::Gateway(now), Some(Spec::Gateway(good))) => now.encrypts_more_than(good),
        (Spec::KubernetesGateway(now), Some(Spec::KubernetesGateway(good))) => {
            now.encrypts_more_than(good)
        }
        _ => false,
    }
}

impl Fallback {
    /// Puts what was in force in the place of what is there now.
    fn take_effect(
        self,
        finding: &Finding,
        objects: &mut Objects,
        replaced: &mut BTreeMap<ObjectRef, Why>,
    ) {
        match self.outcome {
            Outcome::GivenUp => return,
            Outcome::Refused => drop(objects.remove(&self.id)),
            Outcome::Stays(good) => {
                let was = replaced.contains_key(&self.id);
                let needs = self.is_deleted.then_some(&*finding.needs);
                if let Some(part) = part::of(&good, needs, was, objects) {
                    objects.insert(self.id.clone(), part);
                }
            }
        }
        replaced.entry(self.id).or_insert(self.why);
    }

    /// The finding, with what becomes of the object that is not the one that it is about.
    fn explain(&self, mut finding: Diagnostic) -> Diagnostic {
        finding.severity = Severity::Error;
        finding.message = format!("{}; {self}", finding.message);
        match finding.code {
            // A conflict, not something that is missing.
            Code::DuplicateHost
            | Code::AddressInUse
            | Code::HiddenRouter
            | Code::SecondRedisService => finding,
            _ => finding.remedy("first change what names it, or bring back what was there"),
        }
    }

    /// A finding on another object as one on this; none where it is one.
    fn as_its_own(&self, explained: &Diagnostic) -> Option<Diagnostic> {
        let object = explained
            .object
            .as_ref()
            .filter(|object| **object != self.id)?;
        let mut own = explained.clone();
        own.message = format!("{object}: {}", explained.message);
        own.object = Some(self.id.clone());
        Some(own)
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.id;
        match (&self.outcome, self.is_deleted) {
            (Outcome::GivenUp, true) => write!(
                f,
                "{id} was deleted, and does not stay: it conflicts with what is there now"
            ),
            (Outcome::GivenUp, false) => write!(
                f,
                "{id} takes effect as it is: what it was conflicts with what is there now"
            ),
            (_, true) => write!(f, "{id} was deleted, and stays in force while it is needed"),
            (Outcome::Stays(_), false) => {
                write!(f, "{id} stays in force as it was before its last change")
            }
            (Outcome::Refused, false) => write!(f, "{id} is refused"),
        }
    }
}

#[cfg(test)]
mod tests;
