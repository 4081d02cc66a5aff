//! Policies at the pods of a service that ask who a client is: they ask the waypoint.

use std::fmt;

use meltemi_policy::authorization::{Action, Clause, Condition, Patterns, Policy, Rule, Subject};
use serde::Serialize;

use super::asking::Asking;
use super::place;
use crate::manifest::{AuthorizationPolicy, Kind, Object, Spec, Targets};

/// A policy at the pods of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenPolicy {
    pub policy: String,
    /// Where it stands.
    pub place: String,
    pub action: &'static str,
    pub effect: Effect,
    pub remedy: String,
}

/// What becomes of the connections that come through the waypoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// They are refused, whoever the client is.
    Refuses,
    /// It hangs on addresses, ports or pods that are not known here.
    MayRefuse,
    /// They pass, whoever the client is.
    LetsPass,
    /// The policy is not one that can be read here.
    Unknown,
}

/// What is known of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Truth {
    No,
    Maybe,
    Yes,
}

/// A policy that is at the pods of a service.
pub(super) struct AtPods<'a> {
    object: &'a Object,
    pub(super) policy: &'a AuthorizationPolicy,
    /// At all of them, or at some, or perhaps.
    pub(super) reach: Truth,
}

/// Those at the pods, whatever they ask for.
pub(super) fn at_pods<'a>(asking: &Asking<'a>) -> Vec<AtPods<'a>> {
    let policies = asking.objects.of_kind(Kind::AuthorizationPolicy);
    let at_pods = policies.filter_map(|object| {
        let Spec::AuthorizationPolicy(policy) = &object.spec else {
            return None;
        };
        let Targets::Workloads(labels) = &policy.targets else {
            return None;
        };
        let namespace = &*object.id.namespace;
        let is_near = *namespace == *asking.service.namespace;
        if !is_near && *namespace != *asking.root_namespace {
            return None;
        }
        let reach = asking.is_selected(labels);
        (reach > Truth::No).then_some(AtPods {
            object,
            policy,
            reach,
        })
    });
    at_pods.collect()
}

/// Those that ask who a client is, and not for the waypoint alone.
pub(super) fn policies(asking: &Asking<'_>) -> Vec<SeenPolicy> {
    let at_pods = at_pods(asking);
    let allowing = at_pods
        .iter()
        .filter(|it| it.policy.policy.action == Action::Allow);
    let allowing = allowing.filter(|it| !it.policy.is_closed);
    let admitted = allowing.map(|it| matches(&it.policy.policy, asking).min(it.reach));
    let admitted = admitted.max().unwrap_or(Truth::Yes);
    let asks = at_pods.iter().filter(|it| {
        let policy = &it.policy.policy;
        it.policy.is_closed || (asks_for_clients(policy) && !is_for_waypoint(policy, asking))
    });
    asks.map(|it| it.seen(asking, admitted)).collect()
}

impl AtPods<'_> {
    fn seen(&self, asking: &Asking<'_>, admitted: Truth) -> SeenPolicy {
        let policy = &self.policy.policy;
        let refused = match policy.action {
            Action::Allow => admitted.not(),
            Action::Deny => matches(policy, asking).min(self.reach),
            Action::Audit => Truth::No,
        };
        let effect = match refused {
            _ if self.policy.is_closed => Effect::Unknown,
            Truth::Yes => Effect::Refuses,
            Truth::Maybe => Effect::MayRefuse,
            Truth::No => Effect::LetsPass,
        };
        let (action, remedy) = match policy.action {
            _ if self.policy.is_closed => ("?", "say it of the service: ".to_owned()),
            Action::Allow if refused > Truth::No => {
                let identity = asking.identity();
                let remedy =
                    format!("admit {identity} beside them, and say whom the service admits: ");
                ("ALLOW", remedy)
            }
            Action::Allow => ("ALLOW", "say whom the service admits: ".to_owned()),
            Action::Deny => ("DENY", "say whom the service denies: ".to_owned()),
            Action::Audit => ("AUDIT", "say whom the service counts: ".to_owned()),
        };
        let service = &asking.service.source.id;
        SeenPolicy {
            policy: self.object.id.to_string(),
            place: place(self.object),
            action,
            effect,
            remedy: format!(
                "{remedy}a policy with `targetRefs` to {} {}",
                service.kind, service.name
            ),
        }
    }
}

