//! The short ways where nothing but endpoints and MetaRouters changed: no other objects are looked at again, and nothing is
//! encoded but what became of these. They give what the long way would.
//!
//! What is found wrong with endpoints is not looked for here: the long way has to be gone some time later. MetaRouters of
//! which something is wrong, or was, take the long way at once.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use meltemi_policy::ClusterName;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Name as _;

use super::{Pipeline, Update};
use crate::ads::{Made, NamespacedName, Published, Resource, Resources};
use crate::index::{Index, Objects, OfKind};
use crate::manifest::{Kind, ObjectRef};
use crate::model::{ENDPOINT_KINDS, Model, Rerouted, Routers, ServerName};
use crate::places::Places;
use crate::standing::Standing;
use crate::translate::{add_cluster, endpoints, of_rules, remove_cluster, scope_of};

/// Which short ways there are from where the last long one has led.
#[derive(Default)]
pub(super) struct Short {
    /// Whether the endpoints are the newest.
    follows_endpoints: bool,
    /// Whether the MetaRouters are, as far as they count.
    follows_routers: bool,
    /// What something is found wrong with, beyond an object by itself.
    flawed: HashSet<ObjectRef>,
}

/// What came of a short way.
pub(crate) struct Followed {
    pub(crate) published: Arc<Published>,
    pub(crate) has_routers: bool,
    /// Whether there may be other findings, or there are more objects or fewer: the long way tells, some time later.
    pub(crate) is_to_be_told: bool,
}

impl Short {
    pub(super) fn new(
        index: &Index,
        objects: &Objects,
        standing: &Standing,
        flawed: HashSet<ObjectRef>,
    ) -> Self {
        let Some((newest, _)) = index.newest() else {
            return Self::default();
        };
        let mut kinds = ENDPOINT_KINDS.iter();
        let mut routers = newest.of_kind(Kind::MetaRouter);
        Self {
            follows_endpoints: kinds
                .all(|kind| OfKind::is_same(newest.kind(*kind), objects.kind(*kind))),
            follows_routers: routers.all(|router| {
                let in_force = objects.get(&router.id);
                in_force.is_some_and(|it| it.is_same(router)) || !standing.counts(&router.id)
            }),
            flawed,
        }
    }
}

impl Pipeline {
    /// Puts in force what the index holds, where that differs in endpoints and MetaRouters alone; none where it does not,
    /// and nothing was done.
    pub(in super::super) fn follow(&mut self) -> Option<Followed> {
        let (newest, changes) = self.index.newest()?;
        let changed = changes.objects.iter().cloned();
        let (routers, slices): (Vec<_>, BTreeSet<_>) = split(changed);
        let (has_endpoints, has_routers) = (!slices.is_empty(), !routers.is_empty());
        let are_endpoints = slices.iter().all(|id| ENDPOINT_KINDS.contains(&id.kind));
        // Where no object changed something else did, such as whose objects count.
        let is_short = !changes.are_flawed
            && (has_endpoints || has_routers)
            && are_endpoints
            && (!has_endpoints || self.short.follows_endpoints)
            && (!has_routers || self.may_reroute(&routers));
        if !is_short {
            return None;
        }
        let objects = self.with_changed(newest, &routers, has_endpoints);
        let mut model = self.model.clone();
        let mut clusters = BTreeSet::new();
        if has_endpoints {
            clusters = Model::follow(&mut model, &slices, (&self.objects, &objects))?;
        }
        let mut rerouted = Rerouted::default();
        if has_routers {
            let routers = Routers {
                changed: &routers,
                objects: &objects,
                settings: &self.settings,
                flawed: &self.short.flawed,
            };
            rerouted = Model::reroute(&mut model, &routers)?;
        }
        let mut published = Published::clone(&self.published);
        published.places = Places::new(&objects);
        published.made = Made::default();
        put_endpoints(&model, clusters, &mut published);
        put_routes(&model, &rerouted, &mut published);
        self.index.accept(&objects);
        let is_to_be_told = has_endpoints || objects.len() != self.objects.len();
        (self.model, self.objects) = (model, Arc::new(objects));
        self.published = Arc::new(published);
        Some(Followed {
            published: self.published.clone(),
            has_routers,
            is_to_be_told,
        })
    }

