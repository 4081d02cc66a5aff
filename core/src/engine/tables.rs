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
    time::{Duration, Instant},
};

use meltemi_codec::{AttributeKey, Constraint, Edit, Protocol, SettingRefused, Traits};
use meltemi_policy::{Condition, Locality, RouteTable, WeightedCycle};
use slotmap::{SlotMap, new_key_type};

use super::{
    ServerKey, TopologyKey,
    mirror::Mirror,
    shards::{Division, Owner},
    topology::Discovery,
};
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
    /// Every protocol as it is spoken somewhere, by its id and settings.
    dialects: Vec<Rc<Dialect>>,
    listeners: HashMap<String, ServiceKey>,
    services: SlotMap<ServiceKey, Service>,
    by_name: HashMap<String, ServiceKey>,
    pub(super) clusters: HashMap<String, Rc<Cluster>>,
    pub(super) hosts: SlotMap<HostKey, Host>,
    pub(super) topologies: SlotMap<TopologyKey, Discovery>,
}

/// What the connections of a service are served with.
pub(super) struct Service {
    pub(super) name: Arc<str>,
    pub(super) protocol: Arc<dyn Protocol>,
    /// The protocol's own attributes, for the access log.
    pub(super) known: Vec<AttributeKey>,
    routes: RouteTable<Rc<Route>>,
    keys: Vec<AttributeKey>,
    /// Which of the protocol's attributes says what datum a request concerns.
    pub(super) key_attribute: Option<u16>,
    /// The one that says what a request asks to be done.
    pub(super) operation_attribute: Option<AttributeKey>,
    pub(super) faults: Vec<config::Fault>,
    /// Its routes lead to several clusters.
    pub(super) divided: bool,
    pub(super) metrics: ServiceMetrics,
    /// Of requests that no route matched.
    pub(super) unrouted: Series,
}

/// Where requests go, and how long they may take.
pub(super) struct Route {
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) timeout: Option<Duration>,
    pub(super) edits: Vec<Edit>,
    pub(super) mirrors: Vec<Mirror>,
    destinations: Vec<Rc<Destination>>,
    weights: WeightedCycle,
    /// Starts anywhere, so that workers and restarts do not walk in step.
    turn: Cell<u64>,
}

/// One of a route's clusters, as the route's service speaks with it.
pub(super) struct Destination {
    pub(super) cluster: Rc<Cluster>,
    pub(super) dialect: Rc<Dialect>,
    pub(super) buffering: Option<config::Buffering>,
    pub(super) series: Series,
}

/// A protocol with its settings, as it is spoken with endpoints. Two are equal where their
/// connections may be shared.
pub(super) struct Dialect {
    pub(super) protocol: Arc<dyn Protocol>,
    pub(super) traits: Traits,
    /// Its answers may send a request elsewhere.
    pub(super) redirects: bool,
    settings: Vec<config::Setting>,
    id: usize,
}

impl PartialEq for Dialect {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Dialect {}

impl std::fmt::Debug for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.protocol.id(), self.id)
    }
}

/// Endpoints and the balancer over them.
pub(super) struct Cluster {
    pub(super) name: Arc<str>,
    hosts: Vec<HostKey>,
    /// Who is asked first how the keys are divided.
    seeds: Vec<HostKey>,
    /// Endpoints that only a redirect has named.
    pub(super) most_unknown: usize,
    pub(super) division: Division,
    /// `None`: the configuration does not have this cluster.
    balancer: Option<RefCell<Balancer>>,
}

/// An endpoint of a cluster.
pub(super) struct Host {
    pub(super) cluster: Arc<str>,
    pub(super) address: Address,
    pub(super) locality: Locality,
    pub(super) dial: Dial,
    pub(super) metrics: ClusterMetrics,
    /// Requests in flight of this worker.
    pub(super) active: u32,
    pub(super) connections: Vec<ServerKey>,
    /// It said that it wants no new requests.
    pub(super) leaving: bool,
    /// Its last report was a failure.
    pub(super) failing: bool,
    weight: u32,
    /// Its cluster's outlier detection took it out.
    ejected: bool,
    /// The configuration has it, or the other endpoints of its cluster do.
    pub(super) configured: bool,
}

/// How the endpoints of a cluster are connected to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dial {
    pub(super) timeout: Duration,
    pub(super) keepalive: Option<config::Keepalive>,
    /// Connections of all workers to the cluster.
    pub(super) most: Option<u32>,
}

