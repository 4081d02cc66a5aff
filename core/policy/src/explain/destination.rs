//! Which endpoints of a destination get what share, and how they are used.

mod text;

use serde::{Serialize, Serializer};

/// What a destination of the route gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DestinationShare {
    /// `outbound|port|subset|host`.
    pub cluster: String,
    /// Percent of the route's requests.
    #[serde(serialize_with = "percent")]
    pub weight: f64,
    /// None: there is no such cluster.
    pub load_balancer: Option<String>,
    /// What connections are encrypted and verified by; none: they are in plaintext.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// How connections are made and kept, where that is not as by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<String>,
    /// How endpoints that are new come to their weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<String>,
    /// What bounds its connections and requests, of all workers together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// How many requests may be repetitions, where the route repeats any and `limits` do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<String>,
    /// What is in use of what is allowed, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breakers: Option<CircuitBreakers>,
    /// Which failures eject an endpoint, and for how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<String>,
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

/// A whole one as such.
fn percent<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match value.fract() {
        0.0 => serializer.serialize_u64(*value as u64),
        _ => serializer.serialize_f64(*value),
    }
}

impl DestinationShare {
    /// Of all its endpoints, and those of its fallbacks.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let own = self.tiers.iter().flat_map(|tier| &tier.endpoints);
        let own = own.chain(&self.left_out).map(|it| it.address.as_str());
        let next = self.fallbacks.iter().flat_map(|next| {
            let tiers = next.tiers.iter().flat_map(|tier| &tier.endpoints);
            tiers.chain(&next.left_out).map(|it| it.address.as_str())
        });
        own.chain(next)
    }
}

/// The endpoint that a key leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyOwner {
    pub hash: u64,
    /// None: there is nobody, and the request fails.
    pub endpoint: Option<String>,
}

/// Endpoints that are equally near, and take over from the tier before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tier {
    /// 0 is the nearest.
    pub priority: usize,
    /// Percent of the destination's requests.
    pub share: u32,
    /// How the share follows from the health of the endpoints.
    pub health: Health,
    pub endpoints: Vec<EndpointShare>,
}

/// The arithmetic of a tier's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    pub healthy: u32,
    pub total: u32,
    /// By how many percent its part of the load a healthy endpoint may take: 140, unless told.
    pub overprovisioning: u32,
    /// Percent of all requests that its healthy endpoints could take: their part, times that; 100 at
    /// most.
    pub capacity: u32,
    /// Percent of healthy endpoints below which the tier is in panic, where not all requests can be
    /// taken by those who are healthy; 0: it never is.
    pub panic_threshold: u32,
    /// All of its endpoints are used.
    pub panic: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EndpointShare {
    pub address: String,
    pub locality: String,
    /// Percent of the destination's requests.
    pub share: f64,
    /// It gets no requests for its own sake. What follows says why, where that is known.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ejected: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed_check: bool,
    /// What the control plane says of it, where it is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<&'static str>,
}

/// What is in use of what a cluster allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CircuitBreakers {
    pub connections: InUse,
    pub pending_requests: InUse,
    pub requests: InUse,
    pub retries: InUse,
}

/// Of one bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InUse {
    /// None: nobody counts.
    pub in_use: Option<u32>,
    /// None: there is no bound.
    pub max: Option<u32>,
    pub remaining: Option<u32>,
}

impl InUse {
    #[must_use]
    pub fn of(in_use: Option<u32>, max: Option<u32>) -> Self {
        let remaining = max.map(|max| max.saturating_sub(in_use.unwrap_or_default()));
        Self {
            in_use,
            max,
            remaining,
        }
    }
}
