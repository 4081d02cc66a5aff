//! What may be in use at a time is never more, and nothing of it is left in the end.

use std::sync::Arc;

use meltemi_core::{circuit::Circuits, engine::WorkerStatus};

use crate::config::{CLUSTER, Policy, ROUTE};

/// What the engine says that it uses, and what there is.
pub(crate) struct Watch {
    pub(crate) circuits: Arc<Circuits>,
    policy: Policy,
}

impl Watch {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            circuits: Arc::default(),
            policy,
        }
    }

    pub(crate) fn check(&self, status: &WorkerStatus) {
        let usage = self.circuits.cluster(CLUSTER);
        let limits = self.policy.limits;
        let open: usize = status.hosts.iter().map(|host| host.connections).sum();
        assert_eq!(usage.connections.in_use() as usize, open, "connections");
        let further = usage.further_in_use() as usize;
        assert!(
            further <= open,
            "{further} of {open} connections are not the first"
        );
        // A worker may have one to each endpoint.
        let most = |most: u32| most as usize + status.hosts.len();
        assert!(
            limits.connections.is_none_or(|it| open <= most(it)),
            "{open} connections, {limits:?}"
        );
        let requests = usage.requests.in_use();
        assert!(
            limits.requests.is_none_or(|most| requests <= most),
            "{requests} requests, {limits:?}"
        );
        // A one-way request counts until a connection has it; its endpoint is asked until it has left.
        let active: u32 = status.hosts.iter().map(|host| host.active).sum();
        let bounded = limits.requests.map_or(0, |_| active);
        assert!(requests <= bounded, "{requests} of {bounded} requests");
        for (what, used, most) in [
            ("pending", &usage.pending, limits.pending),
            ("retries", &usage.retries, limits.retries),
            (
                "of the route",
                &self.circuits.route(ROUTE),
                self.policy.of_route,
            ),
        ] {
            let used = used.in_use();
            assert!(used <= most.unwrap_or(0), "{what}: {used} of {most:?}");
        }
    }

    /// Whether nothing is in use but connections that are open.
    pub(crate) fn is_over(&self) -> bool {
        let usage = self.circuits.cluster(CLUSTER);
        let route = self.circuits.route(ROUTE);
        let counts = [&usage.pending, &usage.requests, &usage.retries, &route];
        counts.iter().all(|count| count.in_use() == 0)
    }
}
