//! What a route does with a request besides sending it somewhere.

use std::time::Duration;

use meltemi_codec::Protocol;
use meltemi_policy::RouteTable;
use meltemi_policy::explain::{
    Asked, Concurrency, Entry, FaultShare, GloballyLimited, Hedged, Limited, MirrorShare, Mutated,
    Removed, Retried, Treatment, WorstCase, seconds,
};
use meltemi_policy::retry::Bounds;

use crate::admin::Sources;
use crate::buckets::Buckets;
use crate::config::{
    Fault, GlobalRateLimit, Mutation, RateLimit, Route, RouteFault, Service, Share, Snapshot,
};
use crate::engine::WorkerStatus;

/// A route that was taken, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    pub(super) route: &'a Route,
    /// Among those of its service.
    pub(super) place: usize,
    pub(super) service: &'a Service,
    pub(super) protocol: &'a dyn Protocol,
}

/// `workers` are told where the route's limit is theirs.
pub(super) fn of(
    taken: Taken<'_>,
    asked: &Asked<'_>,
    (sources, snapshot): (&Sources, &Snapshot),
    workers: &[WorkerStatus],
) -> Treatment {
    let Taken { route, service, .. } = taken;
    let shared = &sources.acceptor.workers;
    let limit = route.global_limit.as_deref();
    let globally = limit.and_then(|limit| globally_limited(limit, snapshot, asked));
    let is_asked = globally.as_ref().is_some_and(|it| it.missing.is_empty());
    let faults = faults(taken, asked);
    let bounds = bounds(route, limit.filter(|_| is_asked), &faults);
    let breaker = route.circuit_breaker.as_ref();
    let retry = route.retry.as_ref();
    Treatment {
        remove_prefix: route
            .remove_prefix
            .as_ref()
            .map(|it| Removed::of(&it.attribute, &it.prefix, asked)),
        policy_of: None,
        timeout: route.timeout.map(seconds),
        retries: retry.map(|policy| {
            let on = policy.on.iter().map(|on| on.as_str()).collect();
            let idempotent_only = !policy.non_idempotent && !route.idempotent;
            Retried::of(&bounds, on, idempotent_only)
        }),
        hedge: route.hedge.map(|delay| Hedged {
            delay: seconds(delay),
            idempotent_only: !route.idempotent,
        }),
        worst_case: Some(WorstCase::of(&bounds)),
        rate_limit: route
            .limit
            .as_deref()
            .and_then(|limit| limited(limit, asked, shared.buckets())),
        max_requests: breaker.map(|it| it.max_requests),
        unanswered: breaker.map(|it| shared.circuits().route(&it.name).in_use()),
        max_connection_duration: service.max_connection_duration.map(seconds),
        client_idle_timeout: service.idle_timeout.map(seconds),
        global_rate_limit: globally,
        adaptive_concurrency: concurrency(taken, workers),
        faults: faults
            .iter()
            .map(|it| FaultShare::of(it.share.percent(), it.delay, it.error.as_deref()))
            .chain(route.fault.iter().flat_map(of_route))
            .collect(),
        mirrors: mirrors(route, snapshot),
        request_mutation: mutated(&route.request_mutation, asked),
        response_mutation: mutated(&route.response_mutation, asked),
    }
}

/// As the engine draws faults: by the operation, whatever its case.
fn faults<'a>(taken: Taken<'a>, asked: &Asked<'_>) -> Vec<&'a Fault> {
    let operation = taken.protocol.operation_attribute();
    let operation = operation.and_then(|name| (asked.attribute)(name));
    let operation = operation.unwrap_or_default();
    let concerns = |fault: &&Fault| {
        let mut operations = fault.operations.iter();
        fault.operations.is_empty()
            || operations.any(|name| operation.eq_ignore_ascii_case(name.as_bytes()))
    };
    taken.service.faults.iter().filter(concerns).collect()
}

