//! A cluster: endpoints, and how they are treated.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::Locality;

use super::{ClusterTls, Dns, HealthCheck, LocalityState, Setting};
use crate::manifest::{
    ConnectionPool, ConsistentHash, ObjectRef, OutlierDetection, RetryBudget, Simple, Warmup,
};

/// Endpoints and the policy towards them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cluster {
    /// What decides its policy: the RedisDestination, else the DestinationRule, else the
    /// ServiceEntry.
    pub(crate) source: ObjectRef,
    /// Counts where there is no `hash`.
    pub(crate) balance: Simple,
    pub(crate) hash: Option<ConsistentHash>,
    /// Of no effect where a hash or chance decides.
    pub(crate) warmup: Option<Warmup>,
    pub(crate) connect_timeout: Duration,
    /// Its own `connect_timeout` is the one above, where it has one.
    pub(crate) pool: ConnectionPool,
    /// None: its endpoints are dialled in plaintext.
    pub(crate) tls: Option<ClusterTls>,
    /// None: the proxy's default.
    pub(crate) max_unknown_nodes: Option<u32>,
    /// What the plugin is told about the servers.
    pub(crate) settings: Vec<Setting>,
    /// The seeds, where the endpoints are learned from the servers; none of them: `endpoints`.
    pub(crate) topology: Option<Vec<EndpointAddress>>,
    pub(crate) outlier: Option<OutlierDetection>,
    pub(crate) health_check: Option<HealthCheck>,
    /// None: the proxy's default.
    pub(crate) retry_budget: Option<RetryBudget>,
    pub(crate) locality: LocalityState,
    /// In percent; none: the proxy's default.
    pub(crate) panic_threshold: Option<u32>,
    /// None: the endpoints have no names.
    pub(crate) dns: Option<Dns>,
    /// What its service is written in.
    pub(crate) service: ObjectRef,
    /// The labels of its subset.
    pub(crate) subset: BTreeMap<String, String>,
    /// Shared with the port of its service.
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: EndpointAddress,
    pub(crate) locality: Locality,
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    /// What it is called whatever its address; empty where it has no name.
    pub(crate) hostname: String,
    /// At least 1.
    pub(crate) weight: u32,
    /// One that is not is there to be counted, not to be asked.
    pub(crate) is_ready: bool,
    /// The service account that it runs as, as in `ns/shop/sa/orders`; empty where that is not known.
    pub(crate) account: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndpointAddress {
    Tcp(IpAddr, u16),
    Unix(String),
    /// The proxy resolves it.
    Name(String, u16),
}

impl std::fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(ip, port) => std::net::SocketAddr::new(*ip, *port).fmt(f),
            Self::Unix(path) => write!(f, "unix://{path}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}