impl Truth {
    const fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Truth {
    fn from(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }
}

fn asks_for_clients(policy: &Policy) -> bool {
    let mut conditions = policy.conditions();
    policy.asks_for_identity() || conditions.any(|it| matches!(it.subject, Subject::Address(_)))
}

/// Whether one of its rules matches what comes through the waypoint.
fn matches(policy: &Policy, asking: &Asking<'_>) -> Truth {
    let rules = policy.rules.iter();
    let rules = rules.map(|rule| {
        let clauses = rule.clauses.iter().map(|clause| {
            let alternatives = clause.any.iter().map(|all| {
                let all = all.iter().map(|it| holds(it, policy.action, asking));
                all.min().unwrap_or(Truth::Yes)
            });
            alternatives.max().unwrap_or(Truth::No)
        });
        clauses.min().unwrap_or(Truth::Yes)
    });
    rules.max().unwrap_or(Truth::No)
}

fn holds(condition: &Condition, action: Action, asking: &Asking<'_>) -> Truth {
    let is_so = match &condition.subject {
        Subject::Principal(_) | Subject::ServiceAccount(_) | Subject::Namespace(_) => {
            Truth::from(is_like(&condition.subject, asking))
        }
        // Those that the pods of the waypoint get.
        Subject::Address(_) => Truth::Maybe,
        Subject::Port(ports) => {
            let listened = asking.listened();
            let named = listened.iter().filter(|it| ports.contains(it)).count();
            match named {
                0 if !listened.is_empty() => Truth::No,
                _ if named == listened.len() && named > 0 => Truth::Yes,
                _ => Truth::Maybe,
            }
        }
        // Pods are not asked for it: what allows never holds, what denies is without it.
        Subject::Attribute(..) => return Truth::from(action == Action::Deny),
    };
    if condition.invert { is_so.not() } else { is_so }
}

/// Whether the waypoint is one of those.
fn is_like(subject: &Subject, asking: &Asking<'_>) -> bool {
    let gateway = &asking.waypoint.gateway.id;
    match subject {
        Subject::Principal(patterns) => {
            let mut identities = asking.identities.iter();
            identities.any(|it| patterns.matches(it.as_bytes()))
        }
        Subject::ServiceAccount(patterns) => patterns.matches(account(asking).as_bytes()),
        Subject::Namespace(patterns) => patterns.matches(gateway.namespace.as_bytes()),
        Subject::Address(_) | Subject::Port(_) | Subject::Attribute(..) => false,
    }
}

fn account(asking: &Asking<'_>) -> String {
    let gateway = &asking.waypoint.gateway.id;
    format!("{}/{}", gateway.namespace, gateway.name)
}

/// Whether it admits nobody but the waypoint, or denies everybody else: that is how it should be.
pub(super) fn is_for_waypoint(policy: &Policy, asking: &Asking<'_>) -> bool {
    let names = |condition: &Condition, invert: bool| {
        condition.invert == invert && is_waypoint(&condition.subject, asking)
    };
    match policy.action {
        Action::Allow => policy.rules.iter().all(|rule| {
            let mut clauses = rule.clauses.iter();
            clauses.any(|it| each_has(it, |condition| names(condition, false)))
        }),
        Action::Deny => {
            let denies_others = |rule: &Rule| {
                let mut clauses = rule.clauses.iter();
                let others =
                    |all: &Vec<Condition>| matches!(all.as_slice(), [it] if names(it, true));
                clauses.all(|clause| clause.any.iter().any(others))
            };
            !policy.rules.is_empty() && policy.rules.iter().all(denies_others)
        }
        Action::Audit => false,
    }
}

fn each_has(clause: &Clause, is_it: impl Fn(&Condition) -> bool) -> bool {
    clause.any.iter().all(|all| all.iter().any(&is_it))
}

/// Whether it is the waypoint and nobody else.
fn is_waypoint(subject: &Subject, asking: &Asking<'_>) -> bool {
    let account = account(asking);
    let (patterns, is_it): (&Patterns, &dyn Fn(&String) -> bool) = match subject {
        Subject::Principal(patterns) => (patterns, &|it| asking.identities.contains(it)),
        Subject::ServiceAccount(patterns) => (patterns, &|it| *it == account),
        _ => return false,
    };
    patterns.texts().all(|it| is_it(&it))
}

impl fmt::Display for SeenPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            policy,
            place,
            action,
            remedy,
            ..
        } = self;
        let then = match (self.effect, *action) {
            (Effect::Refuses, "ALLOW") => {
                "no policy admits the waypoint: all that comes through it is refused"
            }
            (Effect::Refuses, _) => "it denies the waypoint: all that comes through it is refused",
            (Effect::MayRefuse, _) => {
                "it may refuse what comes through the waypoint: that hangs on addresses, ports or pods"
            }
            (Effect::LetsPass, "ALLOW") => {
                "the waypoint is admitted, and so is every client that comes through it"
            }
            (Effect::LetsPass, "DENY") => {
                "it does not deny the waypoint: whom it denies comes through it"
            }
            (Effect::LetsPass, _) => "it counts the waypoint, and no client that comes through it",
            (Effect::Unknown, _) => {
                "it is not one that is read here: whomever it asks, it is the waypoint"
            }
        };
        write!(
            f,
            "    {policy} ({place}), {action}: {then}\n      = {remedy}"
        )
    }
}
