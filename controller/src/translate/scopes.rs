//! What concerns each Gateway: its servers, what their rules lead to, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_proto::SELF_RESOURCE;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use meltemi_proto::meltemi::config::v1::{Self_, Service};
use prost::Name as _;

use super::{secrets_of_cluster, secrets_of_server};
use crate::ads::{NamespacedName, Resources};
use crate::model::{Bind, Model, Server, ServerName, Waypoint};

/// Of all resources of the model those of each Gateway, which share their encodings.
pub(crate) fn scopes(
    model: &Model,
    all: &Resources,
) -> impl Iterator<Item = (NamespacedName, Resources)> {
    let mut servers: BTreeMap<NamespacedName, Vec<&Server>> = BTreeMap::new();
    for server in model.servers.iter() {
        let gateway = gateway_of(&server.name);
        servers.entry(gateway).or_default().push(server);
    }
    let mut waypoints = BTreeMap::new();
    for waypoint in model.waypoints.iter() {
        let gateway = gateway_of(&waypoint.name);
        servers.entry(gateway.clone()).or_default();
        waypoints.insert(gateway, waypoint);
    }
    let scopes = servers.into_iter();
    scopes.map(move |(gateway, servers)| {
        let waypoint = waypoints.get(&gateway).copied();
        (gateway, scope((&servers, waypoint), model, all))
    })
}

/// On a Gateway whose proxies somebody else runs: the service account that they run as.
const SERVICE_ACCOUNT: &str = "meltemi.io/service-account";

/// As whom the proxies of Gateways run, where that is known: those of waypoints, which are of this controller, as the account
/// of the Gateway's name, others as their Gateway says.
pub(crate) fn accounts(model: &Model) -> BTreeMap<NamespacedName, String> {
    let servers = model.servers.iter();
    let gateways = servers.map(|it| (&it.name, &it.source));
    let led_to = model.waypoints.iter().filter(|it| it.sidecars.is_some());
    let gateways = gateways.chain(led_to.map(|it| (&it.name, &it.gateway)));
    let said = gateways.filter_map(|(name, source)| {
        let account = source.metadata.annotations.get(SERVICE_ACCOUNT)?;
        Some((gateway_of(name), account.value.clone()))
    });
    let waypoints = model.waypoints.iter().filter(|it| it.sidecars.is_none());
    let own = waypoints.map(|it| (gateway_of(&it.name), it.name.gateway.to_string()));
    said.chain(own).collect()
}

/// Whose a server or a waypoint is.
pub(crate) fn gateway_of(name: &ServerName) -> NamespacedName {
    NamespacedName {
        namespace: name.namespace.clone(),
        name: name.gateway.clone(),
    }
}

/// Of one Gateway.
#[cfg(feature = "kubernetes")]
pub(crate) fn of(gateway: &NamespacedName, model: &Model, all: &Resources) -> Resources {
    let is_of =
        |name: &ServerName| (&name.namespace, &name.gateway) == (&gateway.namespace, &gateway.name);
    let servers = model.servers.iter().map(|server| &**server);
    let servers: Vec<_> = servers.filter(|server| is_of(&server.name)).collect();
    let waypoint = model.waypoints.iter().find(|it| is_of(&it.name));
    scope((&servers, waypoint), model, all)
}

fn scope(
    (servers, waypoint): (&[&Server], Option<&Waypoint>),
    model: &Model,
    all: &Resources,
) -> Resources {
    let mut scope = Scope {
        all,
        chosen: Resources::new(),
    };
    scope.add(&Self_::type_url(), SELF_RESOURCE);
    let mut clusters = BTreeSet::new();
    for server in servers {
        let name = server.name.to_string();
        for type_url in [
            Listener::type_url(),
            Service::type_url(),
            RouteConfiguration::type_url(),
        ] {
            scope.add(&type_url, &name);
        }
        scope.add_secrets(secrets_of_server(server).map(|secret| secret.name));
        clusters.extend(server.rules.iter().flat_map(|rule| rule.clusters()));
        if let Bind::Service(bound) = &server.bind {
            clusters.insert(&bound.cluster);
        }
    }
    if let Some(waypoint) = waypoint {
        for (name, _) in waypoint.listeners() {
            scope.add(&Listener::type_url(), &name);
        }
        for passed in &waypoint.passed {
            scope.add(&Service::type_url(), &passed.name.to_string());
            clusters.insert(&passed.bound.cluster);
        }
    }
    for name in clusters {
        // Nobody defines it, or it is refused.
        let Some(cluster) = model.clusters.get(name) else {
            continue;
        };
        let name = name.to_string();
        scope.add(&Cluster::type_url(), &name);
        scope.add(&ClusterLoadAssignment::type_url(), &name);
        scope.add_secrets(secrets_of_cluster(cluster).map(|secret| secret.name));
    }
    scope.chosen
}

struct Scope<'a> {
    all: &'a Resources,
    chosen: Resources,
}

impl Scope<'_> {
    fn add(&mut self, type_url: &str, name: &str) {
        if let Some((name, resource)) = self.all.shared(type_url, name) {
            self.chosen.share(name, resource);
        }
    }

    fn add_secrets(&mut self, names: impl IntoIterator<Item = String>) {
        let type_url = Secret::type_url();
        names
            .into_iter()
            .for_each(|name| self.add(&type_url, &name));
    }
}

#[cfg(test)]
mod tests;
