//! Clusters whose endpoints have names, which the proxy resolves.

use std::time::Duration;

use super::locality::Mesh;
use super::services::Workload;
use super::{Findings, Service};
use crate::diagnostic::{Code, Diagnostic};
use crate::manifest::{Object, Resolution, ServiceEntry};

/// Istio's, where the MeshConfig says nothing.
const REFRESH_RATE: Duration = Duration::from_secs(60);

/// How the names of a cluster's endpoints are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dns {
    /// All addresses of the only name are one endpoint.
    pub(crate) is_logical: bool,
    /// How often, where an answer does not say how long it is good, or that there is none.
    pub(crate) refresh_rate: Duration,
}

impl Dns {
    pub(super) fn of(service: &Service, mesh: &Mesh) -> Option<Self> {
        service.resolution.has_names().then(|| Self {
            is_logical: service.resolution == Resolution::DnsRoundRobin,
            refresh_rate: mesh.dns_refresh_rate.unwrap_or(REFRESH_RATE),
        })
    }
}

/// Several that are selected are a mistake that Istio does not see, and Envoy refuses.
pub(super) fn only_one(
    object: &Object,
    entry: &ServiceEntry,
    workloads: &[Workload<'_>],
    findings: &mut Findings,
) {
    let several = entry.selector.is_some() && workloads.len() > 1;
    if let (Resolution::DnsRoundRobin, true, Some(first)) =
        (entry.resolution, several, workloads.first())
    {
        let message = format!(
            "`resolution: DNS_ROUND_ROBIN` has one endpoint: of {} WorkloadEntries that are \
             selected, only {} counts",
            workloads.len(),
            first.name(),
        );
        let at = entry.hosts.first().map_or(object.at, |host| host.at);
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        findings.at(object, at, diagnostic.remedy("write `resolution: DNS`"));
    }
}
