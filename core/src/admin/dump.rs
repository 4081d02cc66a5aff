//! The configuration in force, as JSON.

mod health;

use std::time::Duration;

use meltemi_policy::{
    Alternative, Attribute, AttributeMatch, Condition, HashPolicy, Hashed, Hashing, LocalityRule,
    TokenBucket,
};
use serde_json::{Map, Value, json};

use super::{Sources, names, tls};
use crate::config::{
    AdaptiveConcurrency, Cluster, Fault, GlobalRateLimit, Keepalive, LbPolicy, Limits, Mirror,
    Mode, Mutation, RateLimit, RetryPolicy, Route, RouteConfig, RouteFault, Service, Setting,
    Snapshot,
};
use crate::driver::ListenerState;
use crate::engine::Settings;
use crate::telemetry::ResponseFlag;

/// Everything that requests are decided by, with the defaults that nobody wrote down.
pub(super) fn configuration(sources: &Sources) -> Value {
    let snapshot = sources.snapshot();
    let listeners = snapshot.listeners.values().map(|listener| {
        json!({
            "name": listener.name,
            "bind": listener.bind.to_string(),
            "service": listener.mode.service(),
            "proxy_protocol": proxy_protocol(&listener.mode),
            "server_names": listener.server_names.iter().collect::<Vec<_>>(),
            "max_connections_per_source": listener.max_connections_per_source,
        })
    });
    let refused = sources
        .configuration
        .stats
        .refused()
        .into_iter()
        .map(|refused| {
            json!({
                "type_url": refused.type_url,
                "name": refused.name,
                "version": refused.version,
                "reason": refused.reason,
            })
        });
    json!({
        "version": snapshot.version,
        "refused": refused.collect::<Vec<_>>(),
        "locality": snapshot.locality.to_string(),
        "labels": snapshot.labels,
        "protocols": sources.protocols.iter().map(|protocol| protocol.id()).collect::<Vec<_>>(),
        "listeners": listeners.collect::<Vec<_>>(),
        "services": object(snapshot.services.iter(), |value| service(value)),
        "routes": object(snapshot.routes.iter(), |value| route_config(value)),
        "clusters": object(snapshot.clusters.iter(), |value| cluster(value)),
        "worker": settings(&sources.options.settings),
        "drain_time": duration(sources.options.drain_time),
    })
}

/// The listeners and where they are open.
pub(super) fn listeners(sources: &Sources) -> Value {
    let snapshot = sources.snapshot();
    let listeners = sources
        .acceptor
        .table
        .all()
        .into_iter()
        .map(|(name, listener)| {
            let mut page = json!({
                "name": name,
                "bind": listener.bind.to_string(),
                "service": listener.mode.service(),
                "proxy_protocol": proxy_protocol(&listener.mode),
                "server_names": server_names(&snapshot, &name),
                "accepted": listener.accepted,
                "tls": snapshot
                    .listeners
                    .get(&name)
                    .and_then(|listener| listener.tls.as_deref())
                    .map(tls::of_listener),
            });
            match listener.state {
                ListenerState::Open(address) => {
                    page["state"] = "open".into();
                    page["address"] = address.to_string().into();
                }
                ListenerState::Unsupported { reason } => {
                    page["state"] = "unsupported".into();
                    page["reason"] = reason.into();
                }
                ListenerState::Failed { reason, serving } => {
                    page["state"] = "failed".into();
                    page["reason"] = reason.into();
                    page["serving"] = serving.map(|address| address.to_string()).into();
                }
            }
            page
        });
    json!({ "listeners": listeners.collect::<Vec<_>>() })
}

/// Which clients it is for, where others are at its address.
fn server_names(snapshot: &Snapshot, listener: &str) -> Vec<String> {
    let listener = snapshot.listeners.get(listener);
    listener.map_or_else(Vec::new, |it| it.server_names.iter().collect())
}

fn proxy_protocol(mode: &Mode) -> Value {
    match mode {
        Mode::Service(_) => Value::Null,
        Mode::ProxyProtocol(mode) => json!({
            "own_identity": mode.own_identity.as_deref(),
            "patience": duration(mode.patience),
        }),
    }
}

fn object<'a, T: 'a>(
    values: impl Iterator<Item = (&'a String, &'a T)>,
    page: impl Fn(&T) -> Value,
) -> Value {
    values
        .map(|(name, value)| (name.clone(), page(value)))
        .collect::<Map<_, _>>()
        .into()
}

