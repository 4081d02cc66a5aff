//! The configuration that a request is decided by: plain, valid, immutable values.
//!
//! Protobuf ends here. Each resource of the xDS stream is parsed on its own into a type that
//! cannot hold a nonsensical value, or refused with a reason that names the field. What is left is
//! a [`Snapshot`]: consistent, shared by reference, replaced as a whole.

mod adaptive_concurrency;
mod address;
mod authorization;
mod cluster;
mod destinations;
mod duration;
mod endpoints;
mod fault;
mod global_limit;
mod hash_policy;
mod invalid;
mod limit;
mod listener;
mod logical;
mod matching;
mod named;
mod proxy;
mod retry;
mod route;
mod secret;
mod service;
mod setting;
mod share;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use meltemi_policy::Limits;
use meltemi_policy::{Locality, Place};

use crate::balance::{Layout, Layouts};

pub use adaptive_concurrency::AdaptiveConcurrency;
pub use address::{Address, Dialled};
pub use cluster::{
    Cluster, Discovery, Dns, DnsKind, DnsTarget, FailurePercentage, Family, HealthCheck, Keepalive,
    LbPolicy, OutlierDetection, ProtocolCheck, Refresh, SuccessRate, Topology,
};
pub use destinations::Destinations;
pub use endpoints::{Endpoint, Endpoints, Health};
pub use fault::{Fault, RouteFault};
pub use global_limit::{DescriptorEntry, GlobalRateLimit};
pub use invalid::Invalid;
pub use limit::{LimitCondition, RateLimit};
pub(crate) use listener::is_loopback;
pub use listener::{Bind, Listener, Mode, ProxyProtocol, ServerNames};
pub use logical::Logical;
pub use proxy::Proxy;
pub(crate) use proxy::locality;
pub use retry::{RetryBudget, RetryOn, RetryPolicy};
pub use route::{
    CircuitBreaker, Mirror, Mutation, RemovePrefix, Route, RouteConfig, WeightedCluster,
};
pub use secret::{Hidden, Secret, SecretValue};
pub use service::{Buffering, Service};
pub use setting::Setting;
pub use share::Share;

/// Everything that requests are decided by at one moment.
///
/// Consistent: a listener's service, that service's routes, their clusters and those clusters'
/// endpoints are present, or known to be absent from the control plane. A name that is missing
/// here is answered as "no route" or "no healthy upstream", never waited for.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Listeners by name, in the order in which they are announced.
    pub listeners: BTreeMap<String, Arc<Listener>>,
    /// Services by name.
    pub services: HashMap<String, Arc<Service>>,
    /// Route configurations by name.
    pub routes: HashMap<String, Arc<RouteConfig>>,
    /// Clusters by name, each with its endpoints.
    pub clusters: HashMap<String, Arc<Cluster>>,
    /// Where this proxy runs.
    pub locality: Locality,
    /// The labels of this proxy's workload.
    pub labels: BTreeMap<String, String>,
    /// Changes with every published snapshot; for metrics, dumps and logs.
    pub version: String,
    /// What was computed of the clusters for all workers; what is missing each computes for itself.
    pub layouts: Layouts,
    /// The services by the addresses that clients dial, where a listener asks for that.
    pub destinations: Arc<Destinations>,
}

impl Snapshot {
    /// Where this proxy runs, and what it is called there.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place {
            locality: &self.locality,
            labels: &self.labels,
        }
    }

    /// With the layouts of its clusters, if `before` are those of the snapshot before, and with the
    /// addresses of its services. Layouts of clusters that are the same stay.
    #[must_use]
    pub fn laid_out(self, before: &Layouts) -> Self {
        Self {
            layouts: before.next(&self.clusters, self.place()),
            destinations: Arc::new(Destinations::of(&self)),
            ..self
        }
    }

    /// The layout of one of its clusters; it is made where nobody has made it.
    pub(crate) fn layout(&self, name: &str, cluster: &Arc<Cluster>) -> Arc<Layout> {
        let made = self.layouts.of(name, cluster).cloned();
        made.unwrap_or_else(|| Arc::new(Layout::new(Arc::clone(cluster), self.place())))
    }
}

#[cfg(test)]
mod tests;
