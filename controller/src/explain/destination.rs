//! Which endpoints of a destination get what share, by the arithmetic of the proxy itself.

use meltemi_policy::{Locality, LocalityRule, load, tiers};
use serde::Serialize;

use crate::manifest::{ConsistentHash, Simple};
use crate::model::{Cluster, Endpoint, LocalityState, Model, WeightedCluster};

/// What a destination of the route gets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DestinationShare {
    /// `outbound|port|subset|host`.
    pub cluster: String,
    /// Percent of the route's requests.
    pub weight: u32,
    pub load_balancer: Option<&'static str>,
    /// Whether the nearest endpoints are preferred, and if not, why.
    pub locality: Option<&'static str>,
    /// The nearest first; none where requests fail.
    pub tiers: Vec<Tier>,
}

/// Endpoints of one distance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tier {
    pub priority: usize,
    /// Percent of the destination's requests, while all endpoints are healthy.
    pub share: u32,
    pub endpoints: Vec<EndpointShare>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointShare {
    pub address: String,
    pub locality: String,
    /// Percent of the destination's requests, while all endpoints are healthy.
    pub share: f64,
}

pub(super) fn share(
    model: &Model,
    destination: &WeightedCluster,
    own: &Locality,
) -> DestinationShare {
    let cluster = model.clusters.get(&destination.cluster);
    DestinationShare {
        cluster: destination.cluster.to_string(),
        weight: destination.weight,
        load_balancer: cluster.map(balance),
        locality: cluster.map(|c| locality(c.locality)),
        tiers: cluster.map(|c| by_tier(c, own)).unwrap_or_default(),
    }
}

const fn balance(cluster: &Cluster) -> &'static str {
    if cluster.topology.is_some() {
        return "as the servers say, from whom the endpoints are learned";
    }
    match (cluster.hash, cluster.balance) {
        (Some(ConsistentHash::Maglev { .. }), _) => "MAGLEV by the key",
        (Some(ConsistentHash::Ring { .. }), _) => "RING_HASH by the key",
        (None, Simple::RoundRobin) => "ROUND_ROBIN",
        (None, Simple::LeastRequest) => "LEAST_REQUEST",
        (None, Simple::Random) => "RANDOM",
    }
}

const fn locality(state: LocalityState) -> &'static str {
    match state {
        LocalityState::Active => "nearest first",
        LocalityState::Disabled => "all localities alike: localityLbSetting.enabled is false",
        LocalityState::NothingPermits => {
            "all localities alike: there is neither outlierDetection nor a traffic distribution"
        }
    }
}

fn by_tier(cluster: &Cluster, own: &Locality) -> Vec<Tier> {
    let rule = match cluster.locality {
        LocalityState::Active => LocalityRule::nearest_first(),
        LocalityState::Disabled | LocalityState::NothingPermits => LocalityRule::Inactive,
    };
    let endpoints = &cluster.endpoints;
    let priorities = tiers::tiers(own, &rule, endpoints.iter().map(|e| &e.locality));
    let count = priorities.iter().max().map_or(0, |last| last + 1);
    let members = |tier: usize| {
        let with_priority = endpoints.iter().zip(&priorities);
        with_priority
            .filter(move |(_, p)| **p == tier)
            .map(|(e, _)| e)
            .collect::<Vec<_>>()
    };
    let members: Vec<Vec<&Endpoint>> = (0..count).map(members).collect();
    let hosts: Vec<load::HostCounts> = members
        .iter()
        .map(|m| u32::try_from(m.len()).unwrap_or(u32::MAX))
        .map(|total| load::HostCounts {
            total,
            healthy: total,
            degraded: 0,
        })
        .collect();
    let threshold = cluster
        .outlier
        .as_ref()
        .map_or(50, |o| o.min_health_percent.unwrap_or(0));
    let loads = load::distribute(&hosts, load::DEFAULT_OVERPROVISIONING, threshold);
    let tiers = members.into_iter().zip(loads).enumerate();
    tiers
        .map(|(priority, (members, load))| Tier {
            priority,
            share: load.healthy,
            endpoints: shares(&members, load.healthy),
        })
        .collect()
}

/// The endpoints of a tier are one pool, each drawn by its weight.
fn shares(members: &[&Endpoint], tier: u32) -> Vec<EndpointShare> {
    let total: u64 = members.iter().map(|e| u64::from(e.weight)).sum();
    let share = |weight: u32| f64::from(tier) * f64::from(weight) / total as f64;
    members
        .iter()
        .map(|endpoint| EndpointShare {
            address: endpoint.address.to_string(),
            locality: endpoint.locality.to_string(),
            share: (share(endpoint.weight) * 10.0).round() / 10.0,
        })
        .collect()
}