fn service(service: &Service) -> Value {
    json!({
        "addresses": service.addresses,
        "port": service.port,
        "protocol": service.protocol,
        "application_protocol": service.application_protocol,
        "routes": service.route_config,
        "default_cluster": service.default_cluster,
        "settings": plugin_settings(&service.settings),
        "faults": service.faults.iter().map(fault).collect::<Vec<_>>(),
        "operation_metrics": service.operation_metrics,
        "slow_request_threshold": service.slow_request_threshold.map(duration),
        "buffering": service.buffering.map(|buffering| json!({
            "bytes": buffering.bytes,
            "timeout": duration(buffering.timeout),
        })),
        "idle_timeout": service.idle_timeout.map(duration),
        "max_connection_duration": service.max_connection_duration.map(duration),
    })
}

/// Without the values that are secrets.
fn plugin_settings(settings: &[Setting]) -> Value {
    let settings = settings.iter();
    settings
        .map(|setting| (setting.name.clone(), setting.shown().into()))
        .collect::<Map<_, _>>()
        .into()
}

fn fault(fault: &Fault) -> Value {
    json!({
        "percentage": fault.share.percent(),
        "operations": fault.operations,
        "delay": fault.delay.map(duration),
        "error": fault.error,
    })
}

fn route_config(config: &RouteConfig) -> Value {
    config.routes.iter().map(|value| route(value)).collect()
}

fn route(route: &Route) -> Value {
    let destinations = route
        .destinations
        .iter()
        .map(|to| json!({ "cluster": to.cluster, "weight": to.weight, "fallbacks": to.fallbacks }));
    json!({
        "name": route.name,
        "owner": route.owner,
        "match": route.matches.iter().map(alternative).collect::<Vec<_>>(),
        "destinations": destinations.collect::<Vec<_>>(),
        "timeout": route.timeout.map(duration),
        "remove_prefix": route.remove_prefix.as_ref().map(|removed| json!({
            "attribute": removed.attribute,
            "prefix": removed.prefix,
        })),
        "mirrors": route.mirrors.iter().map(mirror).collect::<Vec<_>>(),
        "request_mutation": route.request_mutation.iter().map(mutation).collect::<Vec<_>>(),
        "response_mutation": route.response_mutation.iter().map(mutation).collect::<Vec<_>>(),
        "retries": route.retry.as_ref().map(retries),
        "hedge_delay": route.hedge.map(duration),
        "idempotent": route.idempotent,
        "circuit_breaker": route.circuit_breaker.as_ref().map(|breaker| json!({
            "name": breaker.name,
            "max_requests": breaker.max_requests,
        })),
        "hash_policy": hash_policy(&route.hash_policy),
        "local_rate_limit": route.limit.as_deref().map(rate_limit),
        "global_rate_limit": route.global_limit.as_deref().map(global_rate_limit),
        "adaptive_concurrency": route.adaptive_concurrency.as_ref().map(adaptive_concurrency),
        "fault": route.fault.as_ref().map(route_fault),
    })
}

fn rate_limit(limit: &RateLimit) -> Value {
    let conditions = limit.conditions.iter().map(|condition| {
        let matches = condition.matches.iter().map(alternative);
        json!({
            "match": matches.collect::<Vec<_>>(),
            "token_bucket": token_bucket(&condition.bucket),
        })
    });
    json!({
        "name": limit.name,
        "conditions": conditions.collect::<Vec<_>>(),
        "token_bucket": limit.default.as_ref().map(token_bucket),
    })
}

fn global_rate_limit(limit: &GlobalRateLimit) -> Value {
    let descriptors = limit.entries.iter();
    let descriptors = descriptors
        .map(|entry| json!({ "property": entry.attribute, "descriptor_key": entry.key }));
    json!({
        "name": limit.name,
        "match": limit.matches.iter().map(alternative).collect::<Vec<_>>(),
        "domain": limit.domain,
        "descriptors": descriptors.collect::<Vec<_>>(),
        "cluster": limit.cluster,
        "timeout": duration(limit.timeout),
        "failure_mode_deny": limit.deny_on_fail,
    })
}

fn adaptive_concurrency(rule: &AdaptiveConcurrency) -> Value {
    json!({
        "sample_aggregate_percentile": rule.sample_aggregate_percentile.percent(),
        "max_concurrency_limit": rule.max_concurrency_limit,
        "concurrency_update_interval": duration(rule.concurrency_update_interval),
        "min_rtt_calc_params": {
            "interval": duration(rule.min_rtt_interval),
            "request_count": rule.min_rtt_request_count,
            "jitter": rule.min_rtt_jitter.percent(),
            "min_concurrency": rule.min_concurrency,
            "buffer": rule.min_rtt_buffer.percent(),
        },
    })
}

