//! Endpoints that come and go: what that changes of a model, which is not built anew for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_policy::{ClusterName, host, subset};

use super::services::{Slices, refresh};
use super::{Cluster, Clusters, Context, Model, objects_of};
use crate::index::Objects;
use crate::manifest::{Kind, Object, ObjectRef, Spec};
use crate::persistent::PersistentMap;

/// The kinds that say which endpoints a Service has. Nothing else in a model hangs on them but what [`Following`] knows.
pub(crate) const ENDPOINT_KINDS: [Kind; 2] = [Kind::EndpointSlice, Kind::Pod];

/// What hangs on the endpoints of Services of Kubernetes.
#[derive(Clone, Debug)]
pub(super) struct Following {
    /// The clusters that lead to each.
    clusters: PersistentMap<ObjectRef, Vec<ClusterName>>,
    /// Those whose endpoints are somebody else's, too, an alias' or the seeds of a Redis Cluster, or decide whose certificates
    /// are believed.
    leaned_on: BTreeSet<ObjectRef>,
    /// What ServiceEntries pick pods by, each in its namespace.
    selectors: Vec<(Arc<str>, BTreeMap<String, String>)>,
}

impl Following {
    pub(super) fn new(context: &Context<'_>, clusters: &Clusters) -> Self {
        let mut of_services = BTreeMap::<_, Vec<_>>::new();
        for (name, cluster) in clusters.iter() {
            if cluster.service.kind == Kind::Service {
                let of_service = of_services.entry(cluster.service.clone()).or_default();
                of_service.push(name.clone());
            }
        }
        let services = context.services;
        let aliased = services.aliases().map(|(_, known)| known);
        let leaned_on = aliased.chain(context.redis.seeds(services));
        // Whom the servers of these have to be hangs on their endpoints.
        let verified = clusters.values().filter(|cluster| {
            let tls = cluster.tls.as_ref();
            tls.is_some_and(|tls| !tls.accounts_of.is_empty())
        });
        let verified = verified.map(|cluster| cluster.service.clone());
        let selectors = objects_of!(context.objects, ServiceEntry).filter_map(|(object, entry)| {
            Some((object.id.namespace.clone(), entry.selector.clone()?))
        });
        Self {
            clusters: of_services.into_iter().collect(),
            leaned_on: leaned_on
                .map(|service| service.source.id.clone())
                .chain(verified)
                .collect(),
            selectors: selectors.collect(),
        }
    }

    /// A cluster has come, or has gone.
    pub(super) fn renew(&mut self, name: &ClusterName, cluster: &Cluster, is_there: bool) {
        let service = &cluster.service;
        if service.kind != Kind::Service {
            return;
        }
        let mut names = self.clusters.get(service).cloned().unwrap_or_default();
        names.retain(|known| known != name);
        names.extend(is_there.then(|| name.clone()));
        let tls = cluster.tls.as_ref();
        if is_there && tls.is_some_and(|tls| !tls.accounts_of.is_empty()) {
            self.leaned_on.insert(service.clone());
        }
        self.clusters.insert(service.clone(), names);
    }

    fn picks(&self, pod: &Object) -> bool {
        let mut selectors = self.selectors.iter();
        selectors.any(|(namespace, selector)| {
            *namespace == pod.id.namespace && subset::selects(selector, &pod.metadata.labels)
        })
    }
}

impl Model {
    /// Takes over changed objects, all of [`ENDPOINT_KINDS`]. The clusters that have other endpoints now; none where more hangs
    /// on these, and the model is as it was.
    pub(crate) fn follow(
        model: &mut Arc<Self>,
        changed: &BTreeSet<ObjectRef>,
        (was, now): (&Objects, &Objects),
    ) -> Option<BTreeSet<ClusterName>> {
        let concerned = model.concerned(changed, was, now)?;
        let namespaces: BTreeSet<_> = concerned.iter().map(|id| &*id.namespace).collect();
        let slices = namespaces
            .into_iter()
            .flat_map(|namespace| now.of_namespace(Kind::EndpointSlice, namespace));
        let slices = Slices::new(slices);
        let Self {
            clusters,
            services,
            localities,
            following,
            ..
        } = Arc::make_mut(model);
        localities.revise(now);
        let services = Arc::make_mut(services.revise(now));
        let mut changed = BTreeSet::new();
        for id in &concerned {
            let full = host::expand(&id.name, &id.namespace);
            let Some(service) = services.get_mut(&full, &id.namespace) else {
                continue;
            };
            if !refresh(service, &slices, now) {
                continue;
            }
            for name in following.clusters.get(id).into_iter().flatten() {
                let cluster = clusters.get_mut(name);
                if let Some((cluster, port)) = cluster.zip(service.port(name.port)) {
                    Arc::make_mut(cluster).select(&port.endpoints);
                    changed.insert(name.clone());
                }
            }
        }
        Some(changed)
    }

    /// What is found wrong with endpoints is to be looked for anew.
    pub(crate) fn forget_findings(&mut self) {
        self.services.forget();
        self.localities.forget();
    }

    /// The Services that may have other endpoints now; none where that concerns others, too.
    fn concerned(
        &self,
        changed: &BTreeSet<ObjectRef>,
        was: &Objects,
        now: &Objects,
    ) -> Option<BTreeSet<ObjectRef>> {
        let mut services = BTreeSet::new();
        let mut pods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let versions = |id| [was.get(id), now.get(id)].into_iter().flatten();
        for object in changed.iter().flat_map(versions) {
            match &object.spec {
                Spec::EndpointSlice(slice) => {
                    services.insert(service(&object.id.namespace, &slice.service));
                }
                Spec::Pod(_) if self.following.picks(object) => return None,
                _ => {
                    let of_namespace = pods.entry(&object.id.namespace).or_default();
                    of_namespace.insert(&object.id.name);
                }
            }
        }
        for (namespace, pods) in pods {
            for object in now.of_namespace(Kind::EndpointSlice, namespace) {
                if let Spec::EndpointSlice(slice) = &object.spec
                    && slice.endpoints.iter().any(|it| pods.contains(&*it.pod))
                {
                    services.insert(service(namespace, &slice.service));
                }
            }
        }
        let is_plain = services.is_disjoint(&self.following.leaned_on);
        is_plain.then_some(services)
    }
}

fn service(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Service, namespace, name)
}
