//! The endpoints of a cluster.

use std::collections::{BTreeMap, HashSet};

use meltemi_policy::Locality;
use meltemi_proto::EXTENSION_NAME;
use meltemi_proto::envoy::config::core::v3::{self as core, HealthStatus, Metadata};
use meltemi_proto::envoy::config::endpoint::v3 as proto;
use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use meltemi_proto::meltemi::config::v1::EndpointMetadata;

use super::address::Address;
use super::invalid::Invalid;
use super::proxy::locality;

/// Envoy's factor where the assignment gives none, in percent.
const DEFAULT_OVERPROVISIONING: u32 = 140;

/// All endpoints of one cluster, in the order of the control plane; `A` is what is known of where they
/// are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints<A = Address> {
    /// No address occurs twice.
    pub hosts: Vec<Endpoint<A>>,
    /// In percent, at least 1: how much of its own share each healthy endpoint may take.
    pub overprovisioning: u32,
    /// Whether the health of a tier is that of its endpoints' weights, not of their number.
    pub weighted_health: bool,
    /// Of each host, which of the cluster's [`Dns`](super::Dns) endpoints led to it; nothing where hosts
    /// are not resolved.
    pub resolved_from: Vec<usize>,
}

/// One place that requests can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint<A = Address> {
    pub address: A,
    /// For people, and for hashing; never resolved.
    pub hostname: String,
    /// At least 1, relative to the others of its locality.
    pub weight: u32,
    pub locality: Locality,
    /// Endpoints of priority 0 come first, before what the cluster's locality rule says.
    pub priority: u32,
    pub health: Health,
    pub labels: BTreeMap<String, String>,
}

/// What the control plane knows of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Healthy,
    Degraded,
    Unhealthy,
    /// Finishes what it has and takes nothing new.
    Draining,
}

impl<A> Default for Endpoints<A> {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            overprovisioning: DEFAULT_OVERPROVISIONING,
            weighted_health: false,
            resolved_from: Vec::new(),
        }
    }
}

impl TryFrom<proto::ClusterLoadAssignment> for Endpoints {
    type Error = Invalid;

    fn try_from(assignment: proto::ClusterLoadAssignment) -> Result<Self, Invalid> {
        let endpoints = Self::parse(assignment, |address| match Address::parse(address)? {
            Address::Tcp(tcp) if tcp.port() == 0 => Err(port_zero()),
            address => Ok(address),
        })?;
        let mut seen = HashSet::with_capacity(endpoints.hosts.len());
        let mut hosts = endpoints.hosts.iter();
        if let Some(twice) = hosts.find(|host| !seen.insert(&host.address)) {
            return Err(Invalid::new(
                "endpoints",
                format!("{} occurs twice", twice.address),
            ));
        }
        Ok(endpoints)
    }
}

/// Within an address.
pub(super) fn port_zero() -> Invalid {
    Invalid::new("socket_address.port_value", "0 cannot be dialled")
}

impl<A> Endpoints<A> {
    /// The endpoints of an assignment; `place` reads where one of them is.
    pub(super) fn parse(
        assignment: proto::ClusterLoadAssignment,
        place: impl Fn(Option<core::Address>) -> Result<A, Invalid>,
    ) -> Result<Self, Invalid> {
        let mut hosts = Vec::new();
        for (i, group) in assignment.endpoints.into_iter().enumerate() {
            let tier = (locality(group.locality), group.priority);
            for (j, endpoint) in group.lb_endpoints.into_iter().enumerate() {
                hosts.push(
                    Endpoint::parse(endpoint, &tier, &place)
                        .map_err(|e| e.within(&format!("endpoints[{i}].lb_endpoints[{j}]")))?,
                );
            }
        }
        let policy = assignment.policy.unwrap_or_default();
        let overprovisioning = policy
            .overprovisioning_factor
            .unwrap_or(DEFAULT_OVERPROVISIONING);
        if overprovisioning == 0 {
            return Err(Invalid::new(
                "policy.overprovisioning_factor",
                "must be above 0",
            ));
        }
        Ok(Self {
            hosts,
            overprovisioning,
            weighted_health: policy.weighted_priority_health,
            resolved_from: Vec::new(),
        })
    }
}

impl<A> Endpoint<A> {
    fn parse(
        lb_endpoint: proto::LbEndpoint,
        (locality, priority): &(Locality, u32),
        place: impl Fn(Option<core::Address>) -> Result<A, Invalid>,
    ) -> Result<Self, Invalid> {
        let health = health(lb_endpoint.health_status)?;
        let Some(HostIdentifier::Endpoint(endpoint)) = lb_endpoint.host_identifier else {
            return Err(Invalid::new("endpoint", "is missing"));
        };
        let address = place(endpoint.address).map_err(|e| e.within("endpoint.address"))?;
        let weight = lb_endpoint.load_balancing_weight.unwrap_or(1);
        if weight == 0 {
            return Err(Invalid::new("load_balancing_weight", "must be at least 1"));
        }
        Ok(Self {
            address,
            hostname: endpoint.hostname,
            weight,
            locality: locality.clone(),
            priority: *priority,
            health,
            labels: labels(lb_endpoint.metadata)?,
        })
    }
}

fn health(status: i32) -> Result<Health, Invalid> {
    match HealthStatus::try_from(status) {
        Ok(HealthStatus::Unknown | HealthStatus::Healthy) => Ok(Health::Healthy),
        Ok(HealthStatus::Degraded) => Ok(Health::Degraded),
        Ok(HealthStatus::Unhealthy | HealthStatus::Timeout) => Ok(Health::Unhealthy),
        Ok(HealthStatus::Draining) => Ok(Health::Draining),
        Err(_) => Err(Invalid::new(
            "health_status",
            format!("{status} is unknown"),
        )),
    }
}

fn labels(metadata: Option<Metadata>) -> Result<BTreeMap<String, String>, Invalid> {
    let own = metadata.and_then(|mut m| m.typed_filter_metadata.remove(EXTENSION_NAME));
    let Some(own) = own else {
        return Ok(BTreeMap::new());
    };
    let own: EndpointMetadata = own
        .unpack()
        .map_err(|e| Invalid::from(e).within("metadata.typed_filter_metadata[meltemi]"))?;
    Ok(own.labels)
}
