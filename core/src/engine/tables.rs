//! The configuration as one worker uses it: looked up, never searched.
//!
//! A new configuration replaces services, routes and clusters. Endpoints are keyed by cluster and
//! address and survive every update that keeps the key, with their connections and counts.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use meltemi_codec::{AttributeKey, Protocol};
use meltemi_policy::{Locality, RouteTable, WeightedCycle};
use slotmap::{SlotMap, new_key_type};

use super::ServerKey;
use crate::{
    balance::{Balancer, Run},
    config::{self, Address, Snapshot},
    protocols::Protocols,
    telemetry::{ClusterMetrics, Series, ServiceMetrics, WorkerTelemetry},
};

new_key_type! {
    /// A service that connections belong to; it keeps its key as long as it exists.
    pub(super) struct ServiceKey;
    /// An endpoint of a cluster.
    pub(super) struct HostKey;
}

pub(super) struct Tables {
    protocols: Arc<Protocols>,
    listeners: HashMap<String, ServiceKey>,
    services: SlotMap<ServiceKey, Service>,
    by_name: HashMap<String, ServiceKey>,
    clusters: HashMap<String, Rc<Cluster>>,
    pub(super) hosts: SlotMap<HostKey, Host>,
}

/// What the connections of a service are served with.
pub(super) struct Service {
    pub(super) name: Arc<str>,
    pub(super) protocol: Arc<dyn Protocol>,
    /// The protocol's own attributes, for the access log.
    pub(super) known: Vec<AttributeKey>,
    routes: RouteTable<Rc<Route>>,
    keys: Vec<AttributeKey>,
    pub(super) metrics: ServiceMetrics,
    /// Of requests that no route matched.
    pub(super) unrouted: Series,
}

/// Where requests go, and how long they may take.
pub(super) struct Route {
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) timeout: Option<Duration>,
    destinations: Vec<Destination>,
    weights: WeightedCycle,
    /// Starts anywhere, so that workers and restarts do not walk in step.
    turn: Cell<u64>,
}

/// One of a route's clusters.
pub(super) struct Destination {
    pub(super) cluster: Rc<Cluster>,
    pub(super) series: Series,
}

/// Endpoints and the balancer over them.
pub(super) struct Cluster {
    pub(super) name: Arc<str>,
    hosts: Vec<HostKey>,
    /// `None`: the configuration does not have this cluster.
    balancer: Option<RefCell<Balancer>>,
}

/// An endpoint of a cluster.
pub(super) struct Host {
    pub(super) cluster: Arc<str>,
    pub(super) address: Address,
    pub(super) locality: Locality,
    pub(super) connect_timeout: Duration,
    pub(super) metrics: ClusterMetrics,
    /// Requests in flight of this worker.
    pub(super) active: u32,
    pub(super) connections: Vec<ServerKey>,
    /// It said that it wants no new requests.
    pub(super) leaving: bool,
    /// Its last report was a failure.
    pub(super) failing: bool,
    /// Its cluster's outlier detection took it out.
    ejected: bool,
    /// The configuration has it.
    configured: bool,
}

impl Tables {
    pub(super) fn new(protocols: Arc<Protocols>) -> Self {
        Self {
            protocols,
            listeners: HashMap::new(),
            services: SlotMap::with_key(),
            by_name: HashMap::new(),
            clusters: HashMap::new(),
            hosts: SlotMap::with_key(),
        }
    }

    pub(super) fn service(&self, key: ServiceKey) -> Option<&Service> {
        self.services.get(key)
    }

    /// The service of a listener's connections.
    pub(super) fn listener(&self, name: &str) -> Option<ServiceKey> {
        self.listeners.get(name).copied()
    }

    /// Whether the listener is still there and leads to this service.
    pub(super) fn serves(&self, listener: &str, service: ServiceKey) -> bool {
        self.listener(listener) == Some(service)
    }

