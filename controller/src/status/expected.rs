//! What proxies have to have so that objects act: of each object and parent, resources and their versions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::meltemi::config::v1::Service;
use prost::Name as _;

use super::ledger::{Judged, Resolved};
use super::parent::{ParentRef, parents};
use crate::manifest::{Kind, ObjectRef, Spec};
use crate::model::{Bind, Rule, Server, Waypoint};

/// An object at one of its parents.
pub(super) type Place = (ObjectRef, ParentRef);

/// Endpoints are no part of it: they come and go without a word of anybody.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) types: [OfType; 4],
    /// By their place in the list, which the types name them by.
    pub(super) versions: Vec<Arc<str>>,
    pub(super) items: BTreeMap<Place, Item>,
}

#[derive(Debug)]
pub(super) struct OfType {
    pub(super) type_url: String,
    /// In a word for people.
    pub(super) kind: &'static str,
    pub(super) names: HashMap<String, usize>,
}

/// What one object needs at one parent.
#[derive(Debug, Default)]
pub(super) struct Item {
    /// Whoever was told of one of these is concerned.
    pub(super) anchors: Vec<usize>,
    /// All of them.
    pub(super) resources: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Type {
    Listener,
    Service,
    Routes,
    Cluster,
}

impl Expected {
    pub(super) fn of(resolved: &Resolved, judged: &[Judged]) -> Self {
        let of_type = |type_url, kind| OfType {
            type_url,
            kind,
            names: HashMap::new(),
        };
        let mut expected = Self {
            types: [
                of_type(Listener::type_url(), "the listener"),
                of_type(Service::type_url(), "the service"),
                of_type(RouteConfiguration::type_url(), "the routes"),
                of_type(Cluster::type_url(), "the cluster"),
            ],
            versions: vec![],
            items: BTreeMap::new(),
        };
        for judged in judged {
            let id = &judged.record.id;
            for parent in parents(&judged.record, resolved) {
                expected.items.insert((id.clone(), parent), Item::default());
            }
        }
        expected.attached(resolved);
        expected.by_protocol(resolved);
        expected.by_policy(resolved);
        expected.by_authorization(resolved);
        expected.of_gateways(resolved);
        expected.of_led(resolved);
        expected
    }

    /// Of MetaRouters and RedisServices: the servers that they act on, and where their rules lead.
    fn attached(&mut self, resolved: &Resolved) {
        for server in resolved.model.servers.iter() {
            for id in &server.attached {
                let place = (id.clone(), self.parent(id, server));
                // Not there yet, or not any more, as far as the API server has told.
                let Some(mut item) = self.items.remove(&place) else {
                    continue;
                };
                self.add_server(&mut item, server, resolved);
                let own = server.rules.iter().filter(|rule| is_of(rule, id));
                for cluster in own.flat_map(|rule| rule.clusters()) {
                    let cluster = self.resource(Type::Cluster, &cluster.to_string(), resolved);
                    item.resources.extend(cluster);
                }
                self.items.insert(place, item);
            }
        }
    }

    /// Of ApplicationProtocols: the servers whose ports they name.
    fn by_protocol(&mut self, resolved: &Resolved) {
        let places: Vec<_> = self.of_kind(Kind::ApplicationProtocol);
        for place in places {
            let object = resolved.objects.get(&place.0);
            let Some(Spec::ApplicationProtocol(spec)) = object.map(|object| &object.spec) else {
                continue;
            };
            let name = spec.protocol.value.to_lowercase();
            let servers = resolved.model.servers.iter();
            let mut item = Item::default();
            for server in servers.filter(|server| server.protocol.application == name) {
                self.add_server(&mut item, server, resolved);
            }
            self.items.insert(place, item);
        }
    }

    /// Of RedisDestinations: the clusters whose policy they decide.
    fn by_policy(&mut self, resolved: &Resolved) {
        for place in self.of_kind(Kind::RedisDestination) {
            let clusters = resolved.model.clusters.iter();
            let own = clusters.filter(|(_, cluster)| cluster.source == place.0);
            let mut item = Item::default();
            for (name, _) in own {
                item.resources
                    .extend(self.resource(Type::Cluster, &name.to_string(), resolved));
            }
            item.anchors.clone_from(&item.resources);
            self.items.insert(place, item);
        }
    }

    /// Of DubboAuthorizationPolicies: the services that are under them, with which they travel.
    fn by_authorization(&mut self, resolved: &Resolved) {
        for place in self.of_kind(Kind::DubboAuthorizationPolicy) {
            let servers = resolved.model.servers.iter();
            let is_under = |server: &&Arc<Server>| {
                let mut policies = server.authorization.iter();
                policies.any(|applied| applied.source == place.0)
            };
            let mut item = Item::default();
            for name in servers.filter(is_under).map(|it| it.name.to_string()) {
                let listener = self.resource(Type::Listener, &name, resolved);
                let service = self.resource(Type::Service, &name, resolved);
                item.anchors.extend(listener.or(service));
                item.resources.extend(service);
            }
            self.items.insert(place, item);
        }
    }