    /// Looks at everything anew, in the end, for what is wrong with endpoints.
    pub(in super::super) fn look_again(&mut self, now: Instant) -> Update {
        Arc::make_mut(&mut self.model).forget_findings();
        self.apply_at(now)
    }

    fn may_reroute(&self, routers: &[ObjectRef]) -> bool {
        self.short.follows_routers && !Standing::leaves_out(&self.index, &self.settings, routers)
    }

    /// What is in force, with the newest of what changed.
    fn with_changed(
        &self,
        newest: &Objects,
        routers: &[ObjectRef],
        has_endpoints: bool,
    ) -> Objects {
        let mut objects = Objects::clone(&self.objects);
        if has_endpoints {
            for kind in ENDPOINT_KINDS {
                objects.adopt(newest, kind);
            }
        }
        for id in routers {
            match newest.get(id) {
                Some(router) => objects.insert(id.clone(), router.clone()),
                None => drop(objects.remove(id)),
            }
        }
        objects
    }
}

/// MetaRouters, and all else.
fn split(changed: impl Iterator<Item = ObjectRef>) -> (Vec<ObjectRef>, BTreeSet<ObjectRef>) {
    let (mut routers, mut others) = (vec![], BTreeSet::new());
    for id in changed {
        match id.kind {
            Kind::MetaRouter => routers.push(id),
            _ => drop(others.insert(id)),
        }
    }
    (routers, others)
}

fn put_endpoints(
    model: &Model,
    clusters: impl IntoIterator<Item = ClusterName>,
    published: &mut Published,
) {
    let type_url = ClusterLoadAssignment::type_url();
    for name in clusters {
        let Some(cluster) = model.clusters.get(&name) else {
            continue;
        };
        let name = name.to_string();
        // Where names are resolved there is none.
        let Some((shared, was)) = published.all.shared(&type_url, &name) else {
            continue;
        };
        let (shared, resource) = (shared.clone(), Resource::of(&endpoints(cluster, &name)));
        if resource == **was {
            continue;
        }
        let resource = Arc::new(resource);
        let put = |resources: &mut Arc<Resources>| {
            Arc::make_mut(resources).share(&shared, &resource);
        };
        put(&mut published.all);
        let mut scopes = published.scopes.values_mut();
        let concerned = scopes
            .by_ref()
            .filter(|scope| scope.get(&type_url, &name).is_some());
        concerned.for_each(put);
    }
}

fn put_routes(model: &Model, rerouted: &Rerouted, published: &mut Published) {
    if !rerouted.added.is_empty() || !rerouted.removed.is_empty() {
        let all = Arc::make_mut(&mut published.all);
        for name in &rerouted.removed {
            remove_cluster(name, all);
        }
        for name in &rerouted.added {
            if let Some(cluster) = model.clusters.get(name) {
                add_cluster(name, cluster, all);
            }
        }
    }
    let mut moved = BTreeSet::new();
    for (&place, &leads_elsewhere) in &rerouted.servers {
        let Some(server) = model.servers.get(place) else {
            continue;
        };
        let (name, gateway) = (server.name.to_string(), gateway_of(&server.name));
        for resource in of_rules(server, &name) {
            let was = published.all.shared(&resource.body.type_url, &name);
            let Some((name, _)) = was.filter(|(_, was)| ***was != resource) else {
                continue;
            };
            let (name, resource) = (name.clone(), Arc::new(resource));
            let scope = published.scopes.get_mut(&gateway).into_iter();
            for resources in scope.chain([&mut published.all]) {
                Arc::make_mut(resources).share(&name, &resource);
            }
        }
        if leads_elsewhere {
            moved.insert(gateway);
        }
    }
    for gateway in moved {
        let scope = scope_of(&gateway, model, &published.all);
        if let Some(earlier) = published.scopes.get_mut(&gateway) {
            *earlier = scope.sharing(earlier);
        }
    }
}

fn gateway_of(server: &ServerName) -> NamespacedName {
    NamespacedName {
        namespace: server.namespace.clone(),
        name: server.gateway.clone(),
    }
}

#[cfg(test)]
mod tests;
