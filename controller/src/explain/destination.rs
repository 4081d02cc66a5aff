//! Which endpoints of a destination get what share, by the arithmetic of the proxy itself.

use meltemi_policy::hashing::Keyed;
use meltemi_policy::{ClusterName, LocalityRule, Place};
use serde::Serialize;

use super::bounds;
use super::keyed;
use super::tiers::Endpoints;
use crate::manifest::Simple;
use crate::model::{
    Cluster, ClusterTls, Identity, LocalityOrigin, LocalityState, Model, Trust, WeightedCluster,
};

/// What a destination of the route gets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DestinationShare {
    /// `outbound|port|subset|host`.
    pub cluster: String,
    /// Percent of the route's requests.
    pub weight: u32,
    pub load_balancer: Option<String>,
    /// What connections are encrypted and verified by; none: they are in plaintext.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// How endpoints that are new come to their weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<String>,
    /// What bounds its connections and requests, of all workers together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// How endpoints are asked whether they can serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<String>,
    /// Whether the nearest endpoints are preferred, and if not, why.
    pub locality: Option<String>,
    /// What of the endpoints is known only where names are resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<&'static str>,
    /// Why a hash decides, and nobody can say for whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhashed: Option<&'static str>,
    /// Where the key of the request, or what else is hashed, decides: who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyOwner>,
    /// The nearest first; none where requests fail.
    pub tiers: Vec<Tier>,
    /// Endpoints that get nothing, whatever happens to the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<EndpointShare>,
    /// Where the requests go, in this order, if none of the endpoints can be asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Self>,
}

impl DestinationShare {
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        let shares = std::iter::once(self).chain(&self.fallbacks);
        let endpoints = shares.flat_map(|share| {
            let placed = share.tiers.iter().flat_map(|tier| &tier.endpoints);
            placed.chain(&share.left_out)
        });
        endpoints.map(|e| e.address.as_str())
    }
}

/// The endpoint that a key leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyOwner {
    pub hash: u64,
    /// None: there is nobody, and the request fails.
    pub endpoint: Option<String>,
}

/// Endpoints of one distance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tier {
    pub priority: usize,
    /// Percent of the destination's requests.
    pub share: u32,
    /// How the share follows from the health of the endpoints.
    pub health: Health,
    pub endpoints: Vec<EndpointShare>,
}

