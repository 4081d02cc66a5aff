//! A service, the waypoint that it asks for, and what is known of its pods.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::Rules;
use crate::index::Objects;
use crate::manifest::{Kind, ObjectRef};
use crate::model::{Service, USE, USE_NAMESPACE, Waypoint, is_captured, takes_pods};

pub(super) type Labels = BTreeMap<String, String>;

#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) service: &'a Service,
    pub(super) waypoint: &'a Waypoint,
    pub(super) objects: &'a Objects,
    pub(super) root_namespace: &'a str,
    /// Namespaces in which something has a sidecar.
    pub(super) sidecars: &'a BTreeSet<String>,
    /// Of HTTP.
    pub(super) rules: &'a Rules<'a>,
}

impl<'a> Asking<'a> {
    /// Of the waypoint, as policies may write it.
    pub(super) fn identity(&self) -> &'a str {
        self.waypoint.hop.identity()
    }

    /// Whether any of its connections come to the waypoint.
    pub(super) fn is_reached(&self) -> bool {
        is_captured(self.service) || self.are_pods_captured()
    }

    /// Whether ztunnel hands over connections to each pod, too.
    pub(super) fn are_pods_captured(&self) -> bool {
        if !takes_pods(&self.waypoint.gateway, self.objects) {
            return false;
        }
        let of_namespace = self.namespace_labels().and_then(|it| self.asks(it));
        let mut pods = self.service.workloads().peekable();
        match pods.peek() {
            None => of_namespace == Some(true),
            Some(_) => pods.all(|pod| self.asks(&pod.labels).or(of_namespace) == Some(true)),
        }
    }

    fn namespace_labels(&self) -> Option<&'a Labels> {
        let namespace = ObjectRef::new(Kind::Namespace, "", &self.service.namespace);
        let namespace = self.objects.get(&namespace);
        namespace.map(|namespace| &*namespace.metadata.labels)
    }

    /// Whether what has these labels asks for this waypoint; none: it does not say.
    fn asks(&self, labels: &Labels) -> Option<bool> {
        let gateway = &self.waypoint.gateway.id;
        let name = labels.get(USE)?;
        let of = labels.get(USE_NAMESPACE).map(String::as_str);
        let of = of.unwrap_or(&self.service.namespace);
        Some(**name == *gateway.name && *of == *gateway.namespace)
    }
}
