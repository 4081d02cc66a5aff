//! Clusters and their endpoints, as the workers see them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use meltemi_policy::Place;
use meltemi_policy::explain::{CircuitBreakers, InUse};
use serde_json::{Map, Value, json};

use super::{Sources, dump, names, tls};
use crate::balance::Balancer;
use crate::circuit::{Count, Usage};
use crate::config::{Address, Cluster, Health};
use crate::driver::LeftOut;
use crate::engine::WorkerStatus;

/// A worker that takes longer is left out of the page.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What the workers together have with one endpoint.
#[derive(Clone, Copy, Default)]
struct Use {
    active: u64,
    connections: usize,
    tunnels: u64,
    leaving: bool,
}

/// All clusters by name.
pub(super) async fn clusters(sources: &Sources) -> Value {
    let snapshot = sources.snapshot();
    let workers = workers(sources).await;
    let uses = uses(&workers);
    let circuits = sources.acceptor.workers.circuits();
    let now = Instant::now();
    let clusters = snapshot.clusters.iter().map(|(name, cluster)| {
        let left_out = sources.overlay.of(name);
        let balancer = balancer(cluster, snapshot.place(), &left_out);
        let page = json!({
            "lb_policy": dump::lb_policy(cluster.lb),
            "circuit_breakers": circuit_breakers(cluster, &circuits.cluster(name)),
            "tls": cluster.tls.as_deref().map(tls::of_cluster),
            "dns": names::page(cluster, &sources.names.lock(), now),
            "tiers": tiers(&balancer),
            "endpoints": endpoints(cluster, &balancer, &uses, &left_out),
        });
        (name.clone(), page)
    });
    let clusters: Map<_, _> = clusters.collect();
    let workers: Vec<_> = workers.iter().map(worker).collect();
    json!({ "clusters": clusters, "workers": workers })
}

/// How the workers are; nothing, where one of them is slow to tell.
pub(super) async fn workers(sources: &Sources) -> Vec<WorkerStatus> {
    let status = sources.acceptor.workers.status();
    let status = tokio::time::timeout(PATIENCE, status).await;
    status.unwrap_or_default()
}

/// What is in use of what the cluster allows, and what remains; all workers together. Without a bound,
/// requests and retries are not counted.
pub(super) fn circuit_breakers(cluster: &Cluster, usage: &Usage) -> CircuitBreakers {
    let limits = cluster.limits;
    let bounded = |count: &Count, most: Option<u32>| {
        let in_use = most.is_some().then(|| count.in_use());
        InUse::of(in_use, most)
    };
    CircuitBreakers {
        connections: InUse::of(Some(usage.connections.in_use()), limits.connections),
        pending_requests: bounded(&usage.pending, limits.pending),
        requests: bounded(&usage.requests, limits.requests),
        retries: bounded(&usage.retries, limits.retries),
    }
}

/// One like the workers', who compute the same from the same.
pub(super) fn balancer(cluster: &Cluster, own: Place<'_>, left_out: &LeftOut) -> Balancer {
    let mut balancer = Balancer::new(cluster, own, 0);
    let hosts = &cluster.endpoints.hosts;
    balancer.set_ejected(|index| {
        let host = hosts.get(index);
        host.is_some_and(|host| left_out.contains(&host.address))
    });
    balancer
}

/// How healthy each tier is, and the percentage of the load that follows.
fn tiers(balancer: &Balancer) -> Vec<Value> {
    let tiers = balancer.counts().iter().zip(balancer.loads());
    tiers
        .map(|(counts, load)| {
            json!({
                "endpoints": counts.total,
                "healthy": counts.healthy,
                "degraded": counts.degraded,
                "load": load.healthy + load.degraded,
                "load_of_degraded": load.degraded,
                "panic": load.panic,
            })
        })
        .collect()
}

fn endpoints(
    cluster: &Cluster,
    balancer: &Balancer,
    uses: &HashMap<(&str, &Address), Use>,
    left_out: &LeftOut,
) -> Vec<Value> {
    let tiers = balancer.host_tiers();
    // Where a key decides, no endpoint has a share of its own.
    let shares = match cluster.hashing {
        None => balancer.shares().into_iter().map(Some).collect(),
        Some(_) => vec![None; tiers.len()],
    };
    let hosts = cluster.endpoints.hosts.iter().zip(tiers).zip(shares);
    hosts
        .map(|((host, tier), share)| {
            let used = uses.get(&(cluster.name.as_str(), &host.address));
            let used = used.copied().unwrap_or_default();
            json!({
                "address": host.address.to_string(),
                "ip": host.address.ip(),
                "hostname": host.hostname,
                "locality": host.locality.to_string(),
                "tier": tier,
                "share": share.map(|share| (share * 10_000.0).round() / 100.0),
                "weight": host.weight,
                "health": health(host.health),
                "ejected": left_out.ejected.contains(&host.address),
                "health_flags": health_flags(left_out, &host.address),
                "leaving": used.leaving,
                "active": used.active,
                "connections": used.connections,
                "tunnels": used.tunnels,
                "labels": host.labels,
            })
        })
        .collect()
}

/// As Envoy's page of the same name has them.
fn health_flags(left_out: &LeftOut, address: &Address) -> Vec<&'static str> {
    let flags = [
        (&left_out.unhealthy, "/failed_active_hc"),
        (&left_out.ejected, "/failed_outlier_check"),
    ];
    let flags = flags.into_iter().filter(|(of, _)| of.contains(address));
    flags.map(|(_, flag)| flag).collect()
}

fn uses(workers: &[WorkerStatus]) -> HashMap<(&str, &Address), Use> {
    let mut uses: HashMap<_, Use> = HashMap::new();
    for host in workers.iter().flat_map(|worker| &worker.hosts) {
        let used = uses
            .entry((host.cluster.as_str(), &host.address))
            .or_default();
        used.active += u64::from(host.active);
        used.connections += host.connections;
        used.tunnels += u64::from(host.tunnels);
        used.leaving |= host.leaving;
    }
    uses
}

fn worker(worker: &WorkerStatus) -> Value {
    json!({
        "clients": worker.clients,
        "servers": worker.servers,
        "tunnels": worker.tunnels,
        "in_flight": worker.in_flight,
        "buffered_bytes": worker.buffered,
        "spare_buffers": worker.spare,
    })
}

pub(super) fn health(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Degraded => "degraded",
        Health::Unhealthy => "unhealthy",
        Health::Draining => "draining",
    }
}
