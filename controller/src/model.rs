//! What the objects mean together, in plain types: servers, their rules in order, and clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::{AttributeMatch, ClusterName, HashPolicy, Locality};

use crate::diagnostic::{Diagnostic, Position};
use crate::index::Objects;
use crate::manifest::{
    AdaptiveConcurrency, AllowedRoutes, ConnectionPool, ConsistentHash, Kind, Mutation, Object,
    ObjectRef, OutlierDetection, Retries, RetryBudget, RouteFault, Simple, Spec, Warmup,
};
use crate::persistent::PersistentMap;
use crate::schema::Settings;

mod attachment;
mod attributes;
mod authorization;
mod clusters;
mod destination_rules;
mod dns;
#[cfg(feature = "kubernetes")]
mod endpoints;
mod gateways;
mod global_limits;
mod hashing;
mod health_check;
mod kept;
mod limits;
mod liveness;
mod locality;
mod mutations;
mod need;
mod overlay;
mod policy;
mod protocols;
mod redis;
#[cfg(feature = "kubernetes")]
mod rerouting;
#[cfg(feature = "kubernetes")]
mod retuning;
mod routers;
mod secrets;
mod services;
mod sources;
mod tls;
mod traffic_distribution;
mod waypoints;

pub(crate) use authorization::AppliedPolicy;
pub(crate) use destination_rules::DestinationRules;
pub(crate) use dns::Dns;
#[cfg(feature = "kubernetes")]
pub(crate) use endpoints::ENDPOINT_KINDS;
#[cfg(feature = "kubernetes")]
pub(crate) use gateways::CONTROLLER;
pub(crate) use global_limits::GlobalRateLimit;
pub(crate) use health_check::HealthCheck;
pub(crate) use kept::Kept;
pub(crate) use limits::RateLimit;
pub(crate) use locality::{LocalityOrigin, LocalityState};
pub(crate) use need::Need;
pub(crate) use policy::{
    CircuitBreaker, ClientTimes, Fault, Mirror, RemovePrefix, SecretText, ServerPolicy, Setting,
    SettingValue,
};
use protocols::Protocols;
#[cfg(feature = "kubernetes")]
pub(crate) use rerouting::{Rerouted, Routers};
#[cfg(feature = "kubernetes")]
pub(crate) use retuning::Rules;
#[cfg(feature = "kubernetes")]
pub(crate) use secrets::{REFERRING, references};
pub(crate) use services::{Port, Service, Services, placed};
pub(crate) use tls::{ClusterTls, Identity, ListenerTls, Trust};
#[cfg(all(test, feature = "kubernetes"))]
pub(crate) use waypoints::FAREWELL;
pub(crate) use waypoints::{
    Bound, Leaving, LedService, MANAGED_BY, Passed, USE, USE_NAMESPACE, Via, Waypoint, is_captured,
    takes_pods,
};

/// Everything that a proxy has to know. A clone shares what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) servers: Arc<[Arc<Server>]>,
    pub(crate) waypoints: Arc<[Waypoint]>,
    pub(crate) clusters: Clusters,
    pub(crate) services: Kept<Arc<Services>>,
    /// That findings on localities were looked for.
    localities: Kept<()>,
    #[cfg(feature = "kubernetes")]
    parts: Arc<Parts>,
    #[cfg(feature = "kubernetes")]
    following: Arc<endpoints::Following>,
}

pub(crate) type Clusters = PersistentMap<ClusterName, Arc<Cluster>>;

impl Model {
    /// The Gateway of the waypoint that has a listener of this name.
    pub(crate) fn waypoint_of_listener(&self, name: &str) -> Option<&Arc<Object>> {
        let mut waypoints = self.waypoints.iter();
        let of_waypoint = waypoints.find(|it| it.listeners().any(|(own, _)| own == name));
        Some(&of_waypoint?.gateway)
    }

    /// What is passed on as it comes, by the name of its service.
    pub(crate) fn passed(&self, name: &str) -> Option<&Passed> {
        let mut passed = self.waypoints.iter().flat_map(|it| &it.passed);
        passed.find(|it| it.name.to_string() == name)
    }
}

