//! The model as xDS resources: pure, and equal models give equal bytes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as route;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::route_action::ClusterSpecifier;
use meltemi_proto::envoy::config::cluster::v3 as wire;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3 as listener;
use meltemi_proto::envoy::config::listener::v3::filter::ConfigType;
use meltemi_proto::envoy::config::route::v3 as envoy_route;
use meltemi_proto::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use meltemi_proto::meltemi::config::v1 as own;
use meltemi_proto::{Any, EXTENSION_NAME, SELF_RESOURCE};
use prost::Name as _;

use meltemi_policy::{ClusterName, Locality, Place};

use crate::ads::{Resource, Resources};
use crate::manifest::{Object, ObjectRef};
use crate::model::{Bind, Cluster, Model, Rule, Server, WeightedCluster};
pub(crate) use secrets::{of_cluster as secrets_of_cluster, of_server as secrets_of_server};

mod adaptive_concurrency;
mod authorization;
mod cluster;
mod dns;
mod global_limit;
mod health;
mod limit;
mod locality;
mod matching;
mod policy;
mod scopes;
mod secrets;
mod tls;
mod waypoint;

#[cfg(feature = "kubernetes")]
pub(crate) use cluster::cluster as wire_cluster;
pub(crate) use cluster::endpoints;
pub(crate) use scopes::{accounts, scopes};
#[cfg(feature = "kubernetes")]
pub(crate) use scopes::{gateway_of, of as scope_of};

/// How long the handshake of a client may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What was made of an earlier model, of which clusters that are as they were need not be made again.
pub(crate) struct Earlier<'a> {
    pub(crate) model: &'a Model,
    pub(crate) resources: &'a Resources,
}

impl Earlier<'_> {
    /// Adds what was made of the cluster, if it is as it was.
    fn add(&self, name: &ClusterName, cluster: &Cluster, resources: &mut Resources) -> bool {
        let known = self.model.clusters.get(name);
        if known.is_none_or(|known| **known != *cluster) {
            return false;
        }
        let name = name.to_string();
        let known = |type_url: &str| self.resources.shared(type_url, &name);
        let Some((name, made)) = known(&wire::Cluster::type_url()) else {
            return false;
        };
        resources.share(name, made);
        if let Some((name, made)) = known(&ClusterLoadAssignment::type_url()) {
            resources.share(name, made);
        }
        true
    }
}

/// All resources of a model. `own` is the proxy: nameless where it knows better itself.
pub(crate) fn translate(model: &Model, own: Place<'_>, earlier: &Earlier<'_>) -> Resources {
    let mut resources = Resources::new();
    if !own.is_nameless() {
        resources.insert(SELF_RESOURCE, &this_proxy(own));
    }
    for server in model.servers.iter() {
        let name = server.name.to_string();
        if let Some(address) = address(&server.bind) {
            resources.insert(&name, &listener(server, &name, address));
        }
        for resource in of_rules(server, &name) {
            resources.share(&name.as_str().into(), &Arc::new(resource));
        }
    }
    for waypoint in model.waypoints.iter() {
        waypoint::add(waypoint, &mut resources);
    }
    for (name, cluster) in model.clusters.iter() {
        if earlier.add(name, cluster, &mut resources) {
            continue;
        }
        add_cluster(name, cluster, &mut resources);
    }
    for secret in secrets::of_model(model) {
        resources.insert(secret.name.clone(), &secret);
    }
    resources
}

/// What hangs on the rules of a server.
pub(crate) fn of_rules(server: &Server, name: &str) -> [Resource; 2] {
    [
        Resource::of(&service(server, name)),
        Resource::of(&routes(server, name)),
    ]
}

pub(crate) fn add_cluster(name: &ClusterName, cluster: &Cluster, resources: &mut Resources) {
    let name = name.to_string();
    resources.insert(&name, &cluster::cluster(cluster, &name));
    if cluster.dns.is_none() {
        resources.insert(&name, &endpoints(cluster, &name));
    }
}

#[cfg(feature = "kubernetes")]
pub(crate) fn remove_cluster(name: &ClusterName, resources: &mut Resources) {
    let name = name.to_string();
    for type_url in [wire::Cluster::type_url(), ClusterLoadAssignment::type_url()] {
        resources.remove(&type_url, &name);
    }
}

pub(crate) fn this_proxy(place: Place<'_>) -> own::Self_ {
    own::Self_ {
        locality: Some(wire_locality(place.locality)),
        labels: place.labels.clone(),
    }
}

/// None where it has no listener of its own.
fn address(bind: &Bind) -> Option<core::Address> {
    match bind {
        Bind::Tcp(ip, port) => Some(socket(*ip, *port)),
        Bind::Unix(path) => Some(pipe(path)),
        Bind::Service(_) => None,
    }
}

fn listener(server: &Server, name: &str, address: core::Address) -> listener::Listener {
    let mode = own::listener::Mode::Service(own::listener::FixedService {
        name: name.to_owned(),
    });
    let server_names = &server.server_names;
    let told_apart = (!server_names.is_empty()).then(|| listener::FilterChainMatch {
        server_names: server_names.clone(),
    });
    let chain = listener::FilterChain {
        filter_chain_match: told_apart,
        transport_socket: server.tls.as_ref().map(tls::downstream),
        transport_socket_connect_timeout: server.tls.as_ref().map(|_| duration(HANDSHAKE)),
        ..filter_chain(mode, server.most_per_source, &server.source)
    };
    listener::Listener {
        name: name.to_owned(),
        address: Some(address),
        filter_chains: vec![chain],
        ..listener::Listener::default()
    }
}

