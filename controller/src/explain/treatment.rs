//! What a rule does with a request besides sending it somewhere.

use std::time::Duration;

use meltemi_policy::RouteTable;
use meltemi_policy::explain::{
    Asked, Concurrency, Entry, FaultShare, GloballyLimited, Hedged, Limited, MirrorShare, Mutated,
    Removed, Retried, Treatment, WorstCase, seconds,
};
use meltemi_policy::retry::Bounds;

use super::Attribute;
use crate::manifest::{Mutation, RouteFault};
use crate::model::{Alternative, Fault, GlobalRateLimit, Model, RateLimit, Rule, Server};

pub(super) fn of(
    rule: &Rule,
    server: &Server,
    model: &Model,
    (attributes, asked): (&[Attribute], &Asked<'_>),
) -> Treatment {
    let limit = rule.global_limit.as_deref();
    let globally = limit.and_then(|limit| globally_limited(limit, model, asked));
    let faults = server.policy.faults.iter();
    let faults: Vec<_> = faults.filter(|it| concerns(it, attributes)).collect();
    let is_asked = globally.as_ref().is_some_and(|it| it.missing.is_empty());
    let bounds = bounds(rule, limit.filter(|_| is_asked), &faults);
    let retries = rule.retries.as_ref();
    let removed = rule.remove_prefix.as_ref();
    let clients = &server.policy.clients;
    let shares = faults
        .iter()
        .map(|fault| FaultShare::of(fault.percentage, fault.delay, fault.error.as_deref()));
    Treatment {
        remove_prefix: removed.map(|it| Removed::of(&it.attribute, &it.prefix, asked)),
        policy_of: policy_of(rule),
        timeout: rule.timeout.map(seconds),
        retries: retries.map(|retries| {
            let on = retries.on.iter().map(|on| on.name()).collect();
            let idempotent_only = !retries.non_idempotent && !rule.idempotent;
            Retried::of(&bounds, on, idempotent_only)
        }),
        hedge: rule.hedge.map(|delay| Hedged {
            delay: seconds(delay),
            idempotent_only: !rule.idempotent,
        }),
        worst_case: Some(WorstCase::of(&bounds)),
        rate_limit: rule.limit.as_ref().and_then(|it| limited(it, asked)),
        max_requests: rule.circuit_breaker.as_ref().map(|it| it.max_requests),
        unanswered: None,
        max_connection_duration: clients.longest.map(seconds),
        client_idle_timeout: clients.idle.map(seconds),
        global_rate_limit: globally,
        adaptive_concurrency: rule.adaptive_concurrency.as_ref().map(|it| Concurrency {
            least: it.min_rtt.min_concurrency,
            most: it.max_concurrency_limit,
            limit: None,
            under_way: None,
        }),
        faults: shares.chain(rule.fault.iter().flat_map(of_route)).collect(),
        mirrors: mirrors(rule, model),
        request_mutation: mutated(&rule.request_mutation, asked),
        response_mutation: mutated(&rule.response_mutation, asked),
    }
}

/// Kept by whoever is asked about it, and by one of those who delay it.
fn bounds(rule: &Rule, limit: Option<&GlobalRateLimit>, faults: &[&Fault]) -> Bounds {
    let delays = faults.iter().filter(|fault| fault.percentage > 0.0);
    let delays = delays.filter_map(|fault| fault.delay);
    let own = rule.fault.as_ref().and_then(|it| it.delay.as_ref());
    let own = own.filter(|delay| delay.percentage > 0.0);
    let longest = delays.chain(own.map(|delay| delay.fixed)).max();
    let kept = longest.into_iter().chain(limit.map(|limit| limit.timeout));
    let retries = rule.retries.as_ref();
    Bounds {
        attempts: retries.map_or(0, |it| it.attempts),
        per_try_timeout: retries.and_then(|it| it.per_try_timeout),
        backoff: retries.map(|it| it.backoff).unwrap_or_default(),
        hedge: rule.hedge,
        kept: kept.fold(Duration::ZERO, Duration::saturating_add),
        timeout: rule.timeout,
    }
}

fn policy_of(rule: &Rule) -> Option<String> {
    let (object, number) = rule.treated_by.as_ref()?;
    let (namespace, name) = (&object.id.namespace, &object.id.name);
    let route = number.map(|number| format!(", route {}", number + 1));
    let route = route.unwrap_or_default();
    Some(format!("MetaRouter {namespace}/{name}{route}"))
}

/// None: the request is not limited.
fn limited(limit: &RateLimit, asked: &Asked<'_>) -> Option<Limited> {
    let conditions = limit.conditions.iter();
    let rules = conditions.map(|it| (Alternative::possible(&it.alternatives), it.bucket));
    let table = RouteTable::new(rules).ok()?;
    Some(match asked.met(&table) {
        Some((number, bucket)) => Limited::of(&limit.name, Some(number + 1), *bucket),
        None => Limited::of(&limit.name, None, limit.default?),
    })
}

/// None: the request is not covered.
fn globally_limited(
    limit: &GlobalRateLimit,
    model: &Model,
    asked: &Asked<'_>,
) -> Option<GloballyLimited> {
    let table = RouteTable::new([(Alternative::possible(&limit.alternatives), ())]).ok()?;
    asked.met(&table)?;
    let entries = limit.entries.iter();
    let entries = entries.map(|(property, key)| (property.as_str(), key.as_str()));
    let (descriptor, missing) = Entry::all(entries, asked);
    Some(GloballyLimited {
        limit: limit.name.clone(),
        cluster: limit.cluster.to_string(),
        exists: model.clusters.contains_key(&limit.cluster),
        domain: limit.domain.clone(),
        descriptor,
        missing,
        timeout: seconds(limit.timeout),
        deny_on_fail: limit.deny_on_fail,
    })
}

fn mirrors(rule: &Rule, model: &Model) -> Vec<MirrorShare> {
    let mirrors = rule.mirrors.iter().map(|mirror| MirrorShare {
        cluster: mirror.cluster.to_string(),
        percentage: mirror.percentage,
        exclude_idempotent: mirror.exclude_idempotent,
        exists: model.clusters.contains_key(&mirror.cluster),
    });
    mirrors.collect()
}

fn mutated(mutations: &[Mutation], asked: &Asked<'_>) -> Vec<Mutated> {
    let mutations = mutations.iter().map(|mutation| {
        let value = mutation.value.as_ref().map(|value| &value.template);
        Mutated::of(&mutation.key.value, value, asked)
    });
    mutations.collect()
}

/// Of which a request may have both.
fn of_route(fault: &RouteFault) -> impl Iterator<Item = FaultShare> {
    let delay = fault.delay.as_ref();
    let delay = delay.map(|delay| FaultShare::of(delay.percentage, Some(delay.fixed), None));
    let abort = fault.abort.as_ref();
    let abort =
        abort.map(|abort| FaultShare::of(abort.percentage, None, Some(abort.status.name())));
    delay.into_iter().chain(abort)
}

/// Whether some attribute's value is one of the fault's operations: which attribute that is, the
/// plugin knows.
fn concerns(fault: &Fault, attributes: &[Attribute]) -> bool {
    let mut values = attributes.iter().map(|a| a.value.to_ascii_lowercase());
    fault.operations.is_empty() || values.any(|value| fault.operations.contains(&value))
}
