//! Pods that the `workloadSelector` of a ServiceEntry picks, beside WorkloadEntries.

use std::net::IpAddr;
use std::sync::Arc;

use meltemi_policy::subset;

use super::kubernetes::{Found, described};
use crate::index::Objects;
use crate::manifest::{Object, Pod, ServiceEntry, ServicePort, SliceEndpoint, Spec};
use crate::model::{Endpoint, objects_of};

/// Those of its namespace with its labels that are ready, with their addresses.
pub(super) struct Pods<'a>(Vec<(&'a Object, &'a Pod, IpAddr)>);

impl<'a> Pods<'a> {
    pub(super) fn of(object: &Object, entry: &ServiceEntry, objects: &'a Objects) -> Self {
        let Some(selector) = &entry.selector else {
            return Self(vec![]);
        };
        let pods = objects_of!(objects, Pod).filter_map(|(pod, spec)| {
            let is_selected = pod.id.namespace == object.id.namespace
                && subset::selects(selector, &pod.metadata.labels);
            let address = spec.address.filter(|_| is_selected)?;
            Some((&**pod, spec, address))
        });
        Self(pods.collect())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// They listen where the port says.
    pub(super) fn endpoints(
        &self,
        port: &ServicePort,
        objects: &Objects,
    ) -> impl Iterator<Item = Arc<Endpoint>> {
        let number = port.target_port.unwrap_or(port.number);
        self.0.iter().map(move |(object, pod, address)| {
            let endpoint = SliceEndpoint {
                address: *address,
                ready: true,
                serving: true,
                terminating: false,
                hostname: String::new(),
                node: pod.node.clone(),
                zone: String::new(),
                pod: object.id.name.to_string(),
            };
            let found = Found {
                endpoint: &endpoint,
                number,
                is_ready: true,
            };
            Arc::new(described(found, &object.id.namespace, objects))
        })
    }
}
