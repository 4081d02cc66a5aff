//! MetaRouters that come, change and go: what that changes of a model, which is not built anew for it.
//!
//! It is for the ordinary: where nothing is found wrong with any that acts on the same servers, before or afterwards.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use meltemi_policy::ClusterName;

use super::routers::{Router, precedence};
use super::sources::Workloads;
use super::{
    Cluster, Clusters, Context, Findings, Model, Rule, Server, authorization, clusters, hashing,
    liveness, redis, waypoints,
};
use crate::index::Objects;
use crate::manifest::{MetaRouter, Object, ObjectRef, Spec};
use crate::schema::Settings;

/// MetaRouters that are others than before.
pub(crate) struct Routers<'a> {
    pub(crate) changed: &'a [ObjectRef],
    /// What objects are by now.
    pub(crate) objects: &'a Objects,
    pub(crate) settings: &'a Settings,
    /// What something is found wrong with, beyond an object by itself.
    pub(crate) flawed: &'a HashSet<ObjectRef>,
}

/// What is other than before in a model.
#[derive(Debug, Default)]
pub(crate) struct Rerouted {
    /// Servers, by their place in the model's list, and whether they lead to other clusters.
    pub(crate) servers: BTreeMap<usize, bool>,
    pub(crate) added: BTreeSet<ClusterName>,
    pub(crate) removed: BTreeSet<ClusterName>,
}

/// What becomes of the model, unless something turns out to be out of the ordinary.
struct Draft<'a> {
    model: &'a Model,
    context: Context<'a>,
    routers: &'a Routers<'a>,
    servers: BTreeMap<usize, Server>,
    clusters: Clusters,
    /// What rules of changed routers lead to, or have led to.
    named: BTreeMap<ClusterName, Arc<str>>,
    rerouted: Rerouted,
}

impl Model {
    /// Takes over changed MetaRouters. None where that takes more than this, and the model is as it was.
    pub(crate) fn reroute(model: &mut Arc<Self>, routers: &Routers<'_>) -> Option<Rerouted> {
        let mut draft = Draft {
            model,
            context: Context::new(
                (routers.objects, routers.settings),
                &model.services,
                &model.parts,
            ),
            routers,
            servers: BTreeMap::new(),
            clusters: model.clusters.clone(),
            named: BTreeMap::new(),
            rerouted: Rerouted::default(),
        };
        draft.detach()?;
        draft.attach()?;
        draft.lead()?;
        draft.check()?;
        let Draft {
            servers,
            clusters,
            rerouted,
            ..
        } = draft;
        let model = Arc::make_mut(model);
        model.follow_clusters(&clusters, &rerouted);
        model.clusters = clusters;
        let mut all = model.servers.to_vec();
        for (place, server) in servers {
            all.splice(place..=place, [Arc::new(server)]).for_each(drop);
        }
        model.servers = all.into();
        Some(rerouted)
    }

    fn follow_clusters(&mut self, now: &Clusters, rerouted: &Rerouted) {
        let Rerouted { added, removed, .. } = rerouted;
        if added.is_empty() && removed.is_empty() {
            return;
        }
        let following = Arc::make_mut(&mut self.following);
        for (names, clusters, is_there) in [(added, now, true), (removed, &self.clusters, false)] {
            for name in names {
                if let Some(cluster) = clusters.get(name) {
                    following.renew(name, cluster, is_there);
                }
            }
        }
    }
}

