//! The configuration in force, as JSON.

use std::time::Duration;

use meltemi_policy::{AttributeMatch, Condition, LocalityRule};
use serde_json::{Map, Value, json};

use super::Sources;
use crate::config::{Cluster, LbPolicy, OutlierDetection, Route, RouteConfig, Service};
use crate::driver::ListenerState;
use crate::engine::Settings;

/// Everything that requests are decided by, with the defaults that nobody wrote down.
pub(super) fn configuration(sources: &Sources) -> Value {
    let snapshot = sources.snapshot();
    let listeners = snapshot.listeners.values().map(|listener| {
        json!({
            "name": listener.name,
            "bind": listener.bind.to_string(),
            "service": listener.service,
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
    let listeners = sources
        .acceptor
        .table
        .all()
        .into_iter()
        .map(|(name, listener)| {
            let mut page = json!({
                "name": name,
                "bind": listener.bind.to_string(),
                "service": listener.service,
                "accepted": listener.accepted,
            });
            match listener.state {
                ListenerState::Open(address) => {
                    page["state"] = "open".into();
                    page["address"] = address.to_string().into();
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
        "protocol": service.protocol,
        "application_protocol": service.application_protocol,
        "routes": service.route_config,
    })
}

fn route_config(config: &RouteConfig) -> Value {
    config.routes.iter().map(|value| route(value)).collect()
}

fn route(route: &Route) -> Value {
    let destinations = route
        .destinations
        .iter()
        .map(|destination| json!({ "cluster": destination.cluster, "weight": destination.weight }));
    json!({
        "name": route.name,
        "owner": route.owner,
        "match": route.matches.iter().map(attribute).collect::<Vec<_>>(),
        "destinations": destinations.collect::<Vec<_>>(),
        "timeout": route.timeout.map(duration),
    })
}

fn attribute(matched: &AttributeMatch) -> Value {
    let name = &matched.name;
    match &matched.condition {
        Condition::Exact(value) => json!({ "attribute": name, "exact": value }),
        Condition::Prefix(value) => json!({ "attribute": name, "prefix": value }),
        Condition::Regex(value) => json!({ "attribute": name, "regex": value }),
        Condition::Present => json!({ "attribute": name, "present": true }),
    }
}

fn cluster(cluster: &Cluster) -> Value {
    json!({
        "lb_policy": lb_policy(cluster.lb),
        "connect_timeout": duration(cluster.connect_timeout),
        "outlier_detection": cluster.outlier.as_ref().map(outlier),
        "panic_threshold_percent": cluster.panic_threshold,
        "overprovisioning_percent": cluster.endpoints.overprovisioning,
        "locality": locality_rule(&cluster.locality),
        "endpoints": cluster.endpoints.hosts.len(),
    })
}

/// As a DestinationRule writes it.
pub(super) fn lb_policy(policy: LbPolicy) -> &'static str {
    match policy {
        LbPolicy::RoundRobin => "ROUND_ROBIN",
        LbPolicy::LeastRequest => "LEAST_REQUEST",
        LbPolicy::Random => "RANDOM",
    }
}

fn outlier(outlier: &OutlierDetection) -> Value {
    json!({
        "consecutive_errors": outlier.consecutive_errors,
        "interval": duration(outlier.interval),
        "base_ejection_time": duration(outlier.base_ejection_time),
        "max_ejection_time": duration(outlier.max_ejection_time),
        "max_ejection_percent": outlier.max_ejection_percent,
    })
}

fn locality_rule(rule: &LocalityRule) -> Value {
    match rule {
        LocalityRule::Inactive => Value::Null,
        LocalityRule::Failover { regions } => {
            let regions = regions
                .iter()
                .map(|r| json!({ "from": r.from, "to": r.to }));
            json!({ "failover": regions.collect::<Vec<_>>() })
        }
    }
}

fn settings(settings: &Settings) -> Value {
    json!({
        "whole_message_bytes": settings.whole,
        "in_flight_per_connection": settings.in_flight_per_connection,
        "unsent_bytes_per_connection": settings.unsent_per_connection,
        "connections_per_endpoint": settings.connections_per_endpoint,
        "own_connections_per_endpoint": settings.own_connections_per_endpoint,
        "in_flight_per_client": settings.in_flight_per_client,
        "client_pause_bytes": settings.client_pause,
        "client_limit_bytes": settings.client_limit,
        "buffered_bytes": settings.buffered,
        "in_flight": settings.in_flight,
        "clients": settings.clients,
        "stall": duration(settings.stall),
        "client_idle": duration(settings.client_idle),
        "server_idle": duration(settings.server_idle),
        "further_candidates": settings.further_candidates,
    })
}

/// As protobuf's JSON writes it: `1.5s`.
fn duration(duration: Duration) -> Value {
    format!("{}s", duration.as_secs_f64()).into()
}