impl Dial {
    fn of(config: &config::Cluster) -> Self {
        Self {
            timeout: config.connect_timeout,
            keepalive: config.keepalive,
            most: config.max_connections,
        }
    }
}

impl Tables {
    pub(super) fn new(protocols: Arc<Protocols>) -> Self {
        Self {
            protocols,
            dialects: Vec::new(),
            listeners: HashMap::new(),
            services: SlotMap::with_key(),
            by_name: HashMap::new(),
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
        routes.flat_map(|route| route.destinations.iter().map(Rc::clone))
    }

    pub(super) fn services(&self) -> impl Iterator<Item = (ServiceKey, &Service)> {
        self.services.iter()
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
        (random, now): (u64, Instant),
    ) -> Vec<HostKey> {
        let gone = self.update_clusters(snapshot, telemetry, random);
        let mut kept = HashSet::new();
        for (name, service) in &snapshot.services {
            if let Some(built) = self.build_service(service, snapshot, telemetry, random) {
                kept.insert(self.place_service(name, built));
            }
        }
        self.update_topologies(now);
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

    /// The service's protocol as it is spoken with each cluster that its routes name.
    fn dialects_of(
        &mut self,
        service: &config::Service,
        rules: &[Arc<config::Route>],
        plain: &Arc<dyn Protocol>,
        snapshot: &Snapshot,
    ) -> HashMap<String, Rc<Dialect>> {
        let mut dialects = HashMap::new();
        let mirrors = |rule: &Arc<config::Route>| -> Vec<String> {
            rule.mirrors.iter().map(|to| to.cluster.clone()).collect()
        };
        let named = rules.iter().flat_map(|rule| {
            let to = rule.destinations.iter().map(|to| to.cluster.clone());
            to.chain(mirrors(rule))
        });
        for cluster in named {
            let config = snapshot.clusters.get(&cluster);
            let own = config.map_or(&[][..], |config| config.settings.as_slice());
            let settings: Vec<_> = service.settings.iter().chain(own).cloned().collect();
            match self.dialect(plain, settings) {
                Ok(dialect) => {
                    dialects.insert(cluster, dialect);
                }
                Err(error) => tracing::error!(%cluster, %error,
                    "the protocol cannot be configured so: the cluster is not asked"),
            }
        }
        dialects
    }

    /// The protocol with these settings. It keeps its identity as long as the worker runs.
    fn dialect(
        &mut self,
        plain: &Arc<dyn Protocol>,
        settings: Vec<config::Setting>,
    ) -> Result<Rc<Dialect>, SettingRefused> {
        let id = self.dialects.len();
        let known = self
            .dialects
            .iter()
            .find(|dialect| dialect.protocol.id() == plain.id() && dialect.settings == settings);
        if let Some(known) = known {
            return Ok(Rc::clone(known));
        }
        let protocol = configured(plain, &settings)?;
        let dialect = Rc::new(Dialect {
            traits: protocol.traits(),
            redirects: protocol.redirects(),
            protocol,
            settings,
            id,
        });
        self.dialects.push(Rc::clone(&dialect));
        Ok(dialect)
    }

    fn build_service(
        &mut self,
        service: &config::Service,
        snapshot: &Snapshot,
        telemetry: &WorkerTelemetry,
        random: u64,
    ) -> Option<Service> {
        let Some(plain) = self.protocols.find(&service.protocol).cloned() else {
            tracing::error!(service = %service.name, protocol = %service.protocol,
                "no such protocol in this build: the service is not served");
            return None;
        };
        let protocol = configured(&plain, &service.settings)
            .inspect_err(|error| {
                tracing::error!(service = %service.name, protocol = %service.protocol, %error,
                    "the protocol cannot be configured so: the service is not served");
            })
            .ok()?;
        let config = snapshot.routes.get(&service.route_config);
        let rules = config
            .map(|config| config.routes.as_slice())
            .unwrap_or_default();
        let dialects = self.dialects_of(service, rules, &plain, snapshot);
        let compiled = rules.iter().filter_map(|rule| {
            let route = self.build_route(rule, (service, &dialects), telemetry, random)?;
            Some((rule.matches.clone(), Rc::new(route)))
        });
        let led_to: HashSet<&str> = rules
            .iter()
            .flat_map(|rule| rule.destinations.iter().map(|to| to.cluster.as_str()))
            .collect();
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
            operation_attribute: protocol
                .operation_attribute()
                .map(|name| AttributeKey::resolve(schema, name)),
            faults: service.faults.clone(),
            key_attribute: protocol.key_attribute().and_then(|name| {
                match AttributeKey::resolve(schema, name) {
                    AttributeKey::Known(index) => Some(index),
                    AttributeKey::Other(_) => None,
                }
            }),
            divided: led_to.len() > 1,
            metrics: telemetry.service(&service.name),
            unrouted: telemetry.series(&service.name, "", ""),
            protocol,
        })
    }