impl Draft<'_> {
    /// Takes away what the changed ones were.
    fn detach(&mut self) -> Option<()> {
        for id in self.routers.changed {
            if self.routers.flawed.contains(id) {
                return None;
            }
            let servers = self.model.servers.iter().enumerate();
            let places = servers.filter(|(_, server)| server.attached.contains(id));
            for place in places.map(|(place, _)| place).collect::<Vec<_>>() {
                let server = self.server(place)?;
                server.attached.remove(id);
                let rules = std::mem::take(&mut server.rules).into_iter();
                let (own, others): (Vec<_>, Vec<_>) = rules.partition(|r| r.source.id == *id);
                server.rules = others;
                self.name(own.iter().map(|rule| &**rule));
            }
        }
        Some(())
    }

    /// Puts what they are by now where it belongs.
    fn attach(&mut self) -> Option<()> {
        let routers = self.routers;
        let workloads = Workloads::new(routers.objects);
        let context = self.context;
        for id in routers.changed {
            let Some(object) = routers.objects.get(id) else {
                continue;
            };
            let spec = meta_router(object)?;
            let router = Router::new((object, spec), &workloads, &context);
            let mut findings = Findings::default();
            let (service, places) = router.acts(&self.model.servers, &mut findings)?;
            for place in places {
                let server = self.server(place)?;
                let rules = router.rules(service, server, &mut findings);
                server.attached.insert(id.clone());
                let own = precedence(object, spec);
                let is_before = |rule: &Arc<Rule>| {
                    let router = meta_router(&rule.source);
                    router.is_some_and(|router| precedence(&rule.source, router) < own)
                };
                let between = server.rules.partition_point(is_before);
                let rules: Vec<_> = rules.into_iter().map(Arc::new).collect();
                server.rules.splice(between..between, rules.iter().cloned());
                self.name(rules.iter().map(|rule| &**rule));
            }
            if !findings.0.is_empty() {
                return None;
            }
        }
        let mut servers: Vec<_> = self.servers.values_mut().collect();
        waypoints::lead_home(&mut servers, &context);
        Some(())
    }

    /// The server as it will be. None where others than MetaRouters have a say in its rules.
    fn server(&mut self, place: usize) -> Option<&mut Server> {
        let was = self.model.servers.get(place)?;
        if was.protocol.plugin == redis::PLUGIN {
            return None;
        }
        Some(self.servers.entry(place).or_insert_with(|| {
            let mut server = Server::clone(was);
            // Without what leads home where nobody else does.
            server
                .rules
                .retain(|rule| meta_router(&rule.source).is_some());
            server
        }))
    }

    fn name<'r>(&mut self, rules: impl Iterator<Item = &'r Rule>) {
        for (rule, name) in rules.flat_map(clusters::named) {
            if !self.named.contains_key(name) {
                let namespace = rule.source.id.namespace.clone();
                self.named.insert(name.clone(), namespace);
            }
        }
    }

    /// Brings the clusters up to date with what the rules lead to by now.
    fn lead(&mut self) -> Option<()> {
        let named = std::mem::take(&mut self.named);
        for (name, namespace) in &named {
            // Else it would matter who names it first.
            if !self.context.services.is_of_one(&name.host) {
                return None;
            }
            match (self.is_led_to(name), self.clusters.get(name)) {
                (true, None) => {
                    let mut findings = Findings::default();
                    let service = self.context.services.find(&name.host, namespace)?;
                    let made = clusters::cluster(name, service, &self.context, &mut findings)?;
                    if !findings.0.is_empty() || !is_plain(&made) {
                        return None;
                    }
                    self.clusters.insert(name.clone(), Arc::new(made));
                    self.rerouted.added.insert(name.clone());
                }
                (false, Some(cluster)) => {
                    let flawed = self.routers.flawed;
                    let is_flawed = [&cluster.source, &cluster.service]
                        .iter()
                        .any(|id| flawed.contains(*id));
                    if is_flawed || !is_plain(cluster) {
                        return None;
                    }
                    self.clusters.remove(name);
                    self.rerouted.removed.insert(name.clone());
                }
                // Nobody was told of one that could not be made.
                (false, None) => return None,
                (true, Some(_)) => {}
            }
        }
        Some(())
    }

    fn is_led_to(&self, name: &ClusterName) -> bool {
        let leads = |server: &Server| {
            server
                .rules
                .iter()
                .any(|rule| rule.clusters().any(|it| it == name))
        };
        let others = || {
            let all = self.model.servers.iter().enumerate();
            all.filter(|(place, _)| !self.servers.contains_key(place))
        };
        self.servers.values().any(leads)
            || others().any(|(_, server)| leads(server))
            || clusters::bound(&self.model.servers, &self.model.waypoints)
                .any(|bound| bound.cluster == *name)
    }

    /// That nothing is wrong with what has become of the servers.
    fn check(&mut self) -> Option<()> {
        let mut findings = Findings::default();
        let servers: Vec<&Server> = self.servers.values().collect();
        liveness::check(&servers, &mut findings);
        hashing::check_routes(&servers, &self.clusters, &mut findings);
        let mut attached = servers.iter().flat_map(|server| &server.attached);
        if !findings.0.is_empty() || attached.any(|id| self.routers.flawed.contains(id)) {
            return None;
        }
        for (place, server) in &mut self.servers {
            let was = self.model.servers.get(*place)?;
            if !authorization::is_as_before((was, server), &self.context) {
                return None;
            }
            server.policy.clients = super::ClientTimes::of(&server.rules, &self.clusters);
            let leads_elsewhere = leads_to(was) != leads_to(server);
            self.rerouted.servers.insert(*place, leads_elsewhere);
        }
        Some(())
    }
}

fn leads_to(server: &Server) -> BTreeSet<&ClusterName> {
    server
        .rules
        .iter()
        .flat_map(|rule| rule.clusters())
        .collect()
}

/// Whether it comes and goes alone, without secrets.
pub(super) fn is_plain(cluster: &Cluster) -> bool {
    cluster.tls.is_none() && cluster.settings.is_empty() && cluster.topology.is_none()
}

fn meta_router(object: &Object) -> Option<&MetaRouter> {
    match &object.spec {
        Spec::MetaRouter(router) => Some(router),
        _ => None,
    }
}
