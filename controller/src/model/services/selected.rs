//! Which servers of a service are selected by labels, as policies select workloads.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_policy::subset::selects;

use super::{Port, Service};
use crate::manifest::Spec;
use crate::model::{Endpoint, EndpointAddress};

type Labels = BTreeMap<String, String>;

/// How many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    None,
    /// Or it is not known.
    Some,
    All,
}

impl Port {
    /// The ports that its servers listen on, as far as they are known.
    pub(crate) fn listened(&self) -> impl Iterator<Item = u16> {
        let endpoints = self.endpoints.iter();
        endpoints.filter_map(|endpoint| match endpoint.address {
            EndpointAddress::Tcp(_, port) => Some(port),
            _ => None,
        })
    }
}

impl Service {
    /// Those that are endpoints now.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &Endpoint> {
        let endpoints = self.ports.iter().flat_map(|port| &port.endpoints);
        let endpoints = endpoints.map(|endpoint| &**endpoint);
        endpoints.filter(|it| matches!(it.address, EndpointAddress::Tcp(..)))
    }

    /// The labels by which they are selected; none where it has no workloads.
    pub(crate) fn selector(&self) -> Option<&Labels> {
        let selector = match &self.source.spec {
            Spec::Service(service) if service.external_name.is_none() => Some(&service.selector),
            Spec::ServiceEntry(entry) => entry.selector.as_ref(),
            _ => None,
        };
        let is_known =
            |selector: &&Labels| !selector.is_empty() || self.workloads().next().is_some();
        selector.filter(is_known)
    }

    /// How many of its workloads a policy of a namespace is for, by these labels.
    pub(crate) fn reach(&self, (namespace, root): (&str, &str), by: &Labels) -> Reach {
        let is_near = *namespace == *self.namespace || namespace == root;
        match self.selector().filter(|_| is_near) {
            None => Reach::None,
            Some(own) if selects(by, own) => Reach::All,
            Some(own) => self.reach_now(by, own),
        }
    }

    fn reach_now(&self, by: &Labels, own: &Labels) -> Reach {
        let workloads = self.workloads();
        let selected: BTreeSet<_> = workloads.map(|it| selects(by, &it.labels)).collect();
        match (selected.contains(&true), selected.contains(&false)) {
            (true, false) => Reach::All,
            (true, true) => Reach::Some,
            (false, true) => Reach::None,
            (false, false) => could_be(by, own),
        }
    }
}

/// Whether workloads of which no more is known than these labels could have those: they have one of them, and none that
/// differs.
fn could_be(by: &Labels, own: &Labels) -> Reach {
    let mut shared = by
        .iter()
        .filter_map(|(name, value)| Some((own.get(name)?, value)));
    match shared.next() {
        Some((own, value)) if own == value && shared.all(|(own, value)| own == value) => {
            Reach::Some
        }
        _ => Reach::None,
    }
}
