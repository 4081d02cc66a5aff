//! The data plane's subscriptions against a delta stream, over any schedule: worlds that change,
//! messages that take their time, streams that break.
//!
//! What holds after each step: at most one response of a type is unanswered; nothing that was
//! refused is sent again on the stream; what every world so far contained is missing from no
//! snapshot. When all is delivered, the client has the last world.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Instant;

use meltemi_core::config::{Address, Proxy, Snapshot};
use meltemi_core::xds::{Subscriptions, node};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::{
    Route, RouteAction, RouteConfiguration, route_action::ClusterSpecifier,
};
use meltemi_proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use meltemi_proto::envoy::config::cluster::v3::{self as cluster};
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::endpoint::v3 as endpoint;
use meltemi_proto::envoy::config::listener::v3 as listener;
use meltemi_proto::envoy::config::route::v3::{WeightedCluster, weighted_cluster::ClusterWeight};
use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use meltemi_proto::meltemi::config::v1 as own;
use meltemi_proto::{Any, EXTENSION_NAME};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::Resources;
use super::delta::DeltaStream;

/// The service of a listener whose connections say where they were going: all are wanted then.
const ANYWHERE: usize = 3;

/// What the control plane knows at one time, by small numbers instead of names.
#[derive(Clone, Debug)]
struct World {
    /// The service of each listener, or [`ANYWHERE`].
    listeners: Vec<Option<usize>>,
    /// The routes of each service.
    services: Vec<Option<usize>>,
    /// The clusters of each route configuration.
    routes: Vec<Option<Vec<usize>>>,
    clusters: Vec<Option<ClusterModel>>,
    /// The port of the endpoint of each cluster.
    endpoints: Vec<Option<u16>>,
}

#[derive(Clone, Debug)]
struct ClusterModel {
    valid: bool,
    timeout: i64,
}

/// One slot of a world gets another content.
#[derive(Clone, Debug)]
enum Edit {
    Listener(usize, Option<usize>),
    Service(usize, Option<usize>),
    Routes(usize, Option<Vec<usize>>),
    Cluster(usize, Option<ClusterModel>),
    Endpoints(usize, Option<u16>),
    Everything(World),
}

#[derive(Clone, Debug)]
enum Step {
    Change(Edit),
    ToServer,
    ToClient,
    Reconnect,
}

fn cluster_model() -> impl Strategy<Value = ClusterModel> {
    let model = (prop::bool::weighted(0.6), 1..4i64);
    model.prop_map(|(valid, timeout)| ClusterModel { valid, timeout })
}

fn world() -> impl Strategy<Value = World> {
    (
        vec(option::weighted(0.8, 0..=ANYWHERE), 3),
        vec(option::weighted(0.8, 0..3usize), 3),
        vec(option::weighted(0.8, vec(0..4usize, 1..3)), 3),
        vec(option::weighted(0.8, cluster_model()), 4),
        vec(option::weighted(0.8, 1..9u16), 4),
    )
        .prop_map(|(listeners, services, routes, clusters, endpoints)| World {
            listeners,
            services,
            routes,
            clusters,
            endpoints,
        })
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (0..3usize, option::weighted(0.8, 0..=ANYWHERE)).prop_map(|(i, to)| Edit::Listener(i, to)),
        (0..3usize, option::weighted(0.8, 0..3usize)).prop_map(|(i, to)| Edit::Service(i, to)),
        (0..3usize, option::weighted(0.8, vec(0..4usize, 1..3)))
            .prop_map(|(i, to)| Edit::Routes(i, to)),
        (0..4usize, option::weighted(0.8, cluster_model()))
            .prop_map(|(i, to)| Edit::Cluster(i, to)),
        (0..4usize, option::weighted(0.8, 1..9u16)).prop_map(|(i, to)| Edit::Endpoints(i, to)),
    ]
}

fn step(edit: impl Strategy<Value = Edit>) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => edit.prop_map(Step::Change),
        8 => Just(Step::ToServer),
        8 => Just(Step::ToClient),
        1 => Just(Step::Reconnect),
    ]
}

impl World {
    fn resources(&self) -> Resources {
        let mut resources = Resources::new();
        for (i, service) in present(&self.listeners) {
            resources.insert(name("l", i), &listener(i, *service));
        }
        for (i, route) in present(&self.services) {
            resources.insert(name("s", i), &service(i, *route));
        }
        for (i, clusters) in present(&self.routes) {
            resources.insert(name("r", i), &routes(i, clusters));
        }
        for (i, model) in present(&self.clusters) {
            resources.insert(name("c", i), &cluster(i, model));
        }
        for (i, port) in present(&self.endpoints) {
            resources.insert(name("c", i), &endpoints(i, *port));
        }
        resources
    }

