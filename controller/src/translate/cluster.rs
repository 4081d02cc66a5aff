//! Clusters and their endpoints in Envoy's own types.

use std::collections::BTreeMap;
use std::time::Duration;

use meltemi_policy::Locality;
use meltemi_proto::envoy::config::cluster::v3 as wire;
use meltemi_proto::envoy::config::cluster::v3::circuit_breakers::{Thresholds, thresholds};
use meltemi_proto::envoy::config::cluster::v3::cluster::{
    LbConfig, LbPolicy, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig, RoundRobinLbConfig,
    SlowStartConfig,
};
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use meltemi_proto::envoy::config::endpoint::v3 as eds;
use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use meltemi_proto::meltemi::config::v1 as own;

use super::policy::{hash_policy, percent, settings};
use super::tls::upstream;
use super::{dns, health, locality};
use super::{duration, metadata, pipe, socket, source, wire_locality};
use crate::manifest::{ConnectionPool, HashTable, Keepalive, Simple, Warmup};
use crate::model::{Cluster, Endpoint, EndpointAddress};

pub(crate) fn cluster(cluster: &Cluster, name: &str) -> wire::Cluster {
    let (lb_policy, lb_config) = balance(cluster);
    let policy = own::ClusterPolicy {
        locality: locality::rule(cluster.locality.rule()),
        settings: settings(&cluster.settings),
        topology: cluster.topology.as_deref().map(topology),
        max_unknown_nodes: cluster.max_unknown_nodes,
        hash_policy: hash_key(cluster),
        peak_ewma: peak_ewma(cluster),
        idle_timeout: cluster.pool.http.idle_timeout.map(duration),
        max_requests_per_connection: cluster.pool.http.max_requests_per_connection,
        source: Some(source(&cluster.source)),
        application_errors_count: cluster
            .outlier
            .as_ref()
            .is_some_and(|it| it.application_errors),
    };
    let options = cluster
        .pool
        .tcp
        .keepalive
        .map(|options| wire::UpstreamConnectionOptions {
            tcp_keepalive: Some(keepalive(options)),
        });
    wire::Cluster {
        name: name.to_owned(),
        connect_timeout: Some(duration(cluster.connect_timeout)),
        lb_policy: lb_policy.into(),
        lb_config,
        circuit_breakers: thresholds(cluster),
        upstream_connection_options: options,
        common_lb_config: locality::common(cluster),
        outlier_detection: cluster.outlier.as_ref().map(health::outlier_detection),
        health_checks: cluster.health_check.iter().map(health::check).collect(),
        transport_socket: cluster.tls.as_ref().map(upstream),
        metadata: Some(metadata(&policy)),
        ..dns::discovery(cluster, name)
    }
}

fn hash_key(cluster: &Cluster) -> Vec<own::HashPolicy> {
    let hash = cluster.hash.as_ref();
    let key = hash.and_then(|hash| hash.key.as_ref());
    key.map(|key| hash_policy(&key.value)).into_iter().collect()
}

fn peak_ewma(cluster: &Cluster) -> Option<own::PeakEwma> {
    match cluster.balance {
        Simple::PeakEwma(decay) if cluster.hash.is_none() => Some(own::PeakEwma {
            decay: Some(duration(decay)),
        }),
        _ => None,
    }
}

/// From where the cluster itself comes.
pub(super) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(core::AggregatedConfigSource {})),
        resource_api_version: core::ApiVersion::V3.into(),
    }
}

fn balance(cluster: &Cluster) -> (LbPolicy, Option<LbConfig>) {
    match cluster.hash.as_ref().map(|hash| hash.table) {
        Some(HashTable::Maglev { table_size }) => {
            let table_size = table_size.map(u64::from);
            let config = table_size
                .is_some()
                .then_some(MaglevLbConfig { table_size });
            (LbPolicy::Maglev, config.map(LbConfig::MaglevLbConfig))
        }
        Some(HashTable::Ring { minimum_size }) => {
            let minimum_ring_size = minimum_size.map(u64::from);
            let config = RingHashLbConfig { minimum_ring_size };
            let config = minimum_ring_size.is_some().then_some(config);
            (LbPolicy::RingHash, config.map(LbConfig::RingHashLbConfig))
        }
        None => {
            let slow_start_config = cluster.warmup.map(slow_start);
            let is_slow = slow_start_config.is_some();
            let (policy, config) = match cluster.balance {
                Simple::RoundRobin => {
                    let config = RoundRobinLbConfig { slow_start_config };
                    (LbPolicy::RoundRobin, LbConfig::RoundRobinLbConfig(config))
                }
                Simple::LeastRequest | Simple::PeakEwma(_) => {
                    let config = LeastRequestLbConfig { slow_start_config };
                    let config = LbConfig::LeastRequestLbConfig(config);
                    (LbPolicy::LeastRequest, config)
                }
                Simple::Random => return (LbPolicy::Random, None),
            };
            (policy, is_slow.then_some(config))
        }
    }
}

