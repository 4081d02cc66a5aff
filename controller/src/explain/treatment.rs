//! What a route does with a request besides sending it somewhere.

use std::borrow::Cow;
use std::time::Duration;

use meltemi_policy::retry::Bounds;
use serde::Serialize;

use super::source::Source;
use super::{Attribute, GloballyLimited, Limited};
use crate::manifest::{Mutation, Retries, RouteFault};
use crate::model::{Fault, Model, RemovePrefix, Rule, Server};

/// Nothing of it is there unless a rule asks for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Treatment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_prefix: Option<Removed>,
    /// The MetaRouter and the number of its route that say so, where another object says where the
    /// request goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_of: Option<String>,
    /// How long an answer is waited for, such as `1.5s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<Hedged>,
    /// The bucket that the request takes a token from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Limited>,
    /// How many requests of the route may be unanswered at a time, of all workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u32>,
    /// How long its client may stay, and may be silent, such as `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connection_duration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_idle_timeout: Option<String>,
    /// What a rate limit service is asked about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_rate_limit: Option<GloballyLimited>,
    /// How many requests may be under way with it: each worker finds it between these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_concurrency: Option<Concurrency>,
    /// Those that are for this request, as far as its attributes tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultShare>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<MirrorShare>,
    /// What is changed in the request before it is sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_mutation: Vec<Mutated>,
    /// What is changed in its answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_mutation: Vec<Mutated>,
}

/// A change of one key of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mutated {
    pub key: String,
    /// What its value becomes; none: it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Nothing happens, since what the value is made of is empty or absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

/// When a request is sent again, and what it may come to at worst.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retried {
    /// Of the first sending and its repetitions.
    pub attempts: u32,
    pub on: Vec<&'static str>,
    /// Whether only requests are repeated of which the protocol says that it does no harm.
    pub idempotent_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<String>,
    /// How long a client waits at worst, as far as that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest: Option<String>,
}

/// When another endpoint is asked, although the first may still answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hedged {
    /// How long the first is asked alone, such as `50ms`.
    pub delay: String,
    /// Whether it happens only to requests of which the protocol says that it does no harm.
    pub idempotent_only: bool,
}

