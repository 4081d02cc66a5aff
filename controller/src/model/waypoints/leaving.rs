//! Services that have opted out of a waypoint: istiod and ztunnel hear of it later than we do, and connections come until then.

use std::collections::BTreeMap;
#[cfg(feature = "kubernetes")]
use std::collections::BTreeSet;
#[cfg(feature = "kubernetes")]
use std::time::Duration;
use std::time::Instant;

#[cfg(feature = "kubernetes")]
use super::super::{Bind, Model};
use crate::manifest::ObjectRef;

/// So long such a service is still served: whoever has connections there is told to leave when it is over.
#[cfg(feature = "kubernetes")]
pub(crate) const FAREWELL: Duration = Duration::from_mins(5);

/// A Gateway, and a Service or ServiceEntry that it stands before.
type Pair = (ObjectRef, ObjectRef);

/// Those that have opted out, each until when it is served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaving(BTreeMap<Pair, Instant>);

impl Leaving {
    pub(super) fn has(&self, gateway: &ObjectRef, service: &ObjectRef) -> bool {
        let mut pairs = self.0.keys();
        pairs.any(|(of, which)| of == gateway && which == service)
    }
}

#[cfg(feature = "kubernetes")]
impl Leaving {
    /// Adds what a model has and the one after it has not. False: there is nothing of that kind. What asks again leaves no
    /// more, so that it has all of the time when it leaves the next time.
    pub(crate) fn note(&mut self, before: &Model, after: &Model, now: Instant) -> bool {
        let asks = |(gateway, service): &Pair| {
            let mut waypoints = after.waypoints.iter();
            let of = waypoints.find(|it| it.gateway.id == *gateway);
            of.is_some_and(|waypoint| waypoint.asking.contains(service))
        };
        self.0.retain(|pair, _| !asks(pair));
        let kept = after.bound();
        let mut is_new = false;
        for pair in before.bound().difference(&kept).cloned() {
            self.0.entry(pair).or_insert_with(|| {
                is_new = true;
                now + FAREWELL
            });
        }
        is_new
    }

    /// Without those whose time is over.
    pub(crate) fn at(&self, now: Instant) -> Self {
        let pairs = self.0.iter().filter(|(_, until)| **until > now);
        Self(pairs.map(|(pair, until)| (pair.clone(), *until)).collect())
    }

    /// When the time of one is over.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }
}

#[cfg(feature = "kubernetes")]
impl Model {
    /// Before which services waypoints stand.
    fn bound(&self) -> BTreeSet<Pair> {
        let routed = self.servers.iter().filter_map(|server| match &server.bind {
            Bind::Service(bound) => Some((server.source.id.clone(), bound.service.clone())),
            Bind::Tcp(..) | Bind::Unix(_) => None,
        });
        let passed = self.waypoints.iter().flat_map(|waypoint| {
            let gateway = &waypoint.gateway.id;
            let passed = waypoint.passed.iter();
            passed.map(|it| (gateway.clone(), it.bound.service.clone()))
        });
        routed.chain(passed).collect()
    }
}
