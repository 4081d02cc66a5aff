//! From the index to resources, whatever the source.

#[cfg(feature = "kubernetes")]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
#[cfg(feature = "kubernetes")]
use std::time::Instant;

use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use meltemi_proto::meltemi::config::v1::Service;
use prost::Name as _;

use super::Update;
use crate::ads::{Published, Rejection};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::{Index, Objects};
use crate::manifest::Object;
#[cfg(feature = "kubernetes")]
use crate::manifest::ObjectRef;
#[cfg(feature = "kubernetes")]
use crate::model::Leaving;
use crate::model::{self, Cluster, Model, Server};
use crate::schema::Settings;
#[cfg(feature = "kubernetes")]
use crate::status::Resolved;
use crate::translate::{secrets_of_cluster, secrets_of_server};

pub(crate) struct Pipeline {
    pub(crate) settings: Settings,
    pub(crate) index: Index,
    /// What is in force.
    pub(super) model: Arc<Model>,
    /// Services that waypoints stood before until a while ago.
    #[cfg(feature = "kubernetes")]
    leaving: Leaving,
    objects: Arc<Objects>,
    published: Arc<Published>,
    /// What is said of objects.
    #[cfg(feature = "kubernetes")]
    said: Said,
    #[cfg(feature = "kubernetes")]
    short: Short,
    /// Whether a short way was gone since the last long one began.
    #[cfg(feature = "kubernetes")]
    is_ahead: bool,
}

/// What came of the long way for the status of objects; the short way changes none of it.
#[cfg(feature = "kubernetes")]
#[derive(Default)]
struct Said {
    /// Of another revision.
    foreign: Arc<BTreeSet<ObjectRef>>,
    refused: Arc<BTreeSet<ObjectRef>>,
    findings: Arc<BTreeMap<ObjectRef, Vec<Diagnostic>>>,
    /// What waypoints change, by their Gateways.
    plans: Arc<BTreeMap<ObjectRef, String>>,
}

mod long;
#[cfg(feature = "kubernetes")]
pub(super) use long::{Arrival, Arrived};
use long::{Reached, Standpoint};
#[cfg(feature = "kubernetes")]
mod short;
#[cfg(feature = "kubernetes")]
pub(super) use short::Followed;
#[cfg(feature = "kubernetes")]
use short::Short;
#[cfg(all(test, feature = "kubernetes"))]
mod tests;

impl Pipeline {
    pub(crate) fn new(settings: Settings) -> Self {
        let objects = Objects::new();
        let (model, _) = model::build(&objects, &settings, None);
        Self {
            settings,
            index: Index::default(),
            model: Arc::new(model),
            #[cfg(feature = "kubernetes")]
            leaving: Leaving::default(),
            objects: Arc::new(objects),
            published: Arc::default(),
            #[cfg(feature = "kubernetes")]
            said: Said::default(),
            #[cfg(feature = "kubernetes")]
            short: Short::default(),
            #[cfg(feature = "kubernetes")]
            is_ahead: false,
        }
    }

    /// Says whether that is something else than before, for the objects that the index has.
    #[cfg(feature = "kubernetes")]
    pub(super) fn stand_beside_aeraki(&mut self, is_there: bool) -> bool {
        let before = std::mem::replace(&mut self.settings.beside_aeraki, is_there);
        if before != is_there {
            self.short = Short::default();
        }
        before != is_there
    }

    /// What is in force.
    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Puts in force what is valid of what the index holds.
    pub(crate) fn apply(&mut self) -> Update {
        let reached = self.standpoint().go();
        self.put_in_force(reached)
    }

    /// When there is something to do although nothing was heard.
    #[cfg(feature = "kubernetes")]
    pub(super) fn due(&self) -> Option<Instant> {
        self.leaving.due()
    }

    fn standpoint(&self) -> Standpoint<'_> {
        Standpoint {
            index: &self.index,
            settings: &self.settings,
            model: &self.model,
            published: &self.published,
        }
    }

    fn put_in_force(&mut self, reached: Reached) -> Update {
        self.index.accept(&reached.objects);
        let report = reached.report.clone();
        self.stand(reached);
        let resources = self.published.clone();
        Update { resources, report }
    }

    /// Stands where a long way has led.
    fn stand(&mut self, reached: Reached) {
        (self.model, self.objects) = (reached.model, reached.objects);
        self.published = reached.published;
        #[cfg(feature = "kubernetes")]
        {
            self.said = reached.said;
            self.short = reached.short;
            self.leaving = reached.leaving;
        }
    }

    /// What came of all that was put in force, for the status of objects.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn judged(&self) -> Resolved {
        Resolved {
            model: self.model.clone(),
            objects: self.objects.clone(),
            resources: self.published.clone(),
            refused: self.said.refused.clone(),
            findings: self.said.findings.clone(),
            foreign: self.said.foreign.clone(),
            plans: self.said.plans.clone(),
            root_namespace: self.settings.root_namespace.as_str().into(),
        }
    }

    /// A proxy's complaint about a resource, as a finding on the object that it was made of.
    pub(super) fn rejected(&self, rejection: &Rejection) -> Diagnostic {
        let Rejection {
            node, name, reason, ..
        } = rejection;
        let message = format!("the proxy {node} rejects {name}: {reason}");
        let diagnostic = Diagnostic::error(Code::RejectedByProxy, message);
        match self.source_of(rejection) {
            Some(object) => object.finding(diagnostic, object.at),
            None => diagnostic,
        }
    }

    fn source_of(&self, rejection: &Rejection) -> Option<&Object> {
        let Rejection {
            type_url,
            name,
            reason,
            ..
        } = rejection;
        let server = self
            .model
            .servers
            .iter()
            .find(|s| s.name.to_string() == *name);
        if *type_url == RouteConfiguration::type_url() {
            return server?
                .rules
                .get(route_index(reason)?)
                .map(|rule| &*rule.source);
        }
        if *type_url == Listener::type_url() {
            let waypoint = || self.model.waypoint_of_listener(name);
            let gateway = server.map(|server| &server.source);
            return gateway.or_else(waypoint).map(|gateway| &**gateway);
        }
        if *type_url == Service::type_url() {
            let passed = || Some(&self.model.passed(name)?.source);
            let source = server.map(|server| server.decides()).or_else(passed);
            return source.map(|source| &**source);
        }
        let clusters = &self.model.clusters;
        let cluster = match *type_url == Secret::type_url() {
            true => clusters.values().find(|cluster| needs(cluster, name)),
            false => clusters.get(&name.parse().ok()?),
        };
        let Some(cluster) = cluster else {
            let mut servers = self.model.servers.iter();
            let server = servers.find(|server| shows(server, name));
            return server.map(|server| &*server.source);
        };
        self.objects.get(&cluster.source).map(|object| &**object)
    }
}

/// Whether the cluster needs the secret of this name.
fn needs(cluster: &Cluster, secret: &str) -> bool {
    secrets_of_cluster(cluster).any(|known| known.name == secret)
}

/// Whether the server needs it.
fn shows(server: &Server, secret: &str) -> bool {
    secrets_of_server(server).any(|known| known.name == secret)
}

/// The route that a reason speaks of: `routes[3].match…`.
fn route_index(reason: &str) -> Option<usize> {
    let (_, rest) = reason.split_once("routes[")?;
    rest.split_once(']')?.0.parse().ok()
}
