//! The short way where nothing but endpoints changed: neither objects nor rules are looked at again, and nothing is encoded
//! but what became of these endpoints. It gives what the long way would.
//!
//! What is found wrong with endpoints is not looked for here: the long way has to be gone some time later.

use std::sync::Arc;
use std::time::Instant;

use meltemi_policy::ClusterName;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Name as _;

use super::{Pipeline, Update};
use crate::ads::{Made, Published, Resource, Resources};
use crate::index::Objects;
use crate::model::{ENDPOINT_KINDS, Model};
use crate::places::Places;
use crate::translate::endpoints;

impl Pipeline {
    /// Puts in force what the index holds, where that differs in endpoints alone; none where it does not, and nothing was
    /// done.
    pub(in super::super) fn follow(&mut self) -> Option<Arc<Published>> {
        let (newest, changes) = self.index.newest()?;
        let mut kinds = changes.objects.iter().map(|id| id.kind);
        let is_short = self.may_follow
            && !changes.are_flawed
            && kinds.all(|kind| ENDPOINT_KINDS.contains(&kind));
        if !is_short {
            return None;
        }
        let mut objects = Objects::clone(&self.objects);
        for kind in ENDPOINT_KINDS {
            objects.adopt(newest, kind);
        }
        let versions = (&*self.objects, &objects);
        let clusters = Model::follow(&mut self.model, &changes.objects, versions)?;
        self.published = Arc::new(self.with_endpoints(clusters, &objects));
        self.index.accept(&objects);
        self.objects = Arc::new(objects);
        Some(self.published.clone())
    }

    /// Looks at everything anew, in the end, for what is wrong with endpoints.
    pub(in super::super) fn look_again(&mut self, now: Instant) -> Update {
        Arc::make_mut(&mut self.model).forget_findings();
        self.apply_at(now)
    }

    fn with_endpoints(
        &self,
        clusters: impl IntoIterator<Item = ClusterName>,
        objects: &Objects,
    ) -> Published {
        let mut published = Published::clone(&self.published);
        published.places = Places::new(objects);
        published.made = Made::default();
        let type_url = ClusterLoadAssignment::type_url();
        for name in clusters {
            let Some(cluster) = self.model.clusters.get(&name) else {
                continue;
            };
            let name = name.to_string();
            // Where names are resolved there is none.
            let Some((shared, was)) = self.published.all.shared(&type_url, &name) else {
                continue;
            };
            let resource = Resource::of(&endpoints(cluster, &name));
            if resource == **was {
                continue;
            }
            let resource = Arc::new(resource);
            let put = |resources: &mut Arc<Resources>| {
                Arc::make_mut(resources).share(shared, &resource);
            };
            put(&mut published.all);
            let mut scopes = published.scopes.values_mut();
            let concerned = scopes
                .by_ref()
                .filter(|scope| scope.get(&type_url, &name).is_some());
            concerned.for_each(put);
        }
        published
    }
}

#[cfg(test)]
mod tests;
