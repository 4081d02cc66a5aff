//! Endpoints that come and go: what that changes of a model, which is not built anew for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use meltemi_policy::{ClusterName, host};

use super::Model;
use super::services::{refresh, slices};
use crate::index::{Objects, OfKind};
use crate::manifest::{Kind, Object, ObjectRef, Spec};

/// The kinds that say which endpoints a Service has, of which nothing else in a model hangs.
pub(crate) const ENDPOINT_KINDS: [Kind; 2] = [Kind::EndpointSlice, Kind::Pod];

impl Model {
    /// Takes over objects that differ in these kinds alone. The clusters that have other endpoints now; none where more than
    /// these hangs on endpoints, and the model is as it was.
    pub(crate) fn follow(&mut self, was: &Objects, now: &Objects) -> Option<BTreeSet<ClusterName>> {
        // Seeds are endpoints of other services.
        if self
            .clusters
            .values()
            .any(|cluster| cluster.topology.is_some())
        {
            return None;
        }
        self.localities.revise(now);
        let Some(services) = Arc::get_mut(self.services.revise(now)) else {
            self.forget_findings();
            return None;
        };
        let mut changed = BTreeSet::new();
        for (namespace, name) in services_with_other_endpoints(was, now) {
            let full = host::expand(&name, &namespace);
            let Some(service) = services.get_mut(&full, &namespace) else {
                continue;
            };
            if !refresh(service, now) {
                continue;
            }
            let own = self.clusters.iter_mut().filter(|(_, cluster)| {
                let (host, of) = &cluster.service;
                *host == service.host && *of == service.namespace
            });
            for (name, cluster) in own {
                if let Some(port) = service.port(name.port) {
                    cluster.select(&port.endpoints);
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
}

/// By namespace and name.
fn services_with_other_endpoints(was: &Objects, now: &Objects) -> BTreeSet<(Arc<str>, String)> {
    let mut services = BTreeSet::new();
    let of_slice = |object: &Object| match &object.spec {
        Spec::EndpointSlice(slice) => Some((object.id.namespace.clone(), slice.service.clone())),
        _ => None,
    };
    for id in differing(was, now, Kind::EndpointSlice) {
        let versions = [was.get(&id), now.get(&id)].into_iter().flatten();
        services.extend(versions.filter_map(|object| of_slice(object)));
    }
    for pod in differing(was, now, Kind::Pod) {
        let slices = slices(&pod.namespace, now);
        let with_it = slices.filter(|slice| slice.endpoints.iter().any(|it| it.pod == *pod.name));
        services.extend(with_it.map(|slice| (pod.namespace.clone(), slice.service.clone())));
    }
    services
}

/// The objects of a kind that are there in one of the two alone, or are not the very same in both.
fn differing(was: &Objects, now: &Objects, kind: Kind) -> Vec<ObjectRef> {
    let empty = OfKind::default();
    let [was, now] = [was, now].map(|objects| objects.kind(kind).unwrap_or(&empty));
    if Arc::ptr_eq(was, now) {
        return vec![];
    }
    let (mut was, mut now) = (was.iter().peekable(), now.iter().peekable());
    let mut differing = vec![];
    loop {
        let order = match (was.peek(), now.peek()) {
            (Some((was, _)), Some((now, _))) => was.cmp(now),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return differing,
        };
        let one = was.next_if(|_| order.is_le());
        let other = now.next_if(|_| order.is_ge());
        let is_same = one
            .zip(other)
            .is_some_and(|((_, one), (_, other))| Arc::ptr_eq(one, other));
        if !is_same && let Some((id, _)) = one.or(other) {
            differing.push(id.clone());
        }
    }
}