/// What services, their ports and their endpoints are made of.
const OF_SERVICES: &[Kind] = &[
    Kind::ApplicationProtocol,
    Kind::Namespace,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::Node,
];

/// What decides, besides, which localities are preferred.
const OF_LOCALITIES: &[Kind] = &[
    Kind::ConfigMap,
    Kind::DestinationRule,
    Kind::ApplicationProtocol,
    Kind::Namespace,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::Node,
];

/// A server of a Gateway, with the rules of all objects that are attached to it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: ServerName,
    pub(crate) bind: Bind,
    /// Which clients it is for, by the name that they ask for within TLS; none: all that no other at its address is for.
    pub(crate) server_names: Vec<String>,
    /// So many connections one source may have to it; none: as many as it likes.
    pub(crate) most_per_source: Option<NonZeroU32>,
    /// None: its clients speak plaintext.
    pub(crate) tls: Option<ListenerTls>,
    pub(crate) protocol: PortProtocol,
    /// The Gateway, be it a waypoint.
    pub(crate) source: Arc<Object>,
    pub(crate) policy: ServerPolicy,
    /// Who may use it; without any, anybody.
    pub(crate) authorization: Vec<AppliedPolicy>,
    /// Whose rules may attach; none: anybody's.
    pub(crate) allowed: Option<AllowedRoutes>,
    /// In the order in which they are tried.
    pub(crate) rules: Vec<Arc<Rule>>,
    /// The objects that act on it, with rules of their own or without.
    pub(crate) attached: BTreeSet<ObjectRef>,
}

impl Server {
    /// Whether clients of both can be told from one another, though they come to one address.
    pub(crate) fn is_told_from(&self, other: &Self) -> bool {
        let are_encrypted = self.tls.is_some() && other.tls.is_some();
        let is_shared = self
            .server_names
            .iter()
            .any(|it| other.server_names.contains(it));
        let are_both_for_all = self.server_names.is_empty() && other.server_names.is_empty();
        self.bind == other.bind && are_encrypted && !is_shared && !are_both_for_all
    }

    /// Whether it asks clients who they are.
    pub(crate) fn verifies_clients(&self) -> bool {
        // Behind a waypoint its header says what ztunnel has verified.
        matches!(self.bind, Bind::Service(_))
            || self.tls.as_ref().is_some_and(|tls| tls.clients.is_some())
    }

    /// The object that decides what its connections are served with.
    pub(crate) fn decides(&self) -> &Arc<Object> {
        self.policy.source.as_ref().unwrap_or(&self.source)
    }
}

/// `namespace/gateway/server`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerName {
    pub(crate) namespace: Arc<str>,
    pub(crate) gateway: Arc<str>,
    pub(crate) server: String,
}

impl std::fmt::Display for ServerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.gateway, self.server)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// Port 0 is the system's choice.
    Tcp(IpAddr, u16),
    Unix(String),
    /// Nothing of its own: the waypoint's listener takes its connections.
    Service(Bound),
}

impl Bind {
    pub(crate) const fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(_, port) => Some(*port),
            Self::Unix(_) => None,
            Self::Service(bound) => Some(bound.port),
        }
    }
}

/// What the name of a port says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortProtocol {
    /// The name that people use, in lower case.
    pub(crate) application: String,
    /// The id of the plugin that speaks it.
    pub(crate) plugin: String,
}

