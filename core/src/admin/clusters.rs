//! Clusters and their endpoints, as the workers see them.

use std::collections::HashMap;
use std::time::Duration;

use meltemi_policy::tiers::tiers;
use serde_json::{Map, Value, json};

use super::{Sources, dump};
use crate::config::{Address, Cluster, Health};
use crate::engine::WorkerStatus;

/// A worker that takes longer is left out of the page.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What the workers together have with one endpoint.
#[derive(Clone, Copy, Default)]
struct Use {
    active: u64,
    connections: usize,
    leaving: bool,
}

/// All clusters by name.
pub(super) async fn clusters(sources: &Sources) -> Value {
    let snapshot = sources.snapshot();
    let workers = tokio::time::timeout(PATIENCE, sources.acceptor.workers.status()).await;
    let workers = workers.unwrap_or_default();
    let uses = uses(&workers);
    let clusters = snapshot.clusters.iter().map(|(name, cluster)| {
        let tiers = tiers(
            &snapshot.locality,
            &cluster.locality,
            cluster.endpoints.hosts.iter().map(|host| &host.locality),
        );
        let page = json!({
            "lb_policy": dump::lb_policy(cluster.lb),
            "endpoints": endpoints(cluster, &tiers, &uses, &sources.ejected(name)),
        });
        (name.clone(), page)
    });
    let clusters: Map<_, _> = clusters.collect();
    let workers: Vec<_> = workers.iter().map(worker).collect();
    json!({ "clusters": clusters, "workers": workers })
}

fn endpoints(
    cluster: &Cluster,
    tiers: &[usize],
    uses: &HashMap<(&str, &Address), Use>,
    ejected: &[Address],
) -> Vec<Value> {
    let hosts = cluster.endpoints.hosts.iter().zip(tiers);
    hosts
        .map(|(host, tier)| {
            let used = uses.get(&(cluster.name.as_str(), &host.address));
            let used = used.copied().unwrap_or_default();
            json!({
                "address": host.address.to_string(),
                "hostname": host.hostname,
                "locality": host.locality.to_string(),
                "tier": tier,
                "weight": host.weight,
                "health": health(host.health),
                "ejected": ejected.contains(&host.address),
                "leaving": used.leaving,
                "active": used.active,
                "connections": used.connections,
                "labels": host.labels,
            })
        })
        .collect()
}

fn uses(workers: &[WorkerStatus]) -> HashMap<(&str, &Address), Use> {
    let mut uses: HashMap<_, Use> = HashMap::new();
    for host in workers.iter().flat_map(|worker| &worker.hosts) {
        let used = uses
            .entry((host.cluster.as_str(), &host.address))
            .or_default();
        used.active += u64::from(host.active);
        used.connections += host.connections;
        used.leaving |= host.leaving;
    }
    uses
}

fn worker(worker: &WorkerStatus) -> Value {
    json!({
        "clients": worker.clients,
        "servers": worker.servers,
        "in_flight": worker.in_flight,
        "buffered_bytes": worker.buffered,
    })
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Degraded => "degraded",
        Health::Unhealthy => "unhealthy",
        Health::Draining => "draining",
    }
}