    fn edit(&mut self, edit: Edit) {
        match edit {
            Edit::Listener(i, to) => self.listeners[i] = to,
            Edit::Service(i, to) => self.services[i] = to,
            Edit::Routes(i, to) => self.routes[i] = to,
            Edit::Cluster(i, to) => self.clusters[i] = to,
            Edit::Endpoints(i, to) => self.endpoints[i] = to,
            Edit::Everything(world) => *self = world,
        }
    }

    /// The same without loose ends: all that is named is there and valid, and nothing else is.
    fn closed(mut self) -> Self {
        let mut services = vec![None; self.services.len()];
        if self.wants_all() {
            services.clone_from(&self.services);
        }
        for &i in self.listeners.iter().flatten().filter(|i| **i != ANYWHERE) {
            services[i] = Some(self.services[i].unwrap_or(0));
        }
        let mut routes = vec![None; self.routes.len()];
        for &i in services.iter().flatten() {
            routes[i] = Some(self.routes[i].clone().unwrap_or_else(|| vec![0]));
        }
        (self.services, self.routes) = (services, routes);
        let reachable = self.reachable();
        for i in 0..self.clusters.len() {
            if reachable.contains(&i) {
                let model = self.clusters[i].take();
                let timeout = model.map_or(1, |model| model.timeout);
                let valid = true;
                self.clusters[i] = Some(ClusterModel { valid, timeout });
                self.endpoints[i].get_or_insert(1);
            } else {
                (self.clusters[i], self.endpoints[i]) = (None, None);
            }
        }
        self
    }

    /// Whether some listener leads anywhere.
    fn wants_all(&self) -> bool {
        self.listeners.contains(&Some(ANYWHERE))
    }

    /// The services that the listeners lead to, as far as they are there.
    fn wanted(&self) -> Vec<usize> {
        let is_wanted = |i: &usize| self.wants_all() || self.listeners.contains(&Some(*i));
        let services = present(&self.services).map(|(i, _)| i);
        services.filter(is_wanted).collect()
    }

    /// The clusters that the listeners lead to, by routes or as a service's own.
    fn reachable(&self) -> HashSet<usize> {
        let services = self.wanted();
        let own = services.iter().copied().filter(|i| has_own(*i));
        let routes = services
            .iter()
            .filter_map(|&service| self.services[service]);
        let clusters = routes.filter_map(|route| self.routes[route].as_ref());
        clusters.flatten().copied().chain(own).collect()
    }
}

fn present<T>(of: &[Option<T>]) -> impl Iterator<Item = (usize, &T)> {
    let all = of.iter().enumerate();
    all.filter_map(|(i, value)| Some((i, value.as_ref()?)))
}

/// Whether a service has a cluster of its own, which has its number.
fn has_own(service: usize) -> bool {
    service % 2 == 1
}

fn name(kind: &str, i: usize) -> String {
    format!("{kind}{i}")
}

fn address(port: u16) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: "127.0.0.1".to_owned(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })),
    }
}