    /// Takes a configuration in. Returns the endpoints that it no longer has.
    pub(super) fn update(
        &mut self,
        snapshot: &Snapshot,
        telemetry: &WorkerTelemetry,
        random: u64,
    ) -> Vec<HostKey> {
        let gone = self.update_clusters(snapshot, telemetry, random);
        let mut kept = HashSet::new();
        for (name, service) in &snapshot.services {
            if let Some(built) = self.build_service(service, snapshot, telemetry, random) {
                kept.insert(self.place_service(name, built));
            }
        }
        self.services.retain(|key, _| kept.contains(&key));
        self.by_name.retain(|_, key| kept.contains(key));
        self.listeners = snapshot
            .listeners
            .values()
            .filter_map(|listener| {
                let service = self.by_name.get(&listener.service)?;
                Some((listener.name.clone(), *service))
            })
            .collect();
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

    fn build_service(
        &self,
        service: &config::Service,
        snapshot: &Snapshot,
        telemetry: &WorkerTelemetry,
        random: u64,
    ) -> Option<Service> {
        let Some(protocol) = self.protocols.find(&service.protocol).cloned() else {
            tracing::error!(service = %service.name, protocol = %service.protocol,
                "no such protocol in this build: the service is not served");
            return None;
        };
        let config = snapshot.routes.get(&service.route_config);
        let rules = config
            .map(|config| config.routes.as_slice())
            .unwrap_or_default();
        let compiled = rules.iter().filter_map(|rule| {
            let route = self.build_route(rule, &service.name, telemetry, random)?;
            Some((rule.matches.clone(), Rc::new(route)))
        });
        let routes = match RouteTable::new(compiled) {
            Ok(routes) => routes,
            Err(error) => {
                tracing::error!(service = %service.name, %error, "routes do not compile");
                return None;
            }
        };
        let schema = protocol.attributes();
        let resolve = |name: &String| AttributeKey::resolve(schema, name);
        Some(Service {
            name: Arc::from(service.name.as_str()),
            keys: routes.attributes().iter().map(resolve).collect(),
            known: (0..schema.len())
                .filter_map(|index| Some(AttributeKey::Known(u16::try_from(index).ok()?)))
                .collect(),
            routes,
            metrics: telemetry.service(&service.name),
            unrouted: telemetry.series(&service.name, "", ""),
            protocol,
        })
    }

    fn build_route(
        &self,
        rule: &config::Route,
        service: &str,
        telemetry: &WorkerTelemetry,
        random: u64,
    ) -> Option<Route> {
        let weights: Vec<u32> = rule.destinations.iter().map(|to| to.weight).collect();
        let destinations = rule
            .destinations
            .iter()
            .map(|to| Destination {
                cluster: self
                    .clusters
                    .get(&to.cluster)
                    .cloned()
                    .unwrap_or_else(|| Rc::new(Cluster::unknown(&to.cluster))),
                series: telemetry.series(service, &rule.name, &to.cluster),
            })
            .collect();
        Some(Route {
            name: rule.name.clone(),
            owner: rule.owner.clone(),
            timeout: rule.timeout,
            destinations,
            weights: WeightedCycle::new(&weights).ok()?,
            turn: Cell::new(random),
        })
    }

    fn update_clusters(
        &mut self,
        snapshot: &Snapshot,
        telemetry: &WorkerTelemetry,
        random: u64,
    ) -> Vec<HostKey> {
        let mut known: HashMap<(Arc<str>, Address), HostKey> = self
            .hosts
            .iter()
            .map(|(key, host)| ((Arc::clone(&host.cluster), host.address.clone()), key))
            .collect();
        let mut clusters = HashMap::new();
        for (name, config) in &snapshot.clusters {
            let name: Arc<str> = Arc::from(name.as_str());
            let metrics = telemetry.cluster(&name);
            let hosts = config.endpoints.hosts.iter();
            let hosts = hosts
                .map(|endpoint| {
                    let key = known
                        .remove(&(Arc::clone(&name), endpoint.address.clone()))
                        .unwrap_or_else(|| self.hosts.insert(Host::new(&name, endpoint, &metrics)));
                    if let Some(host) = self.hosts.get_mut(key) {
                        host.locality = endpoint.locality.clone();
                        host.connect_timeout = config.connect_timeout;
                        host.configured = true;
                    }
                    key
                })
                .collect();
            let balancer = Balancer::new(config, &snapshot.locality, random);
            let cluster = Cluster {
                name: Arc::clone(&name),
                hosts,
                balancer: Some(RefCell::new(balancer)),
            };
            cluster.apply_ejections(&self.hosts);
            clusters.insert(name.to_string(), Rc::new(cluster));
        }
        self.clusters = clusters;
        let gone: Vec<_> = known.into_values().collect();
        for key in &gone {
            if let Some(host) = self.hosts.get_mut(*key) {
                host.configured = false;
            }
        }
        gone
    }

    pub(super) fn set_ejected(&mut self, name: &str, ejected: &[Address]) {
        let Some(cluster) = self.clusters.get(name) else {
            return;
        };
        for key in &cluster.hosts {
            if let Some(host) = self.hosts.get_mut(*key) {
                host.ejected = ejected.contains(&host.address);
            }
        }
        cluster.apply_ejections(&self.hosts);
    }

    /// Forgets an endpoint that is withdrawn and has no connection left.
    pub(super) fn drop_host_if_unused(&mut self, key: HostKey) {
        let unused = self.hosts.get(key).is_some_and(|host| {
            !host.configured && host.connections.is_empty() && host.active == 0
        });
        if unused {
            self.hosts.remove(key);
        }
    }
}

impl Service {
    /// The first route that matches.
    pub(super) fn select<'m>(
        &self,
        attribute: impl Fn(&AttributeKey) -> Option<Cow<'m, [u8]>>,
    ) -> Option<Rc<Route>> {
        let (_, route) = self
            .routes
            .select(|index| attribute(self.keys.get(index)?))?;
        Some(Rc::clone(route))
    }
}

