//! The short ways where nothing but endpoints, MetaRouters and DestinationRules changed: no other objects are looked at again,
//! and nothing is encoded but what became of these. They give what the long way would.
//!
//! What is found wrong with endpoints, and what DestinationRules are warned of, is not looked for here: the long way has to be
//! gone some time later. MetaRouters of which something is wrong, or was, take the long way at once.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use meltemi_policy::ClusterName;

use super::Pipeline;
use crate::ads::{Made, Published, Resource, Resources};
use crate::index::{Index, Objects, OfKind};
use crate::manifest::{Kind, ObjectRef};
use crate::model::{ENDPOINT_KINDS, Model, Rerouted, Routers, Rules};
use crate::places::Places;
use crate::standing::Standing;
use crate::translate::{
    add_cluster, endpoints, gateway_of, of_rules, remove_cluster, scope_of, wire_cluster,
};

/// Which short ways there are from where the last long one has led.
#[derive(Default)]
pub(super) struct Short {
    /// Whether the endpoints are the newest.
    follows_endpoints: bool,
    /// Whether the MetaRouters are, as far as they count.
    follows_routers: bool,
    /// Whether the DestinationRules are the newest.
    follows_rules: bool,
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
        let is_newest = |kind| OfKind::is_same(newest.kind(kind), objects.kind(kind));
        let mut routers = newest.of_kind(Kind::MetaRouter);
        Self {
            follows_endpoints: ENDPOINT_KINDS.into_iter().all(is_newest),
            follows_rules: is_newest(Kind::DestinationRule),
            follows_routers: routers.all(|router| {
                let in_force = objects.get(&router.id);
                in_force.is_some_and(|it| it.is_same(router)) || !standing.counts(&router.id)
            }),
            flawed,
        }
    }
}

impl Pipeline {
    /// Puts in force what the index holds, where that differs in endpoints, MetaRouters and DestinationRules alone; none where
    /// it does not, and nothing was done.
    pub(in super::super) fn follow(&mut self) -> Option<Followed> {
        let (newest, changes) = self.index.newest()?;
        let changed = Changed::of(&changes.objects);
        if changes.are_flawed || !self.has_short_way(&changed) {
            return None;
        }
        let objects = self.with_changed(newest, &changed);
        let (model, remodelled) = self.remodelled(&changed, &objects)?;
        let mut published = Published::clone(&self.published);
        published.places = Places::new(&objects);
        published.made = Made::default();
        remodelled.put(&model, &mut published);
        self.index.accept(&objects);
        let has_other_count = objects.len() != self.objects.len();
        (self.model, self.objects) = (model, Arc::new(objects));
        self.published = Arc::new(published);
        self.is_ahead = true;
        Some(Followed {
            published: self.published.clone(),
            has_routers: !changed.routers.is_empty(),
            is_to_be_told: changed.has_endpoints() || changed.has_rules() || has_other_count,
        })
    }

    fn has_short_way(&self, changed: &Changed) -> bool {
        let has_routers = !changed.routers.is_empty();
        // Where no object changed something else did, such as whose objects count.
        (changed.has_endpoints() || changed.has_rules() || has_routers)
            && !changed.others
            && (!changed.has_endpoints() || self.short.follows_endpoints)
            && (!changed.has_rules() || self.short.follows_rules)
            && (!has_routers || self.may_reroute(&changed.routers))
    }

    /// The model as it will be. None where the long way has to be gone.
    fn remodelled(&self, changed: &Changed, objects: &Objects) -> Option<(Arc<Model>, Remodelled)> {
        let mut model = self.model.clone();
        let mut remodelled = Remodelled::default();
        if changed.has_endpoints() {
            let versions = (&*self.objects, objects);
            remodelled.endpoints = Model::follow(&mut model, &changed.endpoints, versions)?;
        }
        if changed.has_rules() {
            let rules = Rules {
                changed: &changed.rules,
                was: &self.objects,
                objects,
                settings: &self.settings,
            };
            remodelled.policies = Model::retune(&mut model, &rules)?;
        }
        if !changed.routers.is_empty() {
            let routers = Routers {
                changed: &changed.routers,
                objects,
                settings: &self.settings,
                flawed: &self.short.flawed,
            };
            remodelled.rerouted = Model::reroute(&mut model, &routers)?;
        }
        Some((model, remodelled))
    }