/// Which requests go where.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The MetaRouter or RedisService.
    pub(crate) source: Arc<Object>,
    /// Which of its routes; none for an object without routes.
    pub(crate) route: Option<usize>,
    pub(crate) name: String,
    /// One has to hold; at least one.
    pub(crate) alternatives: Vec<Alternative>,
    /// At least one; the weights of several add up to 100.
    pub(crate) destinations: Vec<WeightedCluster>,
    /// None: no limit.
    pub(crate) timeout: Option<Duration>,
    pub(crate) remove_prefix: Option<RemovePrefix>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) request_mutation: Vec<Mutation>,
    pub(crate) response_mutation: Vec<Mutation>,
    /// None: nothing is sent again of which a byte has left.
    pub(crate) retries: Option<Retries>,
    /// After which time another endpoint is asked, too.
    pub(crate) hedge: Option<Duration>,
    pub(crate) idempotent: bool,
    /// None: any number of its requests may be unanswered.
    pub(crate) circuit_breaker: Option<CircuitBreaker>,
    /// What is hashed for clusters whose balancer hashes; nothing: what these say.
    pub(crate) hash_policy: Vec<HashPolicy>,
    /// None: its requests are not limited.
    pub(crate) limit: Option<Arc<RateLimit>>,
    /// None: no service is asked about them.
    pub(crate) global_limit: Option<Arc<GlobalRateLimit>>,
    pub(crate) fault: Option<RouteFault>,
    pub(crate) adaptive_concurrency: Option<AdaptiveConcurrency>,
    /// The MetaRouter whose policy it has, and which of its routes where it has any, where that is
    /// not the source.
    pub(crate) treated_by: Option<(Arc<Object>, Option<usize>)>,
}

/// What requests of a rule may be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Alternative {
    /// All have to hold.
    Of(Vec<AttributeMatch>),
    /// No request of its server can be: the reason, for people.
    Never(String),
}

impl Alternative {
    /// Those that requests can be like.
    pub(crate) fn possible(several: &[Self]) -> Vec<Vec<AttributeMatch>> {
        let possible = several.iter().filter_map(|alternative| match alternative {
            Self::Of(conditions) => Some(conditions.clone()),
            Self::Never(_) => None,
        });
        possible.collect()
    }
}