/// The arithmetic of a tier's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    pub healthy: u32,
    pub total: u32,
    /// Percent of all requests that its healthy endpoints could take: 1.4 times their part, unless
    /// the factor is set otherwise.
    pub capacity: u32,
    /// Too few are healthy in all, and here: all of its endpoints are used.
    pub panic: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointShare {
    pub address: String,
    pub locality: String,
    /// Percent of the destination's requests.
    pub share: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// `failed` are addresses of endpoints that are to count as ejected, `keyed` is what is known of the
/// request.
pub(super) fn share(
    model: &Model,
    destination: &WeightedCluster,
    (own, failed): (Place<'_>, &[String]),
    keyed: &Keyed<'_>,
) -> DestinationShare {
    let of = |name| cluster_share(model, name, (own, failed), keyed);
    DestinationShare {
        weight: destination.weight,
        fallbacks: destination.fallbacks.iter().map(of).collect(),
        ..of(&destination.cluster)
    }
}

fn cluster_share(
    model: &Model,
    name: &ClusterName,
    (own, failed): (Place<'_>, &[String]),
    keyed: &Keyed<'_>,
) -> DestinationShare {
    let cluster = model.clusters.get(name);
    let placed = cluster.map(|cluster| Endpoints::of(cluster, own, failed));
    let rule = cluster.and_then(keyed::rule);
    let unresolved = rule.and_then(|_| cluster.and_then(unresolved));
    DestinationShare {
        cluster: name.to_string(),
        weight: 100,
        fallbacks: vec![],
        load_balancer: cluster.map(|cluster| keyed::balance(cluster, keyed)),
        resolution: cluster.and_then(resolution),
        unhashed: rule.and_then(|rule| keyed.unknown(&rule)).or(unresolved),
        tls: cluster.and_then(|cluster| cluster.tls.as_ref().map(encryption)),
        warmup: cluster.and_then(warmup),
        limits: cluster.map(bounds::of).unwrap_or_default().described(),
        health_check: cluster.and_then(health_check),
        locality: cluster.map(|c| locality(&c.locality)),
        key: placed
            .as_ref()
            .filter(|_| unresolved.is_none())
            .zip(rule.and_then(|rule| keyed.hash(&rule)))
            .and_then(|(placed, hash)| placed.owner(hash)),
        tiers: placed.as_ref().map(Endpoints::tiers).unwrap_or_default(),
        left_out: placed.as_ref().map(Endpoints::left_out).unwrap_or_default(),
    }
}

fn resolution(cluster: &Cluster) -> Option<&'static str> {
    Some(match cluster.dns?.is_logical {
        false => {
            "names are resolved by the proxy: each address of a name is an endpoint there, which \
             its POST /explain shows"
        }
        true => {
            "the name is resolved by the proxy: each new connection is made to the first of its \
             addresses"
        }
    })
}

fn unresolved(cluster: &Cluster) -> Option<&'static str> {
    let is_logical = cluster.dns?.is_logical;
    let why = "who has a key is known where names are resolved: POST /explain of the proxy says it";
    (!is_logical).then_some(why)
}

fn encryption(tls: &ClusterTls) -> String {
    let (mode, ours) = match &tls.identity {
        None => ("SIMPLE", String::new()),
        Some(Identity::Secret { id, .. }) => ("MUTUAL", format!(", shows that of {id}")),
        Some(Identity::Files { chain, .. }) => ("MUTUAL", format!(", shows {chain}")),
    };
    let names: Vec<_> = tls.names.iter().map(ToString::to_string).collect();
    let names = names.join(" or ");
    let check = match &tls.trust {
        None => "whoever answers is believed".to_owned(),
        Some(Trust::Secret { id, .. }) => {
            format!("the certificate is for {names}, by an authority of {id}")
        }
        Some(Trust::Files { authorities, .. }) => {
            let by = authorities.as_deref().unwrap_or("the proxy's system");
            format!("the certificate is for {names}, by an authority of {by}")
        }
    };
    let sni = tls.sni.as_ref().map(|sni| format!(" to {sni}"));
    format!("TLS {mode}{}{ours}: {check}", sni.unwrap_or_default())
}

/// None where it does not act.
fn warmup(cluster: &Cluster) -> Option<String> {
    let warmup = cluster.warmup?;
    let acts = cluster.hash.is_none() && cluster.topology.is_none();
    let acts = acts && matches!(cluster.balance, Simple::RoundRobin | Simple::LeastRequest);
    // Envoy's, where nothing is said.
    let least = warmup.minimum_percent.unwrap_or(10.0);
    let warmup = meltemi_policy::Warmup {
        duration: warmup.duration,
        minimum: least / 100.0,
        aggression: warmup.aggression.unwrap_or(1.0),
    };
    acts.then(|| warmup.to_string())
}

fn health_check(cluster: &Cluster) -> Option<String> {
    let check = cluster.health_check.as_ref()?;
    let shown = meltemi_policy::HealthCheck {
        protocol: check.protocol.as_ref().map(|it| it.plugin.as_str()),
        interval: check.rule.interval,
        timeout: check.rule.timeout,
        unhealthy_threshold: check.rule.unhealthy_threshold,
        healthy_threshold: check.rule.healthy_threshold,
    };
    Some(shown.to_string())
}

fn locality(state: &LocalityState) -> String {
    match state {
        LocalityState::Active { rule, by } => format!("{}{}", preference(rule), origin(*by)),
        LocalityState::Disabled(by) => format!(
            "all localities alike: localityLbSetting.enabled is false{}",
            origin(*by)
        ),
        LocalityState::KeysAlone => {
            "all localities alike: the servers do not share what they store".to_owned()
        }
        LocalityState::NothingPermits => {
            "all localities alike: there is neither outlierDetection nor a traffic distribution"
                .to_owned()
        }
    }
}

fn preference(rule: &LocalityRule) -> String {
    match rule {
        LocalityRule::Inactive => "all localities alike".to_owned(),
        LocalityRule::Distribute(_) => "shares of localities by distribute".to_owned(),
        LocalityRule::Failover { labels, regions } => {
            let mut text = match labels.as_slice() {
                [] => "nearest first".to_owned(),
                labels => {
                    let labels: Vec<_> = labels.iter().map(ToString::to_string).collect();
                    format!("nearest first by {}", labels.join(", "))
                }
            };
            for failover in regions {
                text.push_str(&format!(", from {} to {}", failover.from, failover.to));
            }
            text
        }
    }
}

fn origin(by: LocalityOrigin) -> String {
    match by {
        LocalityOrigin::DestinationRule | LocalityOrigin::Default => String::new(),
        LocalityOrigin::TrafficDistribution(distribution) => {
            format!(" (trafficDistribution {})", distribution.word())
        }
        LocalityOrigin::Mesh => " (MeshConfig)".to_owned(),
    }
}