fn filter_chain(
    mode: own::listener::Mode,
    most_per_source: Option<NonZeroU32>,
    gateway: &Object,
) -> listener::FilterChain {
    let config = own::Listener {
        mode: Some(mode),
        max_connections_per_source: most_per_source.map_or(0, NonZeroU32::get),
        source: Some(source_of(gateway)),
    };
    let filter = listener::Filter {
        name: EXTENSION_NAME.to_owned(),
        config_type: Some(ConfigType::TypedConfig(Any::pack(&config))),
    };
    listener::FilterChain {
        filters: vec![filter],
        ..listener::FilterChain::default()
    }
}

fn service(server: &Server, name: &str) -> own::Service {
    let bound = match &server.bind {
        Bind::Service(bound) => Some(bound),
        Bind::Tcp(..) | Bind::Unix(_) => None,
    };
    own::Service {
        name: name.to_owned(),
        addresses: bound.map_or_else(Vec::new, waypoint::addresses),
        ports: vec![own::service::Port {
            number: server.bind.port().unwrap_or(0).into(),
            protocol: server.protocol.plugin.clone(),
            application_protocol: server.protocol.application.clone(),
            route_config_name: name.to_owned(),
            default_cluster: bound.map_or_else(String::new, |bound| bound.cluster.to_string()),
        }],
        authorization: authorization::authorization(&server.authorization),
        settings: policy::settings(&server.policy.settings),
        faults: server.policy.faults.iter().map(policy::fault).collect(),
        operation_metrics: server.policy.operation_metrics,
        slow_request_threshold: server.policy.slow_request.map(duration),
        buffering: server.policy.buffering.map(policy::buffering),
        downstream_idle_timeout: server.policy.clients.idle.map(duration),
        max_downstream_connection_duration: server.policy.clients.longest.map(duration),
        source: Some(source(&server.decides().id)),
    }
}

fn routes(server: &Server, name: &str) -> route::RouteConfiguration {
    route::RouteConfiguration {
        name: name.to_owned(),
        routes: server
            .rules
            .iter()
            .filter_map(|rule| wire_route(rule))
            .collect(),
        local_rate_limits: limit::limits(&server.rules),
        global_rate_limits: global_limit::limits(&server.rules),
    }
}

/// None for a rule that no request can be for.
fn wire_route(rule: &Rule) -> Option<route::Route> {
    let matches = matching::wire_match(&rule.matches())?;
    let specifier = match rule.destinations.as_slice() {
        [only] => ClusterSpecifier::Cluster(only.cluster.to_string()),
        several => ClusterSpecifier::WeightedClusters(envoy_route::WeightedCluster {
            clusters: several.iter().map(cluster_weight).collect(),
        }),
    };
    Some(route::Route {
        name: rule.name.clone(),
        r#match: Some(matches),
        route: Some(route::RouteAction {
            cluster_specifier: Some(specifier),
            timeout: rule.timeout.map(duration),
            remove_prefix: rule.remove_prefix.as_ref().map(policy::remove_prefix),
            mirrors: rule.mirrors.iter().map(policy::mirror).collect(),
            retry_policy: rule.retries.as_ref().map(policy::retries),
            idempotent: rule.idempotent,
            fallbacks: policy::fallbacks(&rule.destinations),
            hedge_policy: rule.hedge.map(policy::hedge),
            hash_policy: rule.hash_policy.iter().map(policy::hash_policy).collect(),
            circuit_breaker: rule.circuit_breaker.as_ref().map(policy::circuit_breaker),
        }),
        request_mutation: rule.request_mutation.iter().map(policy::mutation).collect(),
        response_mutation: rule
            .response_mutation
            .iter()
            .map(policy::mutation)
            .collect(),
        source: Some(source_of(&rule.source)),
        local_rate_limit: limit::name(rule),
        global_rate_limit: global_limit::name(rule),
        adaptive_concurrency: rule
            .adaptive_concurrency
            .as_ref()
            .map(adaptive_concurrency::wire),
        fault: rule.fault.as_ref().map(limit::fault),
    })
}

fn cluster_weight(destination: &WeightedCluster) -> ClusterWeight {
    ClusterWeight {
        name: destination.cluster.to_string(),
        weight: Some(destination.weight),
    }
}

fn source_of(object: &Object) -> own::SourceObject {
    source(&object.id)
}

/// Where a rejection is reported.
fn source(object: &ObjectRef) -> own::SourceObject {
    own::SourceObject {
        kind: object.kind.name().to_owned(),
        namespace: object.namespace.to_string(),
        name: object.name.to_string(),
        ..own::SourceObject::default()
    }
}

fn socket(host: impl ToString, port: u16) -> core::Address {
    let address = core::SocketAddress {
        address: host.to_string(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..core::SocketAddress::default()
    };
    core::Address {
        address: Some(core::address::Address::SocketAddress(address)),
    }
}

fn pipe(path: &str) -> core::Address {
    let pipe = core::Pipe {
        path: path.to_owned(),
        ..core::Pipe::default()
    };
    core::Address {
        address: Some(core::address::Address::Pipe(pipe)),
    }
}

fn wire_locality(locality: &Locality) -> core::Locality {
    core::Locality {
        region: locality.region.clone(),
        zone: locality.zone.clone(),
        sub_zone: locality.subzone.clone(),
    }
}

fn duration(duration: Duration) -> meltemi_proto::Duration {
    meltemi_proto::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).expect("below 10^9"),
    }
}

/// Metadata that holds one message of ours.
fn metadata<M: prost::Message + prost::Name>(message: &M) -> core::Metadata {
    core::Metadata {
        typed_filter_metadata: [(EXTENSION_NAME.to_owned(), Any::pack(message))].into(),
        ..core::Metadata::default()
    }
}

#[cfg(test)]
mod tests;
