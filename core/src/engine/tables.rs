//! The configuration as one worker uses it: looked up, never searched.
//!
//! A new configuration replaces services, routes and clusters. Endpoints are keyed by cluster and
//! address and survive every update that keeps the key, with their connections and counts.

mod authorization;
mod budget;
mod changes;
mod cluster;
mod concurrency;
mod global_limit;
mod limits;
mod passage;
mod rate_limit;
mod selection;
mod service;

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use meltemi_codec::Frame;
use meltemi_policy::route::Steps;
use slotmap::{SlotMap, new_key_type};

use super::{TopologyKey, client::Client, topology::Discovery};
use crate::{
    buckets::Buckets, circuit::Circuits, config::Snapshot, protocols::Protocols,
    telemetry::WorkerTelemetry,
};
pub(super) use authorization::Authorization;
pub(super) use budget::Budget;
pub(super) use cluster::{Candidates, Cluster, Dial, Host};
pub(super) use concurrency::{Concurrency, Slot};
pub(super) use global_limit::GlobalLimit;
pub(super) use limits::{Limit, Limits, RouteLimit};
pub(super) use passage::Passage;
pub(super) use rate_limit::Metered;
pub(super) use service::{Chosen, Destination, Dialect, Route, Service};

new_key_type! {
    /// A service that connections belong to; it keeps its key as long as it exists.
    pub(super) struct ServiceKey;
    /// An endpoint of a cluster.
    pub(super) struct HostKey;
}

/// Who has a connection.
#[derive(Clone)]
pub(super) enum Served {
    By(ServiceKey),
    /// Its bytes are passed on as they come.
    Passed(Rc<Passage>),
}

pub(super) struct Tables {
    protocols: Arc<Protocols>,
    pub(super) buckets: Arc<Buckets>,
    /// What all workers use of clusters and routes.
    pub(super) circuits: Arc<Circuits>,
    /// Of how many workers this is one.
    pub(super) workers: usize,
    /// As the engine's, when the configuration came.
    elapsed: u64,
    /// Every protocol as it is spoken somewhere, by its id and settings.
    dialects: Vec<Rc<Dialect>>,
    /// `None`: each connection's service is said when it is accepted.
    listeners: HashMap<String, Option<Served>>,
    services: SlotMap<ServiceKey, Service>,
    by_name: HashMap<String, ServiceKey>,
    /// By service.
    passages: HashMap<String, Rc<Passage>>,
    /// How many configurations there were.
    generation: u64,
    pub(super) clusters: HashMap<String, Rc<Cluster>>,
    pub(super) hosts: SlotMap<HostKey, Host>,
    pub(super) topologies: SlotMap<TopologyKey, Discovery>,
}

impl Tables {
    pub(super) fn new(protocols: Arc<Protocols>, buckets: Arc<Buckets>, workers: usize) -> Self {
        Self {
            protocols,
            buckets,
            circuits: Arc::default(),
            workers,
            elapsed: 0,
            dialects: Vec::new(),
            listeners: HashMap::new(),
            services: SlotMap::with_key(),
            by_name: HashMap::new(),
            passages: HashMap::new(),
            generation: 0,
            clusters: HashMap::new(),
            hosts: SlotMap::with_key(),
            topologies: SlotMap::with_key(),
        }
    }

    /// Where the routes of all services lead.
    pub(super) fn destinations(&self) -> impl Iterator<Item = Rc<Destination>> {
        let routes = self
            .services
            .values()
            .flat_map(|service| service.routes.targets());
        routes.flat_map(|route| route.asked().map(Rc::clone))
    }

    pub(super) fn services(&self) -> impl Iterator<Item = (ServiceKey, &Service)> {
        self.services.iter()
    }

    pub(super) fn service(&self, key: ServiceKey) -> Option<&Service> {
        self.services.get(key)
    }