fn token_bucket(bucket: &TokenBucket) -> Value {
    json!({
        "max_tokens": bucket.max_tokens(),
        "tokens_per_fill": bucket.tokens_per_fill(),
        "fill_interval": duration(bucket.fill_interval()),
    })
}

fn route_fault(fault: &RouteFault) -> Value {
    json!({
        "delay": fault.delay.map(|(share, delay)| json!({
            "percentage": share.percent(),
            "fixed_delay": duration(delay),
        })),
        "abort": fault.abort.map(|(share, status)| json!({
            "percentage": share.percent(),
            "status": ResponseFlag::from(status).word(),
        })),
    })
}

fn retries(policy: &RetryPolicy) -> Value {
    json!({
        "attempts": policy.attempts,
        "per_try_timeout": policy.per_try_timeout.map(duration),
        "retry_on": policy.on.iter().map(|on| on.as_str()).collect::<Vec<_>>(),
        "backoff": duration(policy.backoff),
        "non_idempotent": policy.non_idempotent,
    })
}

fn mutation(mutation: &Mutation) -> Value {
    let value = mutation.value.as_ref();
    json!({ "key": mutation.key, "value": value.map(ToString::to_string) })
}

fn mirror(mirror: &Mirror) -> Value {
    json!({
        "cluster": mirror.cluster,
        "percentage": mirror.share.percent(),
        "exclude_idempotent": mirror.exclude_idempotent,
    })
}

fn alternative(alternative: &Alternative) -> Value {
    alternative.iter().map(attribute).collect()
}

fn attribute(matched: &AttributeMatch) -> Value {
    let (kind, value) = match &matched.condition {
        Condition::Exact(text) => ("exact", json!(text.value)),
        Condition::Prefix(text) => ("prefix", json!(text.value)),
        Condition::Suffix(text) => ("suffix", json!(text.value)),
        Condition::Contains(text) => ("contains", json!(text.value)),
        Condition::Regex(regex) => ("regex", json!(regex)),
        Condition::Range(range) => ("range", json!({ "start": range.start, "end": range.end })),
        Condition::Present => ("present", json!(true)),
    };
    let mut shown = Map::new();
    match &matched.attribute {
        Attribute::Message(name) => shown.insert("attribute".to_owned(), json!(name)),
        Attribute::SourceAddress => shown.insert("source".to_owned(), json!("address")),
        Attribute::SourcePrincipal => shown.insert("source".to_owned(), json!("principal")),
        Attribute::SourceNamespace => shown.insert("source".to_owned(), json!("namespace")),
    };
    shown.insert(kind.to_owned(), value);
    let ignore_case = matched
        .condition
        .text()
        .is_some_and(|text| text.ignore_case);
    for (flag, is_set) in [
        ("ignore_case", ignore_case),
        ("invert", matched.invert),
        ("absent_is_empty", matched.absent_is_empty),
    ] {
        if is_set {
            shown.insert(flag.to_owned(), json!(true));
        }
    }
    Value::Object(shown)
}

fn cluster(cluster: &Cluster) -> Value {
    json!({
        "lb_policy": lb_policy(cluster.lb),
        "peak_ewma_decay": match cluster.lb {
            LbPolicy::PeakEwma { decay } => duration(decay),
            _ => Value::Null,
        },
        "warmup": cluster.warmup.map(|warmup| json!({
            "duration": duration(warmup.duration),
            "minimum_percent": warmup.minimum * 100.0,
            "aggression": warmup.aggression,
        })),
        "hashing": cluster.hashing.map(hashing),
        "use_hostname_for_hashing": cluster.hashes_hostnames,
        "hash_policy": hash_policy(&cluster.hash_policy),
        "hash_balance_factor": cluster.hash_balance_factor,
        "connect_timeout": duration(cluster.connect_timeout),
        "tls": cluster.tls.as_deref().map(tls::of_cluster),
        "tcp_keepalive": cluster.keepalive.map(keepalive),
        "limits": limits(cluster.limits),
        "idle_timeout": cluster.idle_timeout.map(duration),
        "max_unknown_nodes": cluster.max_unknown_nodes,
        "retry_budget": {
            "percent": cluster.retry_budget.share.percent(),
            "min_concurrency": cluster.retry_budget.min_concurrency,
        },
        "outlier_detection": cluster.outlier.as_ref().map(health::outlier),
        "health_check": cluster.health_check.as_ref().map(health::health_check),
        "panic_threshold_percent": cluster.panic_threshold,
        "overprovisioning_percent": cluster.endpoints.overprovisioning,
        "weighted_priority_health": cluster.endpoints.weighted_health,
        "locality": locality_rule(&cluster.locality),
        "locality_weighted": cluster.locality_weighted,
        "settings": plugin_settings(&cluster.settings),
        "topology": cluster.topology.as_ref().map(|topology| json!({
            "seeds": topology.seeds.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })),
        "dns": names::rule(cluster),
        "endpoints": cluster.endpoints.hosts.len(),
    })
}

