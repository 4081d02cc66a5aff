//! What is served a while longer: services that have opted out of a waypoint, since istiod and ztunnel hear of it later than we do
//! and connections come until then; and all that stands behind a Gateway that was deleted, whose proxies have yet to drain.

use std::collections::BTreeMap;
#[cfg(feature = "kubernetes")]
use std::collections::BTreeSet;
use std::sync::Arc;
#[cfg(feature = "kubernetes")]
use std::time::Duration;
use std::time::Instant;

#[cfg(feature = "kubernetes")]
use super::super::{Bind, Model};
use crate::manifest::{Object, ObjectRef};

/// So long such a service is still served: whoever has connections there is told to leave when it is over.
#[cfg(feature = "kubernetes")]
pub(crate) const FAREWELL: Duration = Duration::from_mins(5);

/// A Gateway, and a Service or ServiceEntry that it stands before.
type Pair = (ObjectRef, ObjectRef);

/// Each until when it is served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaving {
    /// Those that have opted out.
    services: BTreeMap<Pair, Instant>,
    /// Gateways that are not there any more, as they were.
    gateways: BTreeMap<ObjectRef, (Arc<Object>, Instant)>,
}

impl Leaving {
    pub(super) fn has(&self, gateway: &ObjectRef, service: &ObjectRef) -> bool {
        let mut pairs = self.services.keys();
        pairs.any(|(of, which)| of == gateway && which == service)
    }

    pub(super) fn gone(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.gateways.values().map(|(object, _)| object)
    }
}

#[cfg(feature = "kubernetes")]
impl Leaving {
    /// Adds what a model has and the one after it has not. False: there is nothing of that kind. What asks again leaves no
    /// more, so that it has all of the time when it leaves the next time.
    pub(crate) fn note(&mut self, before: &Model, after: &Model, now: Instant) -> bool {
        let until = now + FAREWELL;
        self.note_gateways(before, after, until) | self.note_services(before, after, until)
    }

    fn note_gateways(&mut self, before: &Model, after: &Model, until: Instant) -> bool {
        let of = |id: &ObjectRef| after.waypoints.iter().find(|it| it.gateway.id == *id);
        // One that was made anew is another.
        self.gateways.retain(|id, (object, _)| {
            of(id).is_none_or(|waypoint| Arc::ptr_eq(&waypoint.gateway, object))
        });
        let mut is_new = false;
        for waypoint in before.waypoints.iter() {
            let object = &waypoint.gateway;
            if of(&object.id).is_none() {
                self.gateways.entry(object.id.clone()).or_insert_with(|| {
                    is_new = true;
                    (object.clone(), until)
                });
            }
        }
        is_new
    }

    fn note_services(&mut self, before: &Model, after: &Model, until: Instant) -> bool {
        let asks = |(gateway, service): &Pair| {
            let mut waypoints = after.waypoints.iter();
            let of = waypoints.find(|it| it.gateway.id == *gateway);
            of.is_some_and(|waypoint| waypoint.asking.contains(service))
        };
        self.services.retain(|pair, _| !asks(pair));
        let kept = after.bound();
        let mut is_new = false;
        for pair in before.bound().difference(&kept).cloned() {
            self.services.entry(pair).or_insert_with(|| {
                is_new = true;
                until
            });
        }
        is_new
    }

    /// Without those whose time is over.
    pub(crate) fn at(&self, now: Instant) -> Self {
        let services = self.services.iter().filter(|(_, until)| **until > now);
        let gateways = self.gateways.iter().filter(|(_, (_, until))| *until > now);
        Self {
            services: services
                .map(|(pair, until)| (pair.clone(), *until))
                .collect(),
            gateways: gateways
                .map(|(id, gone)| (id.clone(), gone.clone()))
                .collect(),
        }
    }

    /// When the time of one is over.
    pub(crate) fn due(&self) -> Option<Instant> {
        let gateways = self.gateways.values().map(|(_, until)| until);
        self.services.values().chain(gateways).min().copied()
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
