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
use crate::ads::{Made, Published, Rejection, Resources};
use crate::check::Report;
#[cfg(feature = "kubernetes")]
use crate::check::{planned, told};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::{Index, Objects};
use crate::manifest::Object;
#[cfg(feature = "kubernetes")]
use crate::manifest::ObjectRef;
use crate::model::{self, Before, Cluster, Leaving, Model, Server};
use crate::places::Places;
use crate::resolution::{Resolution, resolve};
use crate::schema::Settings;
#[cfg(feature = "kubernetes")]
use crate::status::{self, Resolved};
use crate::translate::{Earlier, scopes, secrets_of_cluster, secrets_of_server, translate};

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
}

/// What came of the long way for the status of objects; the short way changes none of it.
#[cfg(feature = "kubernetes")]
#[derive(Default)]
struct Said {
    /// What follows from findings for other objects.
    consequences: Vec<Diagnostic>,
    /// Of another revision.
    foreign: Arc<BTreeSet<ObjectRef>>,
    refused: Arc<BTreeSet<ObjectRef>>,
    findings: Arc<BTreeMap<ObjectRef, Vec<Diagnostic>>>,
    /// What waypoints change, by their Gateways.
    plans: Arc<BTreeMap<ObjectRef, String>>,
}

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
        let resolution = self.resolve(&Leaving::default());
        self.put_in_force(resolution)
    }

    /// The same where waypoints serve those that have opted out for a while: others hear of that later.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn apply_at(&mut self, now: Instant) -> Update {
        let mut resolution = self.resolve(&self.leaving.at(now));
        // Those whose time is over are not new.
        if self.leaving.note(&self.model, &resolution.model, now) {
            resolution = self.resolve(&self.leaving.at(now));
        }
        self.leaving = self.leaving.at(now);
        self.put_in_force(resolution)
    }

    /// When there is something to do although nothing was heard.
    #[cfg(feature = "kubernetes")]
    pub(super) fn due(&self) -> Option<Instant> {
        self.leaving.due()
    }

    fn resolve(&self, leaving: &Leaving) -> Resolution {
        let before = Before {
            model: &self.model,
            leaving,
        };
        resolve(&self.index, &self.settings, before)
    }

    fn put_in_force(&mut self, resolution: Resolution) -> Update {
        let Resolution {
            model,
            objects,
            findings,
            ..
        } = resolution;
        self.index.accept(&objects);
        #[cfg(feature = "kubernetes")]
        {
            let standing = &resolution.standing;
            self.short = Short::new(&self.index, &objects, standing, resolution.flawed);
            self.said.foreign = Arc::new(standing.foreign.clone());
            self.said.consequences = resolution.consequences;
        }
        let report = Report {
            diagnostics: findings,
            objects: objects.len(),
        };
        let earlier = Earlier {
            model: &self.model,
            resources: &self.published.all,
        };
        let all = translate(&model, self.settings.place(), &earlier);
        let all = all.sharing(&self.published.all);
        let was = &self.published.scopes;
        let shared = |(gateway, scope): (_, Resources)| {
            let scope = match was.get(&gateway) {
                Some(earlier) => scope.sharing(earlier),
                None => Arc::new(scope),
            };
            (gateway, scope)
        };
        self.published = Arc::new(Published {
            scopes: scopes(&model, &all).map(shared).collect(),
            all,
            places: Places::new(&objects),
            made: Made::default(),
        });
        (self.model, self.objects) = (Arc::new(model), Arc::new(objects));
        let resources = self.published.clone();
        Update { resources, report }
    }

    /// What came of an update, for the status of objects.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn resolved(&mut self, update: &Update) -> Resolved {
        let mut findings = BTreeMap::<_, Vec<_>>::new();
        let consequences = &self.said.consequences;
        for finding in update.report.diagnostics.iter().chain(consequences) {
            let object = finding.object.as_ref();
            let Some(object) = object.filter(|id| status::KINDS.contains(&id.kind)) else {
                continue;
            };
            findings
                .entry(object.clone())
                .or_default()
                .push(finding.clone());
        }
        self.said.refused = Arc::new(self.index.refused_of(status::KINDS, &self.objects));
        self.said.findings = Arc::new(findings);
        let plan = planned(&self.model, (&self.objects, &self.settings.root_namespace));
        self.said.plans = Arc::new(told(&plan));
        self.judged()
    }

    /// The same where a short way was gone meanwhile.
    #[cfg(feature = "kubernetes")]
    pub(super) fn judged(&self) -> Resolved {
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