impl Rule {
    /// The clusters that it leads to, copies to or asks.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        let destinations = self.destinations.iter();
        let destinations =
            destinations.flat_map(|d| std::iter::once(&d.cluster).chain(&d.fallbacks));
        let mirrors = self.mirrors.iter().map(|m| &m.cluster);
        let asked = self.global_limit.iter().map(|limit| &limit.cluster);
        destinations.chain(mirrors).chain(asked)
    }

    /// The alternatives that requests can be like, as route tables have them.
    pub(crate) fn matches(&self) -> Vec<Vec<AttributeMatch>> {
        Alternative::possible(&self.alternatives)
    }

    /// The same without limits.
    fn unlimited(self) -> Self {
        Self {
            limit: None,
            global_limit: None,
            ..self
        }
    }

    /// A rule of an object that takes every request and leads nowhere yet.
    fn of(object: &Arc<Object>) -> Self {
        Self {
            source: object.clone(),
            route: None,
            name: String::new(),
            alternatives: vec![Alternative::Of(vec![])],
            destinations: vec![],
            timeout: None,
            remove_prefix: None,
            mirrors: vec![],
            request_mutation: vec![],
            response_mutation: vec![],
            retries: None,
            hedge: None,
            idempotent: false,
            limit: None,
            global_limit: None,
            fault: None,
            adaptive_concurrency: None,
            hash_policy: vec![],
            circuit_breaker: None,
            treated_by: None,
        }
    }

    /// Where it is written.
    pub(crate) fn at(&self) -> Position {
        let route = match &self.source.spec {
            Spec::MetaRouter(router) => {
                self.route.and_then(|i| Some(router.routes.get(i)?.mark.at))
            }
            Spec::RedisService(redis) => {
                self.route.and_then(|i| Some(redis.routes.get(i)?.mark.at))
            }
            _ => None,
        };
        route.unwrap_or(self.source.at)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightedCluster {
    /// There is no such cluster in the model if nobody defines the host, or if it is refused.
    pub(crate) cluster: ClusterName,
    pub(crate) weight: u32,
    /// Asked in this order where no endpoint of it can be; each is another cluster.
    pub(crate) fallbacks: Vec<ClusterName>,
}

impl WeightedCluster {
    /// What takes everything.
    const fn only(cluster: ClusterName) -> Self {
        Self {
            cluster,
            weight: 100,
            fallbacks: vec![],
        }
    }
}

/// Endpoints and the policy towards them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cluster {
    /// What decides its policy: the RedisDestination, else the DestinationRule, else the
    /// ServiceEntry.
    pub(crate) source: ObjectRef,
    /// Counts where there is no `hash`.
    pub(crate) balance: Simple,
    pub(crate) hash: Option<ConsistentHash>,
    /// Of no effect where a hash or chance decides.
    pub(crate) warmup: Option<Warmup>,
    pub(crate) connect_timeout: Duration,
    /// Its own `connect_timeout` is the one above, where it has one.
    pub(crate) pool: ConnectionPool,
    /// None: its endpoints are dialled in plaintext.
    pub(crate) tls: Option<ClusterTls>,
    /// None: the proxy's default.
    pub(crate) max_unknown_nodes: Option<u32>,
    /// What the plugin is told about the servers.
    pub(crate) settings: Vec<Setting>,
    /// The seeds, where the endpoints are learned from the servers; none of them: `endpoints`.
    pub(crate) topology: Option<Vec<EndpointAddress>>,
    pub(crate) outlier: Option<OutlierDetection>,
    pub(crate) health_check: Option<HealthCheck>,
    /// None: the proxy's default.
    pub(crate) retry_budget: Option<RetryBudget>,
    pub(crate) locality: LocalityState,
    /// In percent; none: the proxy's default.
    pub(crate) panic_threshold: Option<u32>,
    /// None: the endpoints have no names.
    pub(crate) dns: Option<Dns>,
    /// What its service is written in.
    pub(crate) service: ObjectRef,
    /// The labels of its subset.
    pub(crate) subset: BTreeMap<String, String>,
    /// Shared with the port of its service.
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: EndpointAddress,
    pub(crate) locality: Locality,
    pub(crate) labels: BTreeMap<String, String>,
    /// What it is called whatever its address; empty where it has no name.
    pub(crate) hostname: String,
    /// At least 1.
    pub(crate) weight: u32,
    /// One that is not is there to be counted, not to be asked.
    pub(crate) is_ready: bool,
    /// The service account that it runs as, as in `ns/shop/sa/orders`; empty where that is not known.
    pub(crate) account: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndpointAddress {
    Tcp(IpAddr, u16),
    Unix(String),
    /// The proxy resolves it.
    Name(String, u16),
}

impl std::fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(ip, port) => std::net::SocketAddr::new(*ip, *port).fmt(f),
            Self::Unix(path) => write!(f, "unix://{path}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// Something wrong with the objects taken together.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) diagnostic: Diagnostic,
    /// The objects of which one would have to be refused, most likely first; empty where refusing
    /// one would make things worse.
    pub(crate) blame: Vec<ObjectRef>,
    /// What would mend it, where somebody took it away.
    pub(crate) needs: Vec<Need>,
}

/// Collects findings.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    /// A finding at a place of an object, which is to blame for it.
    fn at(&mut self, object: &Object, at: Position, diagnostic: Diagnostic) {
        let blame = if diagnostic.is_error() {
            vec![object.id.clone()]
        } else {
            vec![]
        };
        self.push(object.finding(diagnostic, at), blame);
    }

    /// As [`Self::at`], but nothing gets better by refusing the object.
    fn blameless(&mut self, object: &Object, at: Position, diagnostic: Diagnostic) {
        self.push(object.finding(diagnostic, at), vec![]);
    }

    fn push(&mut self, diagnostic: Diagnostic, blame: Vec<ObjectRef>) {
        self.0.push(Finding {
            diagnostic,
            blame,
            needs: vec![],
        });
    }

    /// Says what the finding before this lacks.
    fn needing(&mut self, needs: impl IntoIterator<Item = Need>) {
        if let Some(last) = self.0.last_mut() {
            last.needs.extend(needs);
        }
    }

    /// Objects that may be to blame for the finding before this too.
    fn or_blame(&mut self, others: impl IntoIterator<Item = ObjectRef>) {
        if let Some(last) = self.0.last_mut() {
            last.blame.extend(others);
        }
    }
}

/// What the steps of [`build`] share.
#[derive(Clone, Copy)]
struct Context<'a> {
    objects: &'a Objects,
    settings: &'a Settings,
    services: &'a Services,
    protocols: &'a Protocols,
    rules: &'a DestinationRules,
    redis: &'a redis::Destinations,
    mesh: &'a locality::Mesh,
}

