//! A service, the waypoint that it asks for, and what is known of its pods.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_policy::subset::selects;

use super::rules::Rules;
use super::seen::Truth;
use crate::index::Objects;
use crate::manifest::{Kind, ObjectRef, Spec};
use crate::model::{
    Endpoint, EndpointAddress, Service, USE, USE_NAMESPACE, Waypoint, is_captured, takes_pods,
};

pub(super) type Labels = BTreeMap<String, String>;

#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) service: &'a Service,
    pub(super) waypoint: &'a Waypoint,
    /// Of the waypoint, as policies may write it; its own comes first.
    pub(super) identities: &'a [String],
    pub(super) objects: &'a Objects,
    pub(super) root_namespace: &'a str,
    /// Namespaces in which something has a sidecar.
    pub(super) sidecars: &'a BTreeSet<String>,
    /// Of HTTP.
    pub(super) rules: &'a Rules<'a>,
}

impl<'a> Asking<'a> {
    pub(super) fn identity(&self) -> &'a str {
        self.identities.first().map_or("", String::as_str)
    }

    /// Whether any of its connections come to the waypoint.
    pub(super) fn is_reached(&self) -> bool {
        is_captured(self.service) || self.are_pods_captured()
    }

    /// The labels by which its pods are selected; none where it has no pods.
    pub(super) fn selector(&self) -> Option<&'a Labels> {
        let selector = match &self.service.source.spec {
            Spec::Service(service) if service.external_name.is_none() => Some(&service.selector),
            Spec::ServiceEntry(entry) => entry.selector.as_ref(),
            _ => None,
        };
        let is_known = |selector: &&Labels| !selector.is_empty() || self.pods().next().is_some();
        selector.filter(is_known)
    }

    /// Those that are endpoints now.
    pub(super) fn pods(&self) -> impl Iterator<Item = &'a Endpoint> + use<'a> {
        let endpoints = self.service.ports.iter().flat_map(|port| &port.endpoints);
        let endpoints = endpoints.map(|endpoint| &**endpoint);
        endpoints.filter(|it| matches!(it.address, EndpointAddress::Tcp(..)))
    }

    /// The ports that its pods listen on.
    pub(super) fn listened(&self) -> BTreeSet<u16> {
        let ports = self.pods().filter_map(|pod| match pod.address {
            EndpointAddress::Tcp(_, port) => Some(port),
            _ => None,
        });
        ports.collect()
    }

    /// Whether these labels select its pods: all of them, or some, or perhaps, or none.
    pub(super) fn is_selected(&self, by: &Labels) -> Truth {
        let Some(own) = self.selector() else {
            return Truth::No;
        };
        if selects(by, own) {
            return Truth::Yes;
        }
        let selected: BTreeSet<_> = self.pods().map(|pod| selects(by, &pod.labels)).collect();
        match (selected.contains(&true), selected.contains(&false)) {
            (true, false) => Truth::Yes,
            (true, true) => Truth::Maybe,
            (false, true) => Truth::No,
            (false, false) => could_be(by, own),
        }
    }

    /// Whether ztunnel hands over connections to each pod, too.
    pub(super) fn are_pods_captured(&self) -> bool {
        if !takes_pods(&self.waypoint.gateway, self.objects) {
            return false;
        }
        let of_namespace = self.namespace_labels().and_then(|it| self.asks(it));
        let mut pods = self.pods().peekable();
        match pods.peek() {
            None => of_namespace == Some(true),
            Some(_) => pods.all(|pod| self.asks(&pod.labels).or(of_namespace) == Some(true)),
        }
    }

    fn namespace_labels(&self) -> Option<&'a Labels> {
        let namespace = ObjectRef::new(Kind::Namespace, "", &self.service.namespace);
        let namespace = self.objects.get(&namespace);
        namespace.map(|namespace| &namespace.metadata.labels)
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

/// Whether pods of which no more is known than these labels could have those: they have one of them, and none that differs.
fn could_be(by: &Labels, own: &Labels) -> Truth {
    let mut shared = by
        .iter()
        .filter_map(|(name, value)| Some((own.get(name)?, value)));
    match shared.next() {
        Some((own, value)) if own == value && shared.all(|(own, value)| own == value) => {
            Truth::Maybe
        }
        _ => Truth::No,
    }
}