/// A prefix that is taken off an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    pub attribute: String,
    pub prefix: String,
    /// What is left of the value that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultShare {
    /// Percent of these requests.
    pub percentage: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MirrorShare {
    pub cluster: String,
    /// Percent of the requests.
    pub percentage: f64,
    pub exclude_idempotent: bool,
    /// Whether there is such a cluster; otherwise nothing is copied.
    pub exists: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Concurrency {
    /// Of each worker.
    pub least: u32,
    /// Of all.
    pub most: u32,
}

impl Treatment {
    pub(super) fn of(
        rule: &Rule,
        server: &Server,
        model: &Model,
        (attributes, source): (&[Attribute], Source<'_>),
    ) -> Self {
        let removed = rule.remove_prefix.as_ref();
        let faults = server.policy.faults.iter();
        let mirrors = rule.mirrors.iter().map(|mirror| MirrorShare {
            cluster: mirror.cluster.to_string(),
            percentage: mirror.percentage,
            exclude_idempotent: mirror.exclude_idempotent,
            exists: model.clusters.contains_key(&mirror.cluster),
        });
        Self {
            remove_prefix: removed.map(|removed| Removed::of(removed, attributes)),
            policy_of: rule.treated_by.as_ref().map(|(object, number)| {
                let (namespace, name) = (&object.id.namespace, &object.id.name);
                let route = number.map(|number| format!(", route {}", number + 1));
                format!("MetaRouter {namespace}/{name}{}", route.unwrap_or_default())
            }),
            timeout: rule.timeout.map(seconds),
            retries: rule.retries.as_ref().map(|it| Retried::of(it, rule)),
            hedge: rule.hedge.map(|delay| Hedged {
                delay: seconds(delay),
                idempotent_only: !rule.idempotent,
            }),
            rate_limit: rule
                .limit
                .as_ref()
                .and_then(|limit| Limited::of(limit, attributes, source)),
            max_requests: rule.circuit_breaker.as_ref().map(|it| it.max_requests),
            max_connection_duration: server.policy.clients.longest.map(seconds),
            client_idle_timeout: server.policy.clients.idle.map(seconds),
            global_rate_limit: rule
                .global_limit
                .as_ref()
                .and_then(|limit| GloballyLimited::of(limit, model, (attributes, source))),
            adaptive_concurrency: rule.adaptive_concurrency.as_ref().map(|it| Concurrency {
                least: it.min_rtt.min_concurrency,
                most: it.max_concurrency_limit,
            }),
            faults: faults
                .filter(|fault| concerns(fault, attributes))
                .map(FaultShare::of)
                .chain(rule.fault.iter().flat_map(FaultShare::of_route))
                .collect(),
            mirrors: mirrors.collect(),
            request_mutation: Mutated::all(&rule.request_mutation, attributes),
            response_mutation: Mutated::all(&rule.response_mutation, attributes),
        }
    }
}

impl Retried {
    fn of(retries: &Retries, rule: &Rule) -> Self {
        let bounds = Bounds {
            attempts: retries.attempts,
            per_try_timeout: retries.per_try_timeout,
            backoff: retries.backoff,
            timeout: rule.timeout,
        };
        Self {
            attempts: bounds.tries(),
            on: retries.on.iter().map(|on| on.name()).collect(),
            idempotent_only: !retries.non_idempotent && !rule.idempotent,
            per_try_timeout: retries.per_try_timeout.map(seconds),
            longest: bounds.longest().map(seconds),
        }
    }
}

impl Mutated {
    fn all(mutations: &[Mutation], attributes: &[Attribute]) -> Vec<Self> {
        let asked = |name: &String| {
            let found = attributes.iter().find(|a| a.name == *name)?;
            Some(Cow::Borrowed(found.value.as_bytes()))
        };
        let mutated = mutations.iter().map(|mutation| {
            let value = mutation.value.as_ref();
            let value = value.map(|value| value.template.render(asked));
            Self {
                key: mutation.key.value.clone(),
                skipped: value.as_ref().is_some_and(String::is_empty),
                value,
            }
        });
        mutated.collect()
    }
}

impl Removed {
    fn of(removed: &RemovePrefix, attributes: &[Attribute]) -> Self {
        let value = attributes.iter().find(|a| a.name == removed.attribute);
        let sent = value.and_then(|a| a.value.get(removed.prefix.len()..));
        Self {
            attribute: removed.attribute.clone(),
            prefix: removed.prefix.clone(),
            sent: sent.map(str::to_owned),
        }
    }
}

impl FaultShare {
    /// Of which a request may have both.
    fn of_route(fault: &RouteFault) -> impl Iterator<Item = Self> {
        let delay = fault.delay.as_ref().map(|delay| Self {
            percentage: delay.percentage,
            delay: Some(seconds(delay.fixed)),
            error: None,
        });
        let abort = fault.abort.as_ref().map(|abort| Self {
            percentage: abort.percentage,
            delay: None,
            error: Some(abort.status.name().to_owned()),
        });
        delay.into_iter().chain(abort)
    }

    fn of(fault: &Fault) -> Self {
        Self {
            percentage: fault.percentage,
            delay: fault.delay.map(seconds),
            error: fault.error.clone(),
        }
    }
}

/// Whether some attribute's value is one of the fault's operations: which attribute that is, the
/// plugin knows.
fn concerns(fault: &Fault, attributes: &[Attribute]) -> bool {
    let mut values = attributes.iter().map(|a| a.value.to_ascii_lowercase());
    fault.operations.is_empty() || values.any(|value| fault.operations.contains(&value))
}

/// As protobuf's JSON writes it.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}