/// What rules are read with, beside services.
#[derive(Clone, Debug)]
struct Parts {
    protocols: Arc<Protocols>,
    rules: Arc<DestinationRules>,
    redis: Arc<redis::Destinations>,
    mesh: Arc<locality::Mesh>,
}

impl<'a> Context<'a> {
    fn new(
        (objects, settings): (&'a Objects, &'a Settings),
        services: &'a Services,
        parts: &'a Parts,
    ) -> Self {
        Self {
            objects,
            settings,
            services,
            protocols: &parts.protocols,
            rules: &parts.rules,
            redis: &parts.redis,
            mesh: &parts.mesh,
        }
    }
}

/// What was before.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    pub(crate) model: &'a Model,
    pub(crate) leaving: &'a Leaving,
}

/// Builds the model of all objects. It is whole even if there are findings: what they concern is
/// left out. What an earlier model was made of may not have changed, in part; the settings have not.
pub(crate) fn build(
    objects: &Objects,
    settings: &Settings,
    before: Option<Before<'_>>,
) -> (Model, Vec<Finding>) {
    let mut findings = Findings::default();
    let earlier = before.map(|before| before.model);
    let protocols = Protocols::new(objects, settings, &mut findings);
    let services = earlier.map(|earlier| &earlier.services);
    let services = Kept::new(
        (OF_SERVICES, objects),
        services,
        &mut findings,
        |findings| Arc::new(Services::new(objects, &protocols, settings, findings)),
    );
    let parts = Parts {
        rules: DestinationRules::new(objects, &services, settings, &mut findings).into(),
        redis: redis::Destinations::new(objects, &services, settings, &mut findings).into(),
        mesh: locality::Mesh::new(objects, settings, &mut findings).into(),
        protocols: protocols.into(),
    };
    let context = Context::new((objects, settings), &services, &parts);
    let mut servers = gateways::servers(objects, &context, &mut findings);
    let (mut waypoints, behind) =
        waypoints::of(before.map(|it| it.leaving), &context, &mut findings);
    servers.extend(behind);
    redis::attach(objects, &context, &mut servers, &mut findings);
    routers::attach(objects, &context, &mut servers, &mut findings);
    waypoints::lead_home(&mut servers, &context);
    authorization::attach(&context, (&mut servers, &mut waypoints), &mut findings);
    liveness::check(&servers, &mut findings);
    let clusters = clusters::of((&servers, &waypoints), &context, &mut findings);
    for server in &mut servers {
        server.policy.clients = ClientTimes::of(&server.rules, &clusters);
    }
    let localities = earlier.map(|earlier| &earlier.localities);
    let localities = Kept::new(
        (OF_LOCALITIES, objects),
        localities,
        &mut findings,
        |findings| {
            clusters::check_localities(&context, findings);
        },
    );
    hashing::check_routes(&servers, &clusters, &mut findings);
    #[cfg(feature = "kubernetes")]
    let following = endpoints::Following::new(&context, &clusters);
    let model = Model {
        servers: servers.into_iter().map(Arc::new).collect(),
        waypoints: waypoints.into(),
        clusters,
        services,
        localities,
        #[cfg(feature = "kubernetes")]
        parts: Arc::new(parts),
        #[cfg(feature = "kubernetes")]
        following: Arc::new(following),
    };
    (model, findings.0)
}

/// The objects of one kind with their specs.
macro_rules! objects_of {
    ($objects:expr, MeshConfig) => {
        objects_of!($objects, ConfigMap, MeshConfig)
    };
    ($objects:expr, $kind:ident) => {
        objects_of!($objects, $kind, $kind)
    };
    ($objects:expr, $kind:ident, $spec:ident) => {
        $objects
            .of_kind(crate::manifest::Kind::$kind)
            .filter_map(|object| match &object.spec {
                Spec::$spec(spec) => Some((object, spec)),
                _ => None,
            })
    };
}
use objects_of;

#[cfg(test)]
mod tests;
