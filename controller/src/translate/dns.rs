//! Where the endpoints of a cluster come from: a resource of their own, or names in the cluster.

use std::time::Duration;

use meltemi_proto::envoy::config::cluster::v3 as wire;
use meltemi_proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, RefreshRate,
};

use super::cluster::{ads, endpoints};
use super::duration;
use crate::model::{Cluster, Dns};

/// After the first failure; Istio says nothing, and Envoy would wait as long as after an answer.
const FAILURE_BASE: Duration = Duration::from_secs(2);
/// Istio's `PILOT_DNS_JITTER_DURATION`.
const JITTER: Duration = Duration::from_millis(100);

/// What a cluster says of it, and nothing else.
pub(super) fn discovery(cluster: &Cluster, name: &str) -> wire::Cluster {
    let Some(dns) = cluster.dns else {
        return wire::Cluster {
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
            eds_cluster_config: Some(EdsClusterConfig {
                eds_config: Some(ads()),
                service_name: String::new(),
            }),
            ..wire::Cluster::default()
        };
    };
    wire::Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind(cluster, dns).into())),
        load_assignment: Some(endpoints(cluster, name)),
        dns_refresh_rate: Some(duration(dns.refresh_rate)),
        respect_dns_ttl: true,
        dns_jitter: Some(duration(JITTER)),
        dns_failure_refresh_rate: Some(RefreshRate {
            base_interval: Some(duration(FAILURE_BASE.min(dns.refresh_rate))),
            max_interval: Some(duration(dns.refresh_rate)),
        }),
        dns_lookup_family: DnsLookupFamily::V4Preferred.into(),
        ..wire::Cluster::default()
    }
}

/// What has no endpoint at all, as a subset that selects none, is no LOGICAL_DNS to Envoy.
fn kind(cluster: &Cluster, dns: Dns) -> DiscoveryType {
    match dns.is_logical && cluster.endpoints.len() == 1 {
        true => DiscoveryType::LogicalDns,
        false => DiscoveryType::StrictDns,
    }
}
