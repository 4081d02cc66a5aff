//! Which endpoints of a route's destinations get what share, as the workers' balancers have it.

use meltemi_policy::hashing::Hashing;
use meltemi_policy::load;
use serde_json::{Value, json};

use crate::admin::clusters::{balancer, health};
use crate::admin::{Sources, dump};
use crate::balance::Balancer;
use crate::config::{Address, Cluster, Endpoint, Health, Route, Snapshot, WeightedCluster};

/// The destinations of a route. `hash` is of the request's key.
pub(super) fn all(route: &Route, at: (&Sources, &Snapshot), hash: Option<u64>) -> Value {
    let sum: u32 = route.destinations.iter().map(|to| to.weight).sum();
    let destinations = route.destinations.iter();
    destinations
        .map(|to| destination(to, sum, at, hash))
        .collect()
}

fn destination(
    to: &WeightedCluster,
    sum: u32,
    at: (&Sources, &Snapshot),
    hash: Option<u64>,
) -> Value {
    let mut shown = share(&to.cluster, at, hash);
    shown["weight"] = percent(to.weight, sum);
    if !to.fallbacks.is_empty() {
        let fallbacks = to.fallbacks.iter();
        shown["fallbacks"] = fallbacks.map(|name| share(name, at, hash)).collect();
    }
    shown
}

/// A whole one as such.
fn percent(weight: u32, sum: u32) -> Value {
    let (weight, sum) = (u64::from(weight) * 100, u64::from(sum.max(1)));
    match weight % sum {
        0 => (weight / sum).into(),
        _ => (weight as f64 / sum as f64).into(),
    }
}

fn share(name: &str, (sources, snapshot): (&Sources, &Snapshot), hash: Option<u64>) -> Value {
    let mut shown = json!({ "cluster": name, "weight": 100 });
    let Some(cluster) = snapshot.clusters.get(name) else {
        shown["load_balancer"] = Value::Null;
        shown["tiers"] = json!([]);
        return shown;
    };
    let ejected = sources.ejected(name);
    let placed = Placed {
        balancer: balancer(cluster, snapshot.place(), &ejected),
        cluster,
        ejected: &ejected,
    };
    shown["load_balancer"] = balance(cluster).into();
    if let Some(warmup) = warmup(cluster) {
        shown["warmup"] = warmup.into();
    }
    shown["locality_rule"] = dump::locality_rule(&cluster.locality);
    shown["tiers"] = placed.tiers();
    let left_out = placed.endpoints(None);
    if !left_out.is_empty() {
        shown["left_out"] = left_out.into();
    }
    if let Some(key) = hash.and_then(|hash| placed.owner(hash)) {
        shown["key"] = key;
    }
    shown
}

fn balance(cluster: &Cluster) -> &'static str {
    if cluster.topology.is_some() {
        return "as the servers say, from whom the endpoints are learned";
    }
    match cluster.hashing {
        Some(Hashing::Maglev { .. }) => "MAGLEV by the key",
        Some(Hashing::Ring { .. }) => "RING_HASH by the key",
        None => dump::lb_policy(cluster.lb),
    }
}

/// None where it does not act.
fn warmup(cluster: &Cluster) -> Option<String> {
    let acts = cluster.hashing.is_none() && cluster.topology.is_none();
    let warmup = cluster.warmup.filter(|_| acts)?;
    Some(warmup.to_string())
}

/// The endpoints of a cluster, where they are for this proxy, and how they are now.
struct Placed<'a> {
    cluster: &'a Cluster,
    balancer: Balancer,
    ejected: &'a [Address],
}

impl Placed<'_> {
    fn tiers(&self) -> Value {
        let tiers = self.balancer.counts().iter().zip(self.balancer.loads());
        let tiers = tiers.enumerate().map(|(priority, (counts, load))| {
            let overprovisioning = self.cluster.endpoints.overprovisioning;
            json!({
                "priority": priority,
                "share": load.healthy + load.degraded,
                "health": {
                    "healthy": counts.healthy,
                    "total": counts.total,
                    "capacity": load::capacity(counts, overprovisioning),
                    "panic": load.panic,
                },
                "endpoints": self.endpoints(Some(priority)),
            })
        });
        tiers.collect()
    }

    /// Those of a tier; without one those that get nothing, whatever happens to the others.
    fn endpoints(&self, tier: Option<usize>) -> Vec<Value> {
        let hosts = self.cluster.endpoints.hosts.iter();
        let placed = hosts
            .zip(self.balancer.host_tiers())
            .zip(self.balancer.shares());
        let of_tier = placed.filter(|((_, of), _)| *of == tier);
        of_tier
            .map(|((host, _), share)| self.endpoint(host, share))
            .collect()
    }

    fn endpoint(&self, host: &Endpoint, share: f64) -> Value {
        let mut shown = json!({
            "address": host.address.to_string(),
            "locality": host.locality.to_string(),
            "share": (share * 1000.0).round() / 10.0,
        });
        let is_ejected = self.ejected.contains(&host.address);
        let is_usable = matches!(host.health, Health::Healthy | Health::Degraded);
        if is_ejected || !is_usable {
            shown["failed"] = true.into();
        }
        if is_ejected {
            shown["ejected"] = true.into();
        }
        if host.health != Health::Healthy {
            shown["health"] = health(host.health).into();
        }
        shown
    }

    /// Who has a key of this hash; none where keys do not decide, or the servers say it.
    fn owner(&self, hash: u64) -> Option<Value> {
        let kind = self.cluster.hashing?;
        if self.cluster.topology.is_some() {
            return None;
        }
        let names: Vec<_> = self.cluster.hashed_names().collect();
        let owner = self.balancer.hash_tables(kind, &names).at(hash);
        let endpoint = owner.and_then(|index| self.cluster.endpoints.hosts.get(index));
        let endpoint = endpoint.map(|host| host.address.to_string());
        Some(json!({ "hash": hash, "endpoint": endpoint }))
    }
}
