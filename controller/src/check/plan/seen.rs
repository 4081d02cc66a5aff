//! Policies at the pods of a service that ask who a client is: they ask the waypoint.

use std::collections::BTreeSet;
use std::fmt;

use meltemi_policy::authorization::{Action, Condition, Policy, Subject};
use serde::Serialize;

use super::asking::Asking;
use super::place;
use crate::manifest::{AuthorizationPolicy, Kind, Object, Spec, Targets};
use crate::model::{Port, Reach};

/// A policy at the pods of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenPolicy {
    pub policy: String,
    /// Where it stands.
    pub place: String,
    pub action: &'static str,
    pub effect: Effect,
    /// Whom sidecars lead to the Gateway is asked there, too, whoever comes to the pods then.
    pub asked_before: bool,
    /// Empty where there is nothing to do.
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
enum Truth {
    No,
    Maybe,
    Yes,
}

/// A policy that is at the pods of a service.
pub(super) struct AtPods<'a> {
    object: &'a Object,
    pub(super) policy: &'a AuthorizationPolicy,
    pub(super) reach: Reach,
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
        let namespaces = (&*object.id.namespace, asking.root_namespace);
        let reach = asking.service.reach(namespaces, labels);
        (reach > Reach::None).then_some(AtPods {
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
    let admitted = allowing.map(|it| matches(&it.policy.policy, asking).min(it.reach.into()));
    let admitted = admitted.max().unwrap_or(Truth::Yes);
    let asks = at_pods.iter().filter(|it| {
        let policy = &it.policy.policy;
        it.policy.is_closed || (asks_for_clients(policy) && !asking.waypoint.hop.is_all_of(policy))
    });
    asks.map(|it| it.seen(asking, admitted)).collect()
}

impl AtPods<'_> {
    fn seen(&self, asking: &Asking<'_>, admitted: Truth) -> SeenPolicy {
        let policy = &self.policy.policy;
        let refused = match policy.action {
            Action::Allow => admitted.not(),
            Action::Deny => matches(policy, asking).min(self.reach.into()),
            Action::Audit => Truth::No,
        };
        let effect = match refused {
            _ if self.policy.is_closed => Effect::Unknown,
            Truth::Yes => Effect::Refuses,
            Truth::Maybe => Effect::MayRefuse,
            Truth::No => Effect::LetsPass,
        };
        let action = match policy.action {
            _ if self.policy.is_closed => "?",
            Action::Allow => "ALLOW",
            Action::Deny => "DENY",
            Action::Audit => "AUDIT",
        };
        let asked_before = asking.waypoint.sidecars.is_some();
        SeenPolicy {
            policy: self.object.id.to_string(),
            place: place(self.object),
            action,
            effect,
            asked_before,
            remedy: match asked_before {
                true => remedy_behind_gateway(effect, action, asking),
                false => remedy(effect, action, asking),
            },
        }
    }
}

fn remedy(effect: Effect, action: &str, asking: &Asking<'_>) -> String {
    let refuses = matches!(effect, Effect::Refuses | Effect::MayRefuse);
    let first = match action {
        "ALLOW" if refuses => {
            let identity = asking.identity();
            &format!("admit {identity} beside them, and say whom the service admits")
        }
        "ALLOW" => "say whom the service admits",
        "DENY" => "say whom the service denies",
        "AUDIT" => "say whom the service counts",
        _ => "say it of the service",
    };
    let service = &asking.service.source.id;
    let (kind, name) = (service.kind, &service.name);
    format!("{first}: a policy with `targetRefs` to {kind} {name}")
}

/// Where clients are asked the same before.
fn remedy_behind_gateway(effect: Effect, action: &str, asking: &Asking<'_>) -> String {
    let identity = match asking.identity() {
        "" => "the account of the Gateway's proxies",
        known => known,
    };
    match (effect, action) {
        (Effect::Refuses | Effect::MayRefuse, "ALLOW") => format!("admit {identity} beside them"),
        (Effect::Refuses | Effect::MayRefuse, _) => format!("except {identity} from it"),
        (Effect::Unknown, _) => "write what is read here, or take it away".to_owned(),
        (Effect::LetsPass, _) => String::new(),
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

impl From<Reach> for Truth {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::None => Self::No,
            Reach::Some => Self::Maybe,
            Reach::All => Self::Yes,
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
            let hop = &asking.waypoint.hop;
            match hop.is_known() {
                true => Truth::from(hop.is_like(&condition.subject)),
                false => Truth::Maybe,
            }
        }
        // Those that the pods of the waypoint get.
        Subject::Address(_) => Truth::Maybe,
        Subject::Port(ports) => {
            let ports_of = asking.service.ports.iter();
            let listened: BTreeSet<_> = ports_of.flat_map(Port::listened).collect();
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

impl fmt::Display for SeenPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            policy,
            place,
            action,
            remedy,
            asked_before,
            ..
        } = self;
        let then = match (self.effect, *action) {
            (Effect::LetsPass, _) if *asked_before => {
                "the Gateway passes, which asks it of the client itself"
            }
            (Effect::Refuses, "ALLOW") if *asked_before => {
                "no policy admits the Gateway: all that comes through it is refused"
            }
            (Effect::Refuses, _) if *asked_before => {
                "it denies the Gateway: all that comes through it is refused"
            }
            (Effect::MayRefuse, _) if *asked_before => {
                "it may refuse what comes through the Gateway: that hangs on addresses, ports or pods"
            }
            (Effect::Unknown, _) if *asked_before => {
                "it is not one that is read here: the Gateway refuses everybody"
            }
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
        write!(f, "    {policy} ({place}), {action}: {then}")?;
        match remedy.is_empty() {
            true => Ok(()),
            false => write!(f, "\n      = {remedy}"),
        }
    }
}