pub(super) fn listener(i: usize, service: usize) -> listener::Listener {
    let mode = match service {
        ANYWHERE => own::listener::Mode::ProxyProtocol(own::listener::ProxyProtocol::default()),
        service => own::listener::Mode::Service(own::listener::FixedService {
            name: name("s", service),
        }),
    };
    let config = Any::pack(&own::Listener {
        max_connections_per_source: 0,
        mode: Some(mode),
        source: None,
    });
    listener::Listener {
        name: name("l", i),
        address: Some(address(0)),
        filter_chains: vec![listener::FilterChain {
            filters: vec![listener::Filter {
                name: EXTENSION_NAME.to_owned(),
                config_type: Some(listener::filter::ConfigType::TypedConfig(config)),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn service(i: usize, route: usize) -> own::Service {
    own::Service {
        name: name("s", i),
        ports: vec![own::service::Port {
            protocol: "p".to_owned(),
            route_config_name: name("r", route),
            default_cluster: match has_own(i) {
                true => name("c", i),
                false => String::new(),
            },
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn routes(i: usize, clusters: &[usize]) -> RouteConfiguration {
    let clusters = clusters.iter().map(|&cluster| ClusterWeight {
        name: name("c", cluster),
        weight: Some(1),
    });
    let clusters = ClusterSpecifier::WeightedClusters(WeightedCluster {
        clusters: clusters.collect(),
    });
    RouteConfiguration {
        name: name("r", i),
        routes: vec![Route {
            route: Some(RouteAction {
                cluster_specifier: Some(clusters),
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..RouteConfiguration::default()
    }
}

fn cluster(i: usize, model: &ClusterModel) -> cluster::Cluster {
    let discovery = match model.valid {
        true => DiscoveryType::Eds,
        false => DiscoveryType::OriginalDst,
    };
    cluster::Cluster {
        name: name("c", i),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery.into())),
        connect_timeout: Some(meltemi_proto::Duration {
            seconds: model.timeout,
            nanos: 0,
        }),
        ..Default::default()
    }
}

fn endpoints(i: usize, port: u16) -> endpoint::ClusterLoadAssignment {
    let host = endpoint::lb_endpoint::HostIdentifier::Endpoint(endpoint::Endpoint {
        address: Some(address(port)),
        ..Default::default()
    });
    endpoint::ClusterLoadAssignment {
        cluster_name: name("c", i),
        endpoints: vec![endpoint::LocalityLbEndpoints {
            lb_endpoints: vec![endpoint::LbEndpoint {
                host_identifier: Some(host),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Both ends and what is under way between them.
struct Simulation {
    now: Instant,
    worlds: Vec<World>,
    resources: Resources,
    server: DeltaStream,
    client: Subscriptions,
    to_server: VecDeque<DeltaDiscoveryRequest>,
    to_client: VecDeque<DeltaDiscoveryResponse>,
    /// The type of each response that was not acknowledged.
    unanswered: HashMap<String, String>,
    /// The refused version by type and name, until another one is sent.
    refused: HashMap<(String, String), String>,
    snapshot: Option<Snapshot>,
}

impl Simulation {
    fn new(world: World) -> Self {
        let now = Instant::now();
        let mut simulation = Self {
            now,
            resources: world.resources(),
            worlds: vec![world],
            server: DeltaStream::default(),
            client: Subscriptions::new(node("test", &Proxy::default()), now),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            unanswered: HashMap::new(),
            refused: HashMap::new(),
            snapshot: None,
        };
        simulation.connect();
        simulation
    }

    fn connect(&mut self) {
        self.server = DeltaStream::default();
        self.to_client.clear();
        self.unanswered.clear();
        self.refused.clear();
        self.client.disconnected();
        self.to_server = self.client.connected(self.now).into();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Change(edit) => {
                let mut world = self.worlds.last().expect("there is one").clone();
                world.edit(edit);
                self.resources = world.resources();
                self.worlds.push(world);
            }
            Step::Reconnect => self.connect(),
            Step::ToServer => {
                if let Some(request) = self.to_server.pop_front() {
                    self.unanswered.remove(&request.response_nonce);
                    let type_url = request.type_url.clone();
                    for rejection in self.server.request(request) {
                        let version = rejection.version.to_string();
                        let key = (type_url.clone(), rejection.name);
                        self.refused.insert(key, version);
                    }
                }
            }
            Step::ToClient => {
                if let Some(response) = self.to_client.pop_front() {
                    let outcome = self.client.receive(response, self.now);
                    self.to_server.extend(outcome.requests);
                    if let Some(snapshot) = self.client.snapshot(self.now) {
                        self.check(&snapshot);
                        self.snapshot = Some(snapshot);
                    }
                }
            }
        }
        for response in self.server.respond(&self.resources) {
            for resource in &response.resources {
                let key = (response.type_url.clone(), resource.name.clone());
                let refused = self.refused.remove(&key);
                assert_ne!(refused.as_ref(), Some(&resource.version), "{key:?} again");
            }
            let type_url = &response.type_url;
            assert!(!self.unanswered.values().any(|url| url == type_url));
            self.unanswered
                .insert(response.nonce.clone(), type_url.clone());
            self.to_client.push_back(response);
        }
    }

    /// No name in the snapshot leads nowhere.
    fn check_closed(snapshot: &Snapshot) {
        for listener in snapshot.listeners.values() {
            let mut service = listener.mode.service().into_iter();
            assert!(service.all(|name| snapshot.services.contains_key(name)));
        }
        for service in snapshot.services.values() {
            let mut routes = service.route_config.iter();
            assert!(routes.all(|name| snapshot.routes.contains_key(name)));
        }
        for name in clusters(snapshot) {
            let cluster = snapshot.clusters.get(name);
            assert_eq!(cluster.map(|c| c.endpoints.hosts.len()), Some(1), "{name}");
        }
    }

    /// Whatever was there all the time is there.
    fn check(&self, snapshot: &Snapshot) {
        let always = |there: &dyn Fn(&World) -> bool| self.worlds.iter().all(there);
        for listener in snapshot.listeners.values() {
            if let Some(service) = listener.mode.service()
                && let Some(i) = number(service)
                && always(&|world| world.services[i].is_some())
            {
                assert!(snapshot.services.contains_key(service));
            }
        }
        // Where that is new, an answer by name may be taken for the one to all names.
        if always(&World::wants_all) {
            for i in (0..3).filter(|i| always(&|world| world.services[*i].is_some())) {
                assert!(snapshot.services.contains_key(&name("s", i)));
            }
        }
        for service in snapshot.services.values() {
            if let Some(routes) = &service.route_config
                && let Some(i) = number(routes)
                && always(&|world| world.routes[i].is_some())
            {
                assert!(snapshot.routes.contains_key(routes));
            }
        }
        for name in clusters(snapshot) {
            let Some(i) = number(name) else { continue };
            let valid = |world: &World| world.clusters[i].as_ref().is_some_and(|c| c.valid);
            if always(&valid) {
                assert!(snapshot.clusters.contains_key(name));
                if always(&|world| world.endpoints[i].is_some()) {
                    assert_eq!(snapshot.clusters[name].endpoints.hosts.len(), 1);
                }
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.step(Step::ToServer);
            self.step(Step::ToClient);
            if self.to_server.is_empty() && self.to_client.is_empty() {
                return;
            }
        }
        panic!("they never stop talking");
    }

    /// The client has the last world, apart from clusters that it refused.
    fn check_last_world(&self) {
        let world = self.worlds.last().expect("there is one");
        let snapshot = self.snapshot.as_ref().expect("one was published");
        let listeners: BTreeMap<_, _> = present(&world.listeners)
            .map(|(i, service)| (name("l", i), service_name(*service)))
            .collect();
        let have = snapshot.listeners.iter();
        let have = have.map(|(name, it)| (name.clone(), it.mode.service().map(str::to_owned)));
        assert_eq!(have.collect::<BTreeMap<_, _>>(), listeners);
        let mut services: Vec<_> = snapshot.services.keys().cloned().collect();
        services.sort_unstable();
        let wanted = world.wanted().into_iter().map(|i| name("s", i));
        assert_eq!(services, wanted.collect::<Vec<_>>());

        for name in snapshot.clusters.keys() {
            let i = number(name).expect("clusters are numbered");
            assert!(world.reachable().contains(&i), "{name} is unwanted");
        }
        for i in world.reachable() {
            let cluster = snapshot.clusters.get(&name("c", i));
            match &world.clusters[i] {
                None => assert!(cluster.is_none()),
                Some(model) if model.valid => {
                    let cluster = cluster.expect("a valid cluster is applied");
                    assert_eq!(cluster.connect_timeout.as_secs(), model.timeout as u64);
                    let port = cluster.endpoints.hosts.first().map(|h| match h.address {
                        Address::Tcp(address) => address.port(),
                        _ => unreachable!("all are TCP"),
                    });
                    assert_eq!(port, world.endpoints[i]);
                }
                // The last good one, if there was one.
                Some(_) => {}
            }
        }
    }
}

/// All that routes and services lead to.
fn clusters(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    let own = snapshot.services.values();
    let own = own.filter_map(|service| service.default_cluster.as_deref());
    let routes = snapshot.routes.values();
    routes.flat_map(|routes| routes.clusters()).chain(own)
}

/// The service that all of a listener's connections are for.
fn service_name(service: usize) -> Option<String> {
    (service != ANYWHERE).then(|| name("s", service))
}

fn number(name: &str) -> Option<usize> {
    name.get(1..)?.parse().ok()
}

proptest! {
    #[test]
    fn the_client_comes_to_have_the_last_world(first in world(), steps in vec(step(edit()), 0..120)) {
        let mut simulation = Simulation::new(first);
        for step in steps {
            simulation.step(step);
        }
        simulation.settle();
        simulation.check_last_world();
    }

    /// Make before break: as long as the control plane has no loose ends, no snapshot has any.
    #[test]
    fn no_snapshot_is_half_configured(
        first in world().prop_map(World::closed),
        steps in vec(step(world().prop_map(|world| Edit::Everything(world.closed()))), 0..120),
    ) {
        let mut simulation = Simulation::new(first);
        for step in steps {
            simulation.step(step);
            if let Some(snapshot) = &simulation.snapshot {
                Simulation::check_closed(snapshot);
            }
        }
        simulation.settle();
        simulation.check_last_world();
    }
}