    fn build_route(
        &self,
        rule: &config::Route,
        (service, dialects): (&config::Service, &HashMap<String, Rc<Dialect>>),
        telemetry: &WorkerTelemetry,
        random: u64,
    ) -> Option<Route> {
        let (service, buffering) = (&service.name, service.buffering);
        let weights: Vec<u32> = rule.destinations.iter().map(|to| to.weight).collect();
        let to = |name: &String| {
            let cluster = self.clusters.get(name).cloned();
            Some(Rc::new(Destination {
                cluster: cluster.unwrap_or_else(|| Rc::new(Cluster::unknown(name))),
                dialect: Rc::clone(dialects.get(name)?),
                buffering,
                series: telemetry.series(service, &rule.name, name),
            }))
        };
        let destinations = rule.destinations.iter();
        let destinations = destinations
            .map(|destination| to(&destination.cluster))
            .collect::<Option<_>>()?;
        Some(Route {
            name: rule.name.clone(),
            owner: rule.owner.clone(),
            timeout: rule.timeout,
            edits: edits(rule),
            mirrors: rule
                .mirrors
                .iter()
                .filter_map(|mirror| {
                    Some(Mirror {
                        to: to(&mirror.cluster)?,
                        share: mirror.share,
                        exclude_idempotent: mirror.exclude_idempotent,
                    })
                })
                .collect(),
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
            let mut place = |address: &Address, locality: &Locality| {
                let key = known
                    .remove(&(Arc::clone(&name), address.clone()))
                    .unwrap_or_else(|| {
                        let host = Host::new(&name, address.clone(), locality.clone(), &metrics);
                        self.hosts.insert(host)
                    });
                if let Some(host) = self.hosts.get_mut(key) {
                    host.dial = Dial::of(config);
                    host.configured = true;
                }
                key
            };
            let mut hosts = Vec::new();
            for endpoint in &config.endpoints.hosts {
                hosts.push(place(&endpoint.address, &endpoint.locality));
            }
            let seeds = config.topology.iter().flat_map(|topology| &topology.seeds);
            let seeds = seeds.map(|seed| {
                let listed = config
                    .endpoints
                    .hosts
                    .iter()
                    .position(|e| e.address == *seed);
                let listed = listed.and_then(|index| hosts.get(index).copied());
                listed.unwrap_or_else(|| place(seed, &Locality::default()))
            });
            let seeds = seeds.collect();
            for (key, endpoint) in hosts.iter().zip(&config.endpoints.hosts) {
                if let Some(host) = self.hosts.get_mut(*key) {
                    host.weight = endpoint.weight;
                    host.locality = endpoint.locality.clone();
                }
            }
            let balancer = Balancer::new(config, &snapshot.locality, random);
            let cluster = Cluster {
                division: self.division(&name, config),
                name: Arc::clone(&name),
                hosts,
                seeds,
                most_unknown: usize::try_from(config.max_unknown_nodes).unwrap_or(usize::MAX),
                balancer: Some(RefCell::new(balancer)),
            };
            cluster.apply_ejections(&self.hosts);
            clusters.insert(name.to_string(), Rc::new(cluster));
        }
        for cluster in clusters.values() {
            // What was learned stays, whether the configuration names it or not.
            let learned: HashSet<_> = cluster.known_hosts().collect();
            known.retain(|_, host| !learned.contains(host));
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

/// What the rule changes in requests.
fn edits(rule: &config::Route) -> Vec<Edit> {
    let removed = rule.remove_prefix.iter();
    removed
        .map(|removed| Edit::StripPrefix {
            name: removed.attribute.as_str().into(),
            prefix: removed.prefix.as_str().into(),
            ignore_case: rule.matches.iter().any(|matched| {
                matched.name == removed.attribute
                    && matches!(matched.condition, Condition::PrefixIgnoreCase(_))
            }),
        })
        .collect()
}

/// A protocol as settings want it.
fn configured(
    plain: &Arc<dyn Protocol>,
    settings: &[config::Setting],
) -> Result<Arc<dyn Protocol>, SettingRefused> {
    if settings.is_empty() {
        return Ok(Arc::clone(plain));
    }
    let pairs: Vec<(&str, &str)> = settings
        .iter()
        .map(|setting| (setting.name.as_str(), setting.value.as_str()))
        .collect();
    plain.configure(&pairs)
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
    pub(super) fn destination(&self) -> Option<&Rc<Destination>> {
        let next = self.next_destination();
        self.turn.set(self.turn.get().wrapping_add(1));
        next
    }

    /// What [`Route::destination`] would say.
    pub(super) fn next_destination(&self) -> Option<&Rc<Destination>> {
        self.destinations.get(self.weights.at(self.turn.get()))
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
            seeds: Vec::new(),
            most_unknown: 0,
            division: Division::None,
            balancer: None,
        }
    }

    /// Whether its endpoints have different keys.
    pub(super) fn is_divided(&self) -> bool {
        !matches!(self.division, Division::None)
    }

    /// Who is asked, given what the request says of its key and how many were asked already.
    pub(super) fn owner(
        &self,
        constraint: &Constraint,
        (asked, random): (u8, u64),
        hosts: &SlotMap<HostKey, Host>,
    ) -> Owner {
        if let Constraint::Endpoint(address) = constraint {
            let named = self.known_hosts().find(|key| {
                let host = hosts.get(*key);
                host.is_some_and(|host| host.address.to_string() == **address)
            });
            return named.map_or(Owner::Nobody, |host| Owner::Is {
                host,
                replica: false,
            });
        }
        let seed = usize::try_from(random >> 33).unwrap_or(0) + usize::from(asked);
        self.division.owner(constraint, seed, hosts)
    }

    /// The endpoints that the configuration names, and those that were learned.
    pub(super) fn known_hosts(&self) -> impl Iterator<Item = HostKey> {
        let learned = self.division.nodes().into_iter().map(|(host, ..)| host);
        let mut known: Vec<HostKey> = self.seeds.iter().chain(&self.hosts).copied().collect();
        known.extend(learned);
        let mut seen = HashSet::new();
        known.into_iter().filter(move |host| seen.insert(*host))
    }

    /// Who can be asked how the keys are divided.
    pub(super) fn informants(&self) -> Vec<HostKey> {
        let learned = self.division.nodes().into_iter().map(|(host, ..)| host);
        let first = match self.seeds.is_empty() {
            true => &self.hosts,
            false => &self.seeds,
        };
        first.iter().copied().chain(learned).collect()
    }

    /// A server said that another owns the slot now.
    pub(super) fn moved(&self, slot: u32, host: HostKey) {
        if let Division::Learned(learned) = &self.division
            && let Some(shards) = learned.map.borrow_mut().as_mut()
        {
            shards.moved(slot, host);
        }
    }

    /// What asks its servers how they divide the keys.
    pub(super) fn topology(&self) -> Option<TopologyKey> {
        match &self.division {
            Division::Learned(learned) => learned.topology.get(),
            _ => None,
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
        self.division.rehash(self.hosts.iter().filter_map(|key| {
            let host = hosts.get(*key).filter(|host| !host.ejected)?;
            Some((*key, host.address.to_string(), host.weight))
        }));
        if let Some(balancer) = &self.balancer {
            balancer.borrow_mut().set_ejected(|index| {
                let host = self.hosts.get(index).and_then(|key| hosts.get(*key));
                host.is_some_and(|host| host.ejected)
            });
        }
    }
}

impl Host {
    /// It is better not asked now.
    pub(super) fn avoided(&self) -> bool {
        self.ejected || self.leaving || self.failing
    }

    pub(super) fn new(
        cluster: &Arc<str>,
        address: Address,
        locality: Locality,
        metrics: &ClusterMetrics,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            address,
            locality,
            dial: Dial::default(),
            metrics: metrics.clone(),
            active: 0,
            connections: Vec::new(),
            leaving: false,
            failing: false,
            weight: 1,
            ejected: false,
            configured: true,
        }
    }
}
