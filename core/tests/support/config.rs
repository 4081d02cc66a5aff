//! The configuration's border: resources as they are on the wire become a snapshot, or are refused.
//!
//! An input is a sequence of events: a byte that says what happens, two with a length, and so many
//! bytes of protobuf.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meltemi_codec::Protocol;
use meltemi_codec::kit::sample::{ById, InOrder, by_id};
use meltemi_core::config::{Mode, Service, Snapshot};
use meltemi_core::engine::{Action, ConnectionId, Engine, Settings};
use meltemi_core::protocols::Protocols;
use meltemi_core::telemetry::Telemetry;
use meltemi_core::xds::{PATIENCE, Subscriptions};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};
use meltemi_proto::meltemi::config::v1::{self as own, Self_};
use meltemi_proto::{Any, SELF_RESOURCE};
use prost::{Message, Name};

/// Listeners of one snapshot that are tried.
const MOST: usize = 4;
/// Endpoints that one request may be offered.
const DIALS: usize = 100;

pub(crate) fn run(mut data: &[u8]) {
    let mut control = Control::new();
    while let Some((&[what, low, high], rest)) = data.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (body, rest) = rest.split_at(len);
        data = rest;
        control.event(what, body);
        control.publish();
    }
    // What was never answered is absent in the end.
    control.now += PATIENCE;
    control.publish();
    assert_eq!(control.subscriptions.deadline(), None);
}

struct Control {
    subscriptions: Subscriptions,
    engine: Engine,
    now: Instant,
    events: u64,
}

impl Control {
    fn new() -> Self {
        let now = Instant::now();
        let protocols = Protocols::new([Arc::new(ById) as Arc<dyn Protocol>, Arc::new(InOrder)]);
        let telemetry = Telemetry::new().worker();
        let mut subscriptions = Subscriptions::new(Node::default(), now);
        assert!(!subscriptions.connected(now).is_empty());
        Self {
            subscriptions,
            engine: Engine::new(Settings::default(), Arc::new(protocols), telemetry, 7, now),
            now,
            events: 0,
        }
    }

    fn event(&mut self, what: u8, body: &[u8]) {
        self.events += 1;
        match what {
            0 => self.resource::<Self_>(body, |_| SELF_RESOURCE.to_owned()),
            1 => self.resource::<Listener>(body, |listener| listener.name.clone()),
            2 => self.resource::<own::Service>(body, |service| service.name.clone()),
            3 => self.resource::<RouteConfiguration>(body, |routes| routes.name.clone()),
            4 => self.resource::<Cluster>(body, |cluster| cluster.name.clone()),
            5 => self.resource::<ClusterLoadAssignment>(body, |set| set.cluster_name.clone()),
            6 => {
                self.subscriptions.disconnected();
                assert_eq!(self.subscriptions.deadline(), None);
                let _requests = self.subscriptions.connected(self.now);
            }
            7 => self.now += PATIENCE,
            _ => {
                if let Ok(response) = DeltaDiscoveryResponse::decode(body) {
                    self.receive(response);
                }
            }
        }
    }

    /// A response with one resource, under the name that it bears.
    fn resource<M: Message + Name + Default>(&mut self, body: &[u8], name: fn(&M) -> String) {
        let resource = Resource {
            name: M::decode(body).map_or_else(|_| String::new(), |message| name(&message)),
            version: self.events.to_string(),
            resource: Some(Any {
                type_url: M::type_url(),
                value: body.to_vec().into(),
            }),
            ..Resource::default()
        };
        self.receive(DeltaDiscoveryResponse {
            type_url: M::type_url(),
            nonce: self.events.to_string(),
            resources: vec![resource],
            ..DeltaDiscoveryResponse::default()
        });
    }

    fn receive(&mut self, response: DeltaDiscoveryResponse) {
        let nonce = response.nonce.clone();
        let outcome = self.subscriptions.receive(response, self.now);
        if let Some(acknowledgement) = outcome.requests.first() {
            assert_eq!(acknowledgement.response_nonce, nonce);
            let refused = acknowledgement.error_detail.is_some();
            assert_eq!(refused, !outcome.rejected.is_empty());
        }
        for rejection in outcome.rejected {
            assert!(!rejection.reason.to_string().is_empty());
        }
    }

    fn publish(&mut self) {
        let Some(snapshot) = self.subscriptions.snapshot(self.now) else {
            return;
        };
        assert!(
            self.subscriptions.snapshot(self.now).is_none(),
            "it is published twice"
        );
        check(&snapshot);
        self.engine.configure(&snapshot, self.now);
        for (name, listener) in snapshot.listeners.iter().take(MOST) {
            let Mode::ProxyProtocol(_) = listener.mode else {
                self.call(|engine, now| engine.accept(name, None, now));
                continue;
            };
            assert!(self.engine.accept(name, None, self.now).is_none());
            for service in snapshot.services.keys().take(MOST) {
                self.call(|engine, now| engine.accept_for((name, service), None, now));
            }
        }
        let status = self.engine.status();
        assert_eq!((status.clients, status.in_flight), (0, 0));
    }

    /// A client that asks something, whom no endpoint answers.
    fn call(&mut self, accept: impl FnOnce(&mut Engine, Instant) -> Option<ConnectionId>) {
        let Some(id) = accept(&mut self.engine, self.now) else {
            return;
        };
        for request in [&by_id::request(1, "m", b"")[..], b"GET key\n"] {
            self.engine.received(id, request, self.now);
        }
        let mut dials = 0;
        while let Some(action) = self.engine.next_action() {
            if let Action::Connect { id, .. } = action {
                dials += 1;
                assert!(dials < DIALS, "endpoints are dialled without end");
                self.engine.connect_failed(id, self.now);
            }
        }
        self.engine.failed(id, self.now);
        while self.engine.next_action().is_some() {}
        self.now += Duration::from_millis(1);
        self.engine.tick(self.now);
    }
}

/// Whoever dials a service finds one with that address, where a listener asks for it.
fn check_destinations(snapshot: &Snapshot, service: &Service) {
    let mut listeners = snapshot.listeners.values();
    let is_asked = listeners.any(|it| matches!(it.mode, Mode::ProxyProtocol(_)));
    for address in &service.addresses {
        let dialled = SocketAddr::new(*address, service.port);
        let found = snapshot.destinations.service(dialled);
        assert_eq!(found.is_some(), is_asked && service.port != 0);
        if let Some(found) = found {
            assert!(found.addresses.contains(address) && found.port == service.port);
        }
    }
}

/// What every part of the proxy relies on.
fn check(snapshot: &Snapshot) {
    for (name, listener) in &snapshot.listeners {
        assert_eq!(*name, listener.name);
    }
    for (name, service) in &snapshot.services {
        assert_eq!(*name, service.name);
        check_destinations(snapshot, service);
    }
    for route in snapshot.routes.values().flat_map(|routes| &routes.routes) {
        assert!(!route.destinations.is_empty());
        let weights = route.destinations.iter().map(|to| u64::from(to.weight));
        assert!((1..=u64::from(u32::MAX)).contains(&weights.sum()));
        assert!(route.timeout.is_none_or(|timeout| !timeout.is_zero()));
    }
    for (name, cluster) in &snapshot.clusters {
        assert_eq!(*name, cluster.name);
        assert!(!cluster.connect_timeout.is_zero());
        let endpoints = &cluster.endpoints;
        assert!(endpoints.overprovisioning >= 1);
        assert!(endpoints.hosts.iter().all(|host| host.weight >= 1));
    }
}
