//! What a route does with a request besides sending it somewhere. What it does not do is left out.

use std::borrow::Cow;
use std::time::Duration;

use meltemi_codec::Protocol;
use meltemi_policy::retry::Bounds;
use serde_json::{Map, Value, json};

use super::limit;
use super::question::Question;
use crate::admin::Sources;
use crate::admin::dump::duration;
use crate::circuit::Circuits;
use crate::config::{
    Fault, Mirror, Mutation, RemovePrefix, RetryPolicy, Route, RouteFault, Service, Snapshot,
};

pub(super) fn of(
    route: &Route,
    question: &Question,
    (service, protocol): (&Service, &dyn Protocol),
    (sources, snapshot): (&Sources, &Snapshot),
) -> Map<String, Value> {
    let workers = &sources.acceptor.workers;
    let time = |time: Option<Duration>| time.map_or(Value::Null, duration);
    let operation = protocol.operation_attribute();
    let operation = operation.and_then(|name| question.attribute(name));
    let faults = service.faults.iter();
    let faults = faults.filter(|fault| concerns(fault, operation.unwrap_or_default()));
    let faults = faults
        .map(fault)
        .chain(route.fault.iter().flat_map(faults_of_route));
    let mirrors = route.mirrors.iter();
    let parts = [
        ("remove_prefix", removed(route, question)),
        ("timeout", time(route.timeout)),
        ("retries", retries(route)),
        ("hedge", hedge(route)),
        (
            "rate_limit",
            limit::of(route.limit.as_deref(), question, workers.buckets()),
        ),
        ("max_requests", max_requests(route)),
        ("unanswered", unanswered(route, workers.circuits())),
        (
            "max_connection_duration",
            time(service.max_connection_duration),
        ),
        ("client_idle_timeout", time(service.idle_timeout)),
        ("faults", faults.collect()),
        ("mirrors", mirrors.map(|it| mirror(it, snapshot)).collect()),
        (
            "request_mutation",
            mutations(&route.request_mutation, question),
        ),
        (
            "response_mutation",
            mutations(&route.response_mutation, question),
        ),
    ];
    let there = parts
        .into_iter()
        .filter(|(_, part)| !part.is_null() && *part != json!([]));
    there.map(|(name, part)| (name.to_owned(), part)).collect()
}

/// As the engine draws faults: by the operation, whatever its case.
fn concerns(fault: &Fault, operation: &[u8]) -> bool {
    let mut operations = fault.operations.iter();
    fault.operations.is_empty()
        || operations.any(|name| operation.eq_ignore_ascii_case(name.as_bytes()))
}

fn fault(fault: &Fault) -> Value {
    let mut shown = json!({ "percentage": fault.share.percent() });
    insert(&mut shown, "delay", fault.delay.map(duration));
    insert(&mut shown, "error", fault.error.clone().map(Value::from));
    shown
}

/// Of which a request may have both.
fn faults_of_route(fault: &RouteFault) -> impl Iterator<Item = Value> {
    let delay = fault
        .delay
        .map(|(share, delay)| json!({ "percentage": share.percent(), "delay": duration(delay) }));
    let abort = fault
        .abort
        .map(|(share, _)| json!({ "percentage": share.percent(), "error": fault.abort_word() }));
    delay.into_iter().chain(abort)
}

fn hedge(route: &Route) -> Value {
    route.hedge.map_or(
        Value::Null,
        |delay| json!({ "delay": duration(delay), "idempotent_only": !route.idempotent }),
    )
}

fn max_requests(route: &Route) -> Value {
    let breaker = route.circuit_breaker.as_ref();
    breaker.map_or(Value::Null, |it| it.max_requests.into())
}

/// How many of the requests that are bounded are under way.
fn unanswered(route: &Route, circuits: &Circuits) -> Value {
    let breaker = route.circuit_breaker.as_ref();
    breaker.map_or(Value::Null, |it| circuits.route(&it.name).in_use().into())
}

fn mirror(mirror: &Mirror, snapshot: &Snapshot) -> Value {
    json!({
        "cluster": mirror.cluster,
        "percentage": mirror.share.percent(),
        "exclude_idempotent": mirror.exclude_idempotent,
        "exists": snapshot.clusters.contains_key(&mirror.cluster),
    })
}

/// With what it comes to at worst.
fn retries(route: &Route) -> Value {
    let Some(policy) = &route.retry else {
        return Value::Null;
    };
    let RetryPolicy {
        attempts,
        per_try_timeout,
        on,
        backoff,
        non_idempotent,
    } = policy;
    let bounds = Bounds {
        attempts: *attempts,
        per_try_timeout: *per_try_timeout,
        backoff: *backoff,
        timeout: route.timeout,
    };
    let mut shown = json!({
        "attempts": bounds.tries(),
        "on": on.iter().map(|on| on.as_str()).collect::<Vec<_>>(),
        "idempotent_only": !non_idempotent && !route.idempotent,
    });
    let mut time = |name, time: Option<Duration>| insert(&mut shown, name, time.map(duration));
    time("per_try_timeout", *per_try_timeout);
    time("longest", bounds.longest());
    shown
}

fn mutations(mutations: &[Mutation], question: &Question) -> Value {
    let mutations = mutations.iter().map(|mutation| {
        let value = mutation.value.as_ref();
        let value =
            value.map(|value| value.render(|name| question.attribute(name).map(Cow::Borrowed)));
        let skipped = value.as_ref().is_some_and(String::is_empty);
        let mut shown = json!({ "key": mutation.key });
        insert(&mut shown, "value", value.map(Value::from));
        insert(&mut shown, "skipped", skipped.then_some(true.into()));
        shown
    });
    mutations.collect()
}

fn removed(route: &Route, question: &Question) -> Value {
    let Some(removed) = &route.remove_prefix else {
        return Value::Null;
    };
    let value = question.attribute(&removed.attribute);
    let sent = value.and_then(|value| without_prefix(removed, value));
    let mut shown = json!({ "attribute": removed.attribute, "prefix": removed.prefix });
    let sent = sent.map(|sent| String::from_utf8_lossy(sent).into());
    insert(&mut shown, "sent", sent);
    shown
}

/// The route's conditions say that the value begins with it, perhaps in another case.
pub(super) fn without_prefix<'v>(removed: &RemovePrefix, value: &'v [u8]) -> Option<&'v [u8]> {
    value.get(removed.prefix.len()..)
}

fn insert(shown: &mut Value, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        shown[name] = value;
    }
}