fn limits(limits: Limits) -> Value {
    json!({
        "max_connections": limits.connections,
        "max_pending_requests": limits.pending,
        "max_requests": limits.requests,
        "max_retries": limits.retries,
        "max_requests_per_connection": limits.requests_per_connection,
    })
}

/// As a DestinationRule writes it.
pub(super) fn lb_policy(policy: LbPolicy) -> &'static str {
    match policy {
        LbPolicy::RoundRobin => "ROUND_ROBIN",
        LbPolicy::LeastRequest => "LEAST_REQUEST",
        LbPolicy::Random => "RANDOM",
        LbPolicy::PeakEwma { .. } => "PEAK_EWMA",
    }
}

fn hashing(hashing: Hashing) -> Value {
    match hashing {
        Hashing::Maglev { table_size } => json!({ "maglev": { "table_size": table_size } }),
        Hashing::Ring { minimum_size } => json!({ "ring": { "minimum_size": minimum_size } }),
    }
}

fn hash_policy(policies: &[HashPolicy]) -> Vec<Value> {
    let policies = policies.iter().map(|policy| {
        let mut shown = match &policy.of {
            Hashed::Attribute(name) => json!({ "attribute": name }),
            Hashed::SourceAddress => json!({ "source": "address" }),
            Hashed::Connection => json!({ "source": "connection" }),
        };
        if policy.terminal {
            shown["terminal"] = json!(true);
        }
        shown
    });
    policies.collect()
}

fn keepalive(keepalive: Keepalive) -> Value {
    json!({
        "probes": keepalive.probes,
        "time": keepalive.time.map(duration),
        "interval": keepalive.interval.map(duration),
    })
}

pub(super) fn locality_rule(rule: &LocalityRule) -> Value {
    match rule {
        LocalityRule::Inactive => Value::Null,
        LocalityRule::Failover { labels, regions } => {
            let regions = regions
                .iter()
                .map(|r| json!({ "from": r.from, "to": r.to }));
            json!({
                "failover_priority": labels.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "failover": regions.collect::<Vec<_>>(),
            })
        }
        LocalityRule::Distribute(distributions) => {
            let distributions = distributions.iter().map(|entry| {
                let to = entry.to.iter();
                let to: Map<_, _> = to.map(|(to, n)| (to.to_string(), (*n).into())).collect();
                json!({ "from": entry.from.to_string(), "to": to })
            });
            json!({ "distribute": distributions.collect::<Vec<_>>() })
        }
    }
}

fn settings(settings: &Settings) -> Value {
    json!({
        "whole_message_bytes": settings.whole,
        "in_flight_per_connection": settings.in_flight_per_connection,
        "unsent_bytes_per_connection": settings.unsent_per_connection,
        "connections_per_endpoint": settings.connections_per_endpoint,
        "further_connections_per_endpoint": settings.further_connections_per_endpoint,
        "own_connections_per_endpoint": settings.own_connections_per_endpoint,
        "in_flight_per_client": settings.in_flight_per_client,
        "client_pause_bytes": settings.client_pause,
        "client_limit_bytes": settings.client_limit,
        "buffered_bytes": settings.buffered,
        "in_flight": settings.in_flight,
        "clients": settings.clients,
        "handshakes": settings.handshakes,
        "waiting": settings.waiting,
        "header": duration(settings.header),
        "stall": duration(settings.stall),
        "client_idle": duration(settings.client_idle),
        "server_idle": duration(settings.server_idle),
        "spare": duration(settings.spare),
        "leaving": duration(settings.leaving),
        "farewell": duration(settings.farewell),
        "further_candidates": settings.further_candidates,
    })
}

/// As protobuf's JSON writes it: `1.5s`.
pub(super) fn duration(duration: Duration) -> Value {
    meltemi_policy::explain::seconds(duration).into()
}
