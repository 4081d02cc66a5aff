//! A cluster: endpoints that are equal to the client, and the policy to choose among them.

use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::LocalityRule;

use super::Endpoints;

/// Endpoints and how they are used.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// `outbound|port|subset|host`.
    pub name: String,
    pub lb: LbPolicy,
    pub connect_timeout: Duration,
    /// `None`: no endpoint is ever ejected.
    pub outlier: Option<OutlierDetection>,
    /// In percent: a tier with fewer healthy endpoints uses all of them; 0 never does.
    pub panic_threshold: u32,
    /// In percent: how much of its own share each healthy endpoint may take; Envoy's default is 140.
    pub overprovisioning: u32,
    pub locality: LocalityRule,
    pub endpoints: Arc<Endpoints>,
}

/// How one endpoint of a tier is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LbPolicy {
    RoundRobin,
    /// The less loaded of two random choices.
    #[default]
    LeastRequest,
    Random,
}

/// When an endpoint that fails is left out, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Consecutive failures that eject.
    pub consecutive_errors: u32,
    /// How often ejected endpoints are looked at again.
    pub interval: Duration,
    /// An ejection lasts this long times the number of ejections so far.
    pub base_ejection_time: Duration,
    /// Bounds the length of one ejection.
    pub max_ejection_time: Duration,
    /// Of the cluster's endpoints, at most so many are ejected at a time (at least one may be).
    pub max_ejection_percent: u32,
}
