//! Which endpoints of a route's destinations get what share, as the workers' balancers have it.

use meltemi_policy::hashing::{HashRule, Keyed};
use meltemi_policy::{HealthCheck, load};
use serde_json::{Value, json};

use crate::admin::clusters::{balancer, circuit_breakers, health};
use crate::admin::{Sources, dump};
use crate::balance::Balancer;
use crate::config::{Cluster, Endpoint, Health, LbPolicy, Route, Snapshot, WeightedCluster};
use crate::driver::LeftOut;

/// The destinations of a route. `keyed` is what is known of the request.
pub(super) fn all(route: &Route, at: (&Sources, &Snapshot), keyed: &Keyed<'_>) -> Value {
    let sum: u32 = route.destinations.iter().map(|to| to.weight).sum();
    let destinations = route.destinations.iter();
    destinations
        .map(|to| destination(to, sum, at, keyed))
        .collect()
}

fn destination(
    to: &WeightedCluster,
    sum: u32,
    at: (&Sources, &Snapshot),
    keyed: &Keyed<'_>,
) -> Value {
    let mut shown = share(&to.cluster, at, keyed);
    shown["weight"] = percent(to.weight, sum);
    if !to.fallbacks.is_empty() {
        let fallbacks = to.fallbacks.iter();
        shown["fallbacks"] = fallbacks.map(|name| share(name, at, keyed)).collect();
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

fn share(name: &str, (sources, snapshot): (&Sources, &Snapshot), keyed: &Keyed<'_>) -> Value {
    let mut shown = json!({ "cluster": name, "weight": 100 });
    let Some(cluster) = snapshot.clusters.get(name) else {
        shown["load_balancer"] = Value::Null;
        shown["tiers"] = json!([]);
        return shown;
    };
    let left_out = sources.overlay.of(name);
    let placed = Placed {
        balancer: balancer(cluster, snapshot.place(), &left_out),
        cluster,
        left_out: &left_out,
    };
    let circuits = sources.acceptor.workers.circuits();
    shown["load_balancer"] = balance(cluster, keyed).into();
    shown["circuit_breakers"] = circuit_breakers(cluster, &circuits.cluster(name));
    shown["locality_rule"] = dump::locality_rule(&cluster.locality);
    shown["tiers"] = placed.tiers();
    let rule = rule(cluster);
    let parts = [
        ("warmup", warmup(cluster).into()),
        ("limits", cluster.limits.described().into()),
        ("health_check", health_check(cluster).into()),
        (
            "unhashed",
            rule.and_then(|rule| keyed.unknown(&rule)).into(),
        ),
        ("key", placed.owner(rule, keyed)),
        ("left_out", placed.endpoints(None).into()),
    ];
    for (name, part) in parts {
        if !part.is_null() && part != json!([]) {
            shown[name] = part;
        }
    }
    shown
}

fn balance(cluster: &Cluster, keyed: &Keyed<'_>) -> String {
    if cluster.topology.is_some() {
        return "as the servers say, from whom the endpoints are learned".to_owned();
    }
    match (rule(cluster), cluster.lb) {
        (Some(rule), _) => keyed.balance(&rule),
        (None, LbPolicy::PeakEwma { decay }) => format!("PEAK_EWMA, decay {decay:?}"),
        (None, other) => dump::lb_policy(other).to_owned(),
    }
}

/// None where no hash decides, or the servers say whose a key is.
fn rule(cluster: &Cluster) -> Option<HashRule<'_>> {
    let table = cluster.hashing.filter(|_| cluster.topology.is_none())?;
    Some(HashRule {
        table,
        policies: &cluster.hash_policy,
        balance_factor: cluster.hash_balance_factor,
    })
}

fn health_check(cluster: &Cluster) -> Option<String> {
    let check = cluster.health_check.as_ref()?;
    let shown = HealthCheck {
        protocol: check.protocol.as_ref().map(|it| it.id.as_str()),
        interval: check.interval,
        timeout: check.timeout,
        unhealthy_threshold: check.unhealthy_threshold,
        healthy_threshold: check.healthy_threshold,
    };
    Some(shown.to_string())
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
    left_out: &'a LeftOut,
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
        let is_usable = matches!(host.health, Health::Healthy | Health::Degraded);
        let flags = [
            (
                "failed",
                self.left_out.contains(&host.address) || !is_usable,
            ),
            ("ejected", self.left_out.ejected.contains(&host.address)),
            (
                "failed_check",
                self.left_out.unhealthy.contains(&host.address),
            ),
        ];
        for (flag, _) in flags.into_iter().filter(|(_, holds)| *holds) {
            shown[flag] = true.into();
        }
        if host.health != Health::Healthy {
            shown["health"] = health(host.health).into();
        }
        shown
    }

    /// Who has what is hashed; null where that cannot be said.
    fn owner(&self, rule: Option<HashRule<'_>>, keyed: &Keyed<'_>) -> Value {
        let Some((rule, hash)) = rule.and_then(|rule| Some((rule, keyed.hash(&rule)?))) else {
            return Value::Null;
        };
        let names: Vec<_> = self.cluster.hashed_names().collect();
        let owner = self.balancer.hash_tables(rule.table, &names).at(hash);
        let endpoint = owner.and_then(|index| self.cluster.endpoints.hosts.get(index));
        let endpoint = endpoint.map(|host| host.address.to_string());
        json!({ "hash": hash, "endpoint": endpoint })
    }
}
