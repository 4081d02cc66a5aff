//! What is served to whom: everything, and of each Gateway what concerns it.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use meltemi_proto::SELF_RESOURCE;

use super::counts::Made;
use super::node::{NamespacedName, Node};
use super::resources::{Resource, Resources};
use crate::places::{PlaceOf, Places};

/// All resources, and those that concern each Gateway: one set for all proxies that open it.
///
/// Used as resources it is all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    pub(crate) all: Arc<Resources>,
    pub(crate) scopes: BTreeMap<NamespacedName, Arc<Resources>>,
    /// The service accounts that the proxies of Gateways run as, where these are known.
    pub(crate) accounts: Arc<BTreeMap<NamespacedName, String>>,
    /// Where the pods are that proxies run in.
    pub(crate) places: Places,
    pub(crate) made: Made,
}

impl Deref for Published {
    type Target = Resources;

    fn deref(&self) -> &Resources {
        &self.all
    }
}

/// Resources of no Gateway: who claims one gets nothing of them.
impl From<Resources> for Published {
    fn from(all: Resources) -> Self {
        Self {
            all: Arc::new(all),
            ..Self::default()
        }
    }
}

impl Published {
    /// The same, where these concern a Gateway.
    #[must_use]
    pub fn with_scope(mut self, gateway: NamespacedName, resources: Resources) -> Self {
        self.scopes.insert(gateway, Arc::new(resources));
        self
    }

    /// The service account that a Gateway's proxies run as, where that is known.
    pub(super) fn account(&self, gateway: &NamespacedName) -> Option<&str> {
        self.accounts.get(gateway).map(String::as_str)
    }

    /// What concerns a Gateway; none: nobody knows it, or nothing is bound to it.
    #[must_use]
    pub fn scope(&self, gateway: &NamespacedName) -> Option<&Arc<Resources>> {
        self.scopes.get(gateway)
    }
}

/// What one node is served: a pointer to what all nodes of its Gateway share, unless it has more of its own.
#[derive(Debug, Default)]
pub(super) struct View {
    /// What it was put together from.
    parts: Vec<Arc<Resources>>,
    own: Option<Arc<Resource>>,
    /// Which it was made of.
    place: Option<PlaceOf>,
    places: Places,
    whole: Arc<Resources>,
}

impl View {
    /// Says whether it is another than before, at the cost of comparing a few pointers where it is not.
    pub(super) fn update(&mut self, published: &Published, node: &Node) -> bool {
        let has_moved = self.look_for(node, &published.places);
        let known = self.parts.iter().map(Arc::as_ptr);
        if !has_moved && known.eq(parts(published, node).map(Arc::as_ptr)) {
            return false;
        }
        self.parts = parts(published, node).cloned().collect();
        self.whole = self.joined();
        true
    }

    pub(super) fn resources(&self) -> &Resources {
        &self.whole
    }

    /// Says whether the node is somewhere else than before, or something else is known of it.
    fn look_for(&mut self, node: &Node, places: &Places) -> bool {
        if self.places.is_same(places) {
            return false;
        }
        self.places.clone_from(places);
        let place = node.pod.as_ref().and_then(|pod| places.of(pod));
        let is_same = match (&place, &self.place) {
            (Some(now), Some(was)) => now.is_same(was),
            (now, was) => now.is_none() && was.is_none(),
        };
        if is_same {
            return false;
        }
        let own = place.as_ref().map(PlaceOf::this_proxy);
        let own = own.map(|own| Arc::new(Resource::of(&own)));
        self.place = place;
        let has_moved = own != self.own;
        self.own = own;
        has_moved
    }

    fn joined(&self) -> Arc<Resources> {
        if let ([only], None) = (self.parts.as_slice(), &self.own) {
            return only.clone();
        }
        let mut parts = self.parts.iter();
        let mut whole = parts
            .next()
            .map_or_else(Resources::new, |first| (**first).clone());
        parts.for_each(|part| whole.extend(part));
        if let Some(own) = &self.own {
            whole.share(&SELF_RESOURCE.into(), own);
        }
        Arc::new(whole)
    }
}

fn parts<'a>(published: &'a Published, node: &'a Node) -> impl Iterator<Item = &'a Arc<Resources>> {
    let everything = node.gateways.is_none().then_some(&published.all);
    let claimed = node.gateways.iter().flatten();
    let claimed = claimed.filter_map(|gateway| published.scopes.get(gateway));
    everything.into_iter().chain(claimed)
}

#[cfg(test)]
mod tests;