/// Kept by whoever is asked about it, and by one of those who delay it.
fn bounds(route: &Route, limit: Option<&GlobalRateLimit>, faults: &[&Fault]) -> Bounds {
    let delays = faults.iter().filter(|fault| fault.share > Share::NONE);
    let delays = delays.filter_map(|fault| fault.delay);
    let own = route.fault.as_ref().and_then(|it| it.delay);
    let own = own.filter(|(share, _)| *share > Share::NONE);
    let longest = delays.chain(own.map(|(_, delay)| delay)).max();
    let kept = longest.into_iter().chain(limit.map(|limit| limit.timeout));
    let retry = route.retry.as_ref();
    Bounds {
        attempts: retry.map_or(0, |it| it.attempts),
        per_try_timeout: retry.and_then(|it| it.per_try_timeout),
        backoff: retry.map(|it| it.backoff).unwrap_or_default(),
        hedge: route.hedge,
        kept: kept.fold(Duration::ZERO, Duration::saturating_add),
        timeout: route.timeout,
    }
}

/// None: the request is not limited.
fn limited(limit: &RateLimit, asked: &Asked<'_>, buckets: &Buckets) -> Option<Limited> {
    let rules = limit.conditions.iter();
    let table = RouteTable::new(rules.map(|it| (it.matches.clone(), it))).ok()?;
    let met = asked.met(&table);
    let (covered, bucket) = match met {
        Some((_, condition)) => (condition.matches.as_slice(), condition.bucket),
        None => (&[][..], limit.default?),
    };
    let number = met.map(|(number, _)| number + 1);
    Some(Limited {
        tokens: Some(buckets.left(&limit.name, covered, bucket)),
        ..Limited::of(&limit.name, number, bucket)
    })
}

/// None: the request is not covered.
fn globally_limited(
    limit: &GlobalRateLimit,
    snapshot: &Snapshot,
    asked: &Asked<'_>,
) -> Option<GloballyLimited> {
    let table = RouteTable::new([(limit.matches.clone(), ())]).ok()?;
    asked.met(&table)?;
    let entries = limit.entries.iter();
    let entries = entries.map(|entry| (entry.attribute.as_str(), entry.key.as_str()));
    let (descriptor, missing) = Entry::all(entries, asked);
    Some(GloballyLimited {
        limit: limit.name.clone(),
        cluster: limit.cluster.clone(),
        exists: snapshot.clusters.contains_key(&limit.cluster),
        domain: limit.domain.clone(),
        descriptor,
        missing,
        timeout: seconds(limit.timeout),
        deny_on_fail: limit.deny_on_fail,
    })
}

/// With what the workers have found that have told.
fn concurrency(taken: Taken<'_>, workers: &[WorkerStatus]) -> Option<Concurrency> {
    let rule = taken.route.adaptive_concurrency.as_ref()?;
    let own = workers.iter().flat_map(|worker| &worker.concurrency);
    let own = own.filter(|it| it.service == taken.service.name && it.route == taken.place);
    let found = own.fold(None, |sum, it| {
        let (limit, under_way) = sum.unwrap_or((0u32, 0u32));
        Some((
            limit.saturating_add(it.limit),
            under_way.saturating_add(it.under_way),
        ))
    });
    Some(Concurrency {
        least: rule.min_concurrency,
        most: rule.max_concurrency_limit,
        limit: found.map(|(limit, _)| limit),
        under_way: found.map(|(_, under_way)| under_way),
    })
}

/// Of which a request may have both.
fn of_route(fault: &RouteFault) -> impl Iterator<Item = FaultShare> {
    let delay = fault.delay.as_ref();
    let delay = delay.map(|(share, delay)| FaultShare::of(share.percent(), Some(*delay), None));
    let abort = fault.abort.as_ref();
    let abort = abort.map(|(share, _)| FaultShare::of(share.percent(), None, fault.abort_word()));
    delay.into_iter().chain(abort)
}

fn mirrors(route: &Route, snapshot: &Snapshot) -> Vec<MirrorShare> {
    let mirrors = route.mirrors.iter().map(|mirror| MirrorShare {
        cluster: mirror.cluster.clone(),
        percentage: mirror.share.percent(),
        exclude_idempotent: mirror.exclude_idempotent,
        exists: snapshot.clusters.contains_key(&mirror.cluster),
    });
    mirrors.collect()
}

fn mutated(mutations: &[Mutation], asked: &Asked<'_>) -> Vec<Mutated> {
    let mutations = mutations.iter();
    mutations
        .map(|it| Mutated::of(&it.key, it.value.as_ref(), asked))
        .collect()
}