    /// The route of a client's newest request, which is not searched for where that is known.
    #[inline(always)]
    pub(super) fn route<'m>(
        &self,
        service: &Service,
        client: &'m Client,
        request: Frame<'m>,
    ) -> Option<Rc<Route>> {
        let known = client.chosen.get();
        if let Some(known) = known.filter(|it| it.generation == self.generation) {
            return service.routes.targets().get(known.route).map(Rc::clone);
        }
        let attribute = |attribute: &_| client.codec.attribute(request, attribute);
        let found = service
            .routes
            .find(&client.source, &mut Steps::default(), attribute);
        let (route, target) = found.ok()??;
        client.chosen.set(Some(Chosen {
            route,
            generation: self.generation,
            by_named: service.routes.is_by_named(),
        }));
        Some(Rc::clone(target))
    }

    /// An endpoint is sent a request.
    #[inline(always)]
    pub(super) fn attempt_starts(&mut self, host: HostKey) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.active += 1;
            host.metrics.attempts_started(1);
        }
    }

    /// Who has a listener's connections, where that is the same for all.
    pub(super) fn listener(&self, name: &str) -> Option<Served> {
        self.listeners.get(name)?.clone()
    }

    /// Who has a connection to the service of this name that comes through a listener that leads anywhere.
    pub(super) fn behind(&self, listener: &str, service: &str) -> Option<Served> {
        match self.listeners.get(listener)? {
            None => self.served(service),
            Some(_) => None,
        }
    }

    fn served(&self, service: &str) -> Option<Served> {
        if let Some(key) = self.by_name.get(service) {
            return Some(Served::By(*key));
        }
        let passage = self.passages.get(service).filter(|it| it.is_all)?;
        Some(Served::Passed(Rc::clone(passage)))
    }

    /// The id of the protocol of a service, where it has one.
    pub(super) fn protocol_of(&self, service: &str) -> Option<&'static str> {
        let service = self.services.get(*self.by_name.get(service)?)?;
        Some(service.protocol.id())
    }

    /// Whether the listener is still there and leads to this service.
    pub(super) fn serves(&self, listener: &str, service: ServiceKey) -> bool {
        match self.listeners.get(listener) {
            Some(Some(Served::By(to))) => *to == service,
            Some(None) => self.services.contains_key(service),
            Some(Some(Served::Passed(_))) | None => false,
        }
    }

    /// Takes a configuration in. Returns the endpoints whose connections are no longer wanted.
    pub(super) fn update(
        &mut self,
        snapshot: &Snapshot,
        telemetry: &WorkerTelemetry,
        (random, now, elapsed): (u64, Instant, u64),
    ) -> Vec<HostKey> {
        self.elapsed = elapsed;
        self.generation += 1;
        let outdated = self.update_dials(snapshot);
        let mut gone = self.update_clusters(snapshot, telemetry, random);
        gone.extend(outdated);
        self.update_passages(snapshot, telemetry);
        let mut kept = HashSet::new();
        for (name, service) in &snapshot.services {
            if let Some(built) = self.build_service(service, snapshot, telemetry, random) {
                kept.insert(self.place_service(name, built));
            }
        }
        self.update_topologies(now);
        self.services.retain(|key, _| kept.contains(&key));
        self.by_name.retain(|_, key| kept.contains(key));
        let listeners = snapshot.listeners.values();
        let listeners = listeners.filter_map(|listener| {
            let served = match listener.mode.service() {
                Some(service) => Some(self.served(service)?),
                None => None,
            };
            Some((listener.name.clone(), served))
        });
        self.listeners = listeners.collect();
        gone
    }

    /// A service keeps its key, and its connections with it, unless its protocol changed.
    fn place_service(&mut self, name: &str, built: Service) -> ServiceKey {
        let same = self.by_name.get(name).copied().filter(|key| {
            self.services
                .get(*key)
                .is_some_and(|old| old.protocol.id() == built.protocol.id())
        });
        if let Some((key, place)) = same.and_then(|key| Some((key, self.services.get_mut(key)?))) {
            *place = built;
            return key;
        }
        let key = self.services.insert(built);
        self.by_name.insert(name.to_owned(), key);
        key
    }
}