    fn may_reroute(&self, routers: &[ObjectRef]) -> bool {
        self.short.follows_routers && !Standing::leaves_out(&self.index, &self.settings, routers)
    }

    /// What is in force, with the newest of what changed.
    fn with_changed(&self, newest: &Objects, changed: &Changed) -> Objects {
        let mut objects = Objects::clone(&self.objects);
        if changed.has_endpoints() {
            for kind in ENDPOINT_KINDS {
                objects.adopt(newest, kind);
            }
        }
        if changed.has_rules() {
            objects.adopt(newest, Kind::DestinationRule);
        }
        for id in &changed.routers {
            match newest.get(id) {
                Some(router) => objects.insert(id.clone(), router.clone()),
                None => drop(objects.remove(id)),
            }
        }
        objects
    }
}

/// Whether changes of this kind may have a short way.
pub(super) fn is_short(kind: Kind) -> bool {
    matches!(kind, Kind::MetaRouter | Kind::DestinationRule) || ENDPOINT_KINDS.contains(&kind)
}

/// Changed objects, by what is done for them.
#[derive(Default)]
struct Changed {
    routers: Vec<ObjectRef>,
    rules: Vec<ObjectRef>,
    endpoints: BTreeSet<ObjectRef>,
    /// Whether there are others, too.
    others: bool,
}

impl Changed {
    fn of(objects: &BTreeSet<ObjectRef>) -> Self {
        let mut changed = Self::default();
        for id in objects {
            match id.kind {
                Kind::MetaRouter => changed.routers.push(id.clone()),
                Kind::DestinationRule => changed.rules.push(id.clone()),
                kind if ENDPOINT_KINDS.contains(&kind) => {
                    changed.endpoints.insert(id.clone());
                }
                _ => changed.others = true,
            }
        }
        changed
    }

    fn has_endpoints(&self) -> bool {
        !self.endpoints.is_empty()
    }

    fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }
}

/// What is other than before in a model.
#[derive(Default)]
struct Remodelled {
    /// Clusters with other endpoints.
    endpoints: BTreeSet<ClusterName>,
    /// Clusters with another policy, on which it hangs how endpoints are told.
    policies: BTreeSet<ClusterName>,
    rerouted: Rerouted,
}

impl Remodelled {
    /// Encodes it.
    fn put(&self, model: &Model, published: &mut Published) {
        put_endpoints(model, self.endpoints.union(&self.policies), published);
        put_policies(model, &self.policies, published);
        put_routes(model, &self.rerouted, published);
    }
}

fn put_endpoints<'a>(
    model: &Model,
    names: impl Iterator<Item = &'a ClusterName>,
    published: &mut Published,
) {
    for name in names {
        if let Some(cluster) = model.clusters.get(name) {
            let name = name.to_string();
            // Where names are resolved there is none.
            replace(&name, Resource::of(&endpoints(cluster, &name)), published);
        }
    }
}

fn put_policies(model: &Model, names: &BTreeSet<ClusterName>, published: &mut Published) {
    for name in names {
        if let Some(cluster) = model.clusters.get(name) {
            let name = name.to_string();
            replace(
                &name,
                Resource::of(&wire_cluster(cluster, &name)),
                published,
            );
        }
    }
}

/// Puts a resource in the place of what it was, wherever that is there.
fn replace(name: &str, resource: Resource, published: &mut Published) {
    let type_url = resource.body.type_url.clone();
    let Some((shared, was)) = published.all.shared(&type_url, name) else {
        return;
    };
    if resource == **was {
        return;
    }
    let (shared, resource) = (shared.clone(), Arc::new(resource));
    let put = |resources: &mut Arc<Resources>| {
        Arc::make_mut(resources).share(&shared, &resource);
    };
    put(&mut published.all);
    let scopes = published.scopes.values_mut();
    let concerned = scopes.filter(|scope| scope.get(&type_url, name).is_some());
    concerned.for_each(put);
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

#[cfg(test)]
mod tests;