fn slow_start(warmup: Warmup) -> SlowStartConfig {
    let aggression = warmup.aggression.map(|aggression| core::RuntimeDouble {
        default_value: aggression,
        runtime_key: String::new(),
    });
    SlowStartConfig {
        slow_start_window: Some(duration(warmup.duration)),
        aggression,
        min_weight_percent: warmup.minimum_percent.map(percent),
    }
}

fn keepalive(keepalive: Keepalive) -> core::TcpKeepalive {
    core::TcpKeepalive {
        keepalive_probes: keepalive.probes,
        keepalive_time: keepalive.time.map(seconds),
        keepalive_interval: keepalive.interval.map(seconds),
    }
}

/// Whole seconds, at least one.
fn seconds(duration: Duration) -> u32 {
    let rounded = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

fn thresholds(cluster: &Cluster) -> Option<wire::CircuitBreakers> {
    let ConnectionPool { tcp, http } = cluster.pool;
    let retry_budget = cluster.retry_budget.map(|budget| thresholds::RetryBudget {
        budget_percent: budget.percent.map(percent),
        min_retry_concurrency: budget.min_concurrency,
    });
    let thresholds = Thresholds {
        max_connections: tcp.max_connections,
        max_pending_requests: http.max_pending_requests,
        max_requests: http.max_requests,
        max_retries: http.max_retries,
        retry_budget,
        ..Thresholds::default()
    };
    (thresholds != Thresholds::default()).then(|| wire::CircuitBreakers {
        thresholds: vec![thresholds],
    })
}

fn topology(seeds: &[EndpointAddress]) -> own::Topology {
    own::Topology {
        seeds: seeds.iter().map(address).collect(),
    }
}

fn address(address: &EndpointAddress) -> core::Address {
    match address {
        EndpointAddress::Tcp(ip, port) => socket(*ip, *port),
        EndpointAddress::Unix(path) => pipe(path),
        EndpointAddress::Name(name, port) => socket(name, *port),
    }
}

/// With the real localities, and no priorities: a proxy computes its tiers from its own place.
pub(crate) fn endpoints(cluster: &Cluster, name: &str) -> eds::ClusterLoadAssignment {
    let mut localities: BTreeMap<&Locality, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in &cluster.endpoints {
        localities
            .entry(&endpoint.locality)
            .or_default()
            .push(endpoint);
    }
    let localities = localities.into_iter().map(|(locality, endpoints)| {
        let weight = endpoints
            .iter()
            .fold(0u32, |sum, e| sum.saturating_add(e.weight));
        eds::LocalityLbEndpoints {
            locality: Some(wire_locality(locality)),
            lb_endpoints: endpoints.into_iter().map(lb_endpoint).collect(),
            load_balancing_weight: Some(weight),
            priority: 0,
        }
    });
    eds::ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: localities.collect(),
        policy: None,
    }
}

fn lb_endpoint(endpoint: &Endpoint) -> eds::LbEndpoint {
    let host = eds::Endpoint {
        address: Some(address(&endpoint.address)),
        hostname: endpoint.hostname.clone(),
    };
    let labels = own::EndpointMetadata {
        labels: (*endpoint.labels).clone(),
    };
    let health = match endpoint.is_ready {
        true => core::HealthStatus::Healthy,
        false => core::HealthStatus::Unhealthy,
    };
    eds::LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(host)),
        health_status: health.into(),
        metadata: (!labels.labels.is_empty()).then(|| metadata(&labels)),
        load_balancing_weight: Some(endpoint.weight),
    }
}