    /// Of Gateways of the Gateway API: their listeners. What is behind these a proxy asks for by itself, and is not ready
    /// before it has it.
    fn of_gateways(&mut self, resolved: &Resolved) {
        let url = Listener::type_url();
        let listeners = resolved.resources.of_type(&url);
        let names: Vec<_> = listeners.map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let mut parts = name.splitn(3, '/');
            let (Some(namespace), Some(gateway)) = (parts.next(), parts.next()) else {
                continue;
            };
            let id = ObjectRef::new(Kind::KubernetesGateway, namespace, gateway);
            if !resolved.objects.contains_key(&id) {
                continue;
            }
            let listener = self.resource(Type::Listener, &name, resolved);
            let item = self.items.entry(place_of_gateway(id)).or_default();
            item.anchors.extend(listener);
            item.resources.extend(listener);
        }
    }

    /// Of services that sidecars are led to a Gateway for: that it serves them.
    fn of_led(&mut self, resolved: &Resolved) {
        for waypoint in resolved.model.waypoints.iter() {
            for led in &waypoint.led.services {
                let place = place_of_led(&led.service, &waypoint.gateway.id);
                let mut item = self.items.remove(&place).unwrap_or_default();
                for (listener, _) in waypoint.listeners() {
                    let listener = self.resource(Type::Listener, &listener, resolved);
                    item.anchors.extend(listener);
                    item.resources.extend(listener);
                }
                for port in &led.ports {
                    self.add_port(&mut item, waypoint, (&led.host, *port), resolved);
                }
                self.items.insert(place, item);
            }
        }
    }

    fn add_port(
        &mut self,
        item: &mut Item,
        waypoint: &Waypoint,
        (host, port): (&str, u16),
        resolved: &Resolved,
    ) {
        let name = waypoint.server_of((host, port)).to_string();
        item.resources
            .extend(self.resource(Type::Service, &name, resolved));
        item.resources
            .extend(self.resource(Type::Routes, &name, resolved));
    }

    fn of_kind(&self, kind: Kind) -> Vec<Place> {
        let places = self.items.keys().filter(|(id, _)| id.kind == kind);
        places.cloned().collect()
    }

    /// Of one that is attached to a server: the Gateway, or the service before which it stands, whichever it names.
    fn parent(&self, id: &ObjectRef, server: &Server) -> ParentRef {
        let gateway = ParentRef::of(&server.source.id);
        match &server.bind {
            Bind::Service(bound) if !self.items.contains_key(&(id.clone(), gateway.clone())) => {
                ParentRef::of(&bound.service)
            }
            _ => gateway,
        }
    }

    fn add_server(&mut self, item: &mut Item, server: &Server, resolved: &Resolved) {
        let name = server.name.to_string();
        let listener = self.resource(Type::Listener, &name, resolved);
        let service = self.resource(Type::Service, &name, resolved);
        // Behind a waypoint it has no listener of its own.
        item.anchors.extend(listener.or(service));
        item.resources.extend(listener);
        item.resources.extend(service);
        item.resources
            .extend(self.resource(Type::Routes, &name, resolved));
    }

    /// None of one that nobody is sent.
    fn resource(&mut self, of: Type, name: &str, resolved: &Resolved) -> Option<usize> {
        let of_type = self.types.get_mut(of as usize)?;
        if let Some(&known) = of_type.names.get(name) {
            return Some(known);
        }
        let resource = resolved.resources.get(&of_type.type_url, name)?;
        let place = self.versions.len();
        of_type.names.insert(name.to_owned(), place);
        self.versions.push(resource.version.clone());
        Some(place)
    }
}

/// Where it is said what proxies have of a Gateway.
pub(super) fn place_of_gateway(id: ObjectRef) -> Place {
    let parent = ParentRef::of(&id);
    (id, parent)
}

/// Where it is said what proxies of a Gateway have of a service.
pub(super) fn place_of_led(service: &ObjectRef, gateway: &ObjectRef) -> Place {
    (service.clone(), ParentRef::of(gateway))
}

/// Whether the object says where the requests of a rule go, or how they are treated.
fn is_of(rule: &Rule, id: &ObjectRef) -> bool {
    let treated_by = rule.treated_by.as_ref();
    rule.source.id == *id || treated_by.is_some_and(|(object, _)| object.id == *id)
}
