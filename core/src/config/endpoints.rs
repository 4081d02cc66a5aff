//! The endpoints of a cluster.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use meltemi_policy::Locality;

/// All endpoints of one cluster, in the order of the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// No address occurs twice.
    pub hosts: Vec<Endpoint>,
}

/// One place that requests can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub address: Address,
    /// For people; never resolved.
    pub hostname: String,
    /// At least 1, relative to the others of its locality.
    pub weight: u32,
    pub locality: Locality,
    pub health: Health,
    pub labels: BTreeMap<String, String>,
}

/// Where an endpoint is dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
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
