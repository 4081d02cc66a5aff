//! What the objects mean together, in plain types: servers, their rules in order, and clusters.

use std::sync::Arc;

use meltemi_policy::ClusterName;

use crate::index::Objects;
use crate::manifest::{Kind, Object};
use crate::persistent::PersistentMap;
use crate::schema::Settings;

mod attachment;
mod attributes;
mod authorization;
mod cluster;
mod clusters;
mod destination_rules;
mod dns;
#[cfg(feature = "kubernetes")]
mod endpoints;
mod finding;
mod gateways;
mod global_limits;
mod hashing;
mod health_check;
mod hop;
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
mod rule;
mod secrets;
mod server;
mod services;
mod sources;
mod tls;
mod traffic_distribution;
mod waypoints;

pub(crate) use authorization::AppliedPolicy;
pub(crate) use cluster::{Cluster, Endpoint, EndpointAddress};
pub(crate) use destination_rules::DestinationRules;
pub(crate) use dns::Dns;
#[cfg(feature = "kubernetes")]
pub(crate) use endpoints::ENDPOINT_KINDS;
pub(crate) use finding::{Finding, Findings};
#[cfg(feature = "kubernetes")]
pub(crate) use gateways::CONTROLLER;
pub(crate) use global_limits::GlobalRateLimit;
pub(crate) use health_check::HealthCheck;
pub(crate) use hop::Hop;
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
pub(crate) use rule::{Alternative, Rule, WeightedCluster};
#[cfg(feature = "kubernetes")]
pub(crate) use secrets::{REFERRING, references};
pub(crate) use server::{Bind, PortProtocol, Server, ServerName};
pub(crate) use services::{Port, Reach, Service, Services, placed};
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