impl Route {
    /// The destination of the next request: over time, exactly by weight.
    pub(super) fn destination(&self) -> Option<&Destination> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        self.destinations.get(self.weights.at(turn))
    }
}

/// The endpoints that a request is offered.
pub(super) struct Candidates {
    run: Run,
    /// One that wants no new requests: better than none.
    reluctant: Option<HostKey>,
}

impl Cluster {
    fn unknown(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            hosts: Vec::new(),
            balancer: None,
        }
    }

    /// The candidates of one request.
    pub(super) fn candidates(&self, random: u64) -> Option<Candidates> {
        Some(Candidates {
            run: self.balancer.as_ref()?.borrow_mut().run(random),
            reluctant: None,
        })
    }

    /// The next candidate that wants requests; when there is none left, one that does not.
    pub(super) fn next(
        &self,
        candidates: &mut Candidates,
        hosts: &SlotMap<HostKey, Host>,
    ) -> Option<HostKey> {
        let host = |index: usize| {
            let key = *self.hosts.get(index)?;
            Some((key, hosts.get(key)?))
        };
        let active = |index| host(index).map_or(0, |(_, host)| host.active);
        let balancer = self.balancer.as_ref()?.borrow();
        while let Some(index) = balancer.next(&mut candidates.run, active) {
            match host(index) {
                Some((key, host)) if host.leaving => {
                    candidates.reluctant.get_or_insert(key);
                }
                Some((key, _)) => return Some(key),
                None => {}
            }
        }
        candidates.reluctant.take()
    }

    fn apply_ejections(&self, hosts: &SlotMap<HostKey, Host>) {
        if let Some(balancer) = &self.balancer {
            balancer.borrow_mut().set_ejected(|index| {
                let host = self.hosts.get(index).and_then(|key| hosts.get(*key));
                host.is_some_and(|host| host.ejected)
            });
        }
    }
}

impl Host {
    fn new(cluster: &Arc<str>, endpoint: &config::Endpoint, metrics: &ClusterMetrics) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            address: endpoint.address.clone(),
            locality: endpoint.locality.clone(),
            connect_timeout: Duration::from_secs(5),
            metrics: metrics.clone(),
            active: 0,
            connections: Vec::new(),
            leaving: false,
            failing: false,
            ejected: false,
            configured: true,
        }
    }
}
