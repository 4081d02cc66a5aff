//! What bounds the requests to a cluster, and those of a route.

use std::sync::Arc;

use crate::{
    circuit::{Circuits, Count, Usage},
    config,
    engine::server::Server,
    telemetry::ClusterMetrics,
};

/// A bound that a request would go beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Limit {
    /// Of requests to the cluster.
    Requests,
    /// Of those that wait for a connection.
    Pending,
}

/// The bounds of a cluster's requests. What was taken of them is given back where it was taken from, so
/// that a configuration that changes them meanwhile does no harm.
#[derive(Debug)]
pub(in crate::engine) struct Limits {
    requests: Option<u32>,
    pending: Option<u32>,
    per_connection: Option<u32>,
    usage: Arc<Usage>,
    metrics: ClusterMetrics,
}

impl Limits {
    /// `None`: nothing bounds a request.
    pub(super) fn of(
        limits: config::Limits,
        usage: &Arc<Usage>,
        metrics: &ClusterMetrics,
    ) -> Option<Self> {
        let config::Limits {
            requests,
            pending,
            requests_per_connection: per_connection,
            ..
        } = limits;
        let bounds = [requests, pending, per_connection];
        bounds.iter().any(Option::is_some).then(|| Self {
            requests,
            pending,
            per_connection,
            usage: Arc::clone(usage),
            metrics: metrics.clone(),
        })
    }

    /// What refuses a request for which a connection would have to be made.
    pub(in crate::engine) fn refuses_new(&self) -> Option<Limit> {
        let is_full = |most: Option<u32>, count: &Count| most.is_some_and(|n| count.in_use() >= n);
        if is_full(self.requests, &self.usage.requests) {
            return Some(Limit::Requests);
        }
        is_full(self.pending, &self.usage.pending).then_some(Limit::Pending)
    }

    /// Takes what a request on this connection needs. Returns whether the connection may take no
    /// further one.
    pub(in crate::engine) fn take(&self, server: &mut Server) -> Result<bool, Limit> {
        let requests = &self.usage.requests;
        if self.requests.is_some_and(|most| !requests.take(most)) {
            return Err(Limit::Requests);
        }
        if !server.is_ready() && self.pending.is_some_and(|most| !server.permit.wait(most)) {
            self.give_back(1);
            return Err(Limit::Pending);
        }
        Ok(self.carries(server))
    }

    /// The same for a request that nothing refuses: the proxy's own, or one that its client's connection
    /// cannot do without.
    pub(in crate::engine) fn take_anyway(&self, server: &mut Server) -> bool {
        if self.requests.is_some() {
            self.usage.requests.take_anyway();
        }
        self.carries(server)
    }

    fn carries(&self, server: &mut Server) -> bool {
        let Some(most) = self.per_connection else {
            return false;
        };
        server.carried = server.carried.saturating_add(1);
        let is_spent = server.carried >= most;
        server.retiring |= is_spent;
        is_spent
    }

    /// Whether the next request on a connection is the last that it may carry.
    pub(in crate::engine) fn is_nearly_spent(&self, server: &Server) -> bool {
        let most = self.per_connection;
        most.is_some_and(|most| server.carried.saturating_add(1) >= most)
    }

    /// So many requests are under way no more.
    pub(in crate::engine) fn give_back(&self, n: u32) {
        if self.requests.is_some() {
            self.usage.requests.give_back(n);
        }
    }

    /// Counts a request that was refused.
    pub(in crate::engine) fn refused(&self, limit: Limit) {
        match limit {
            Limit::Requests => self.metrics.request_overflowed(),
            Limit::Pending => self.metrics.pending_overflowed(),
        }
    }
}

/// How many requests of a route may be unanswered.
#[derive(Debug)]
pub(in crate::engine) struct RouteLimit {
    most: u32,
    count: Arc<Count>,
}

impl RouteLimit {
    pub(super) fn new(breaker: &config::CircuitBreaker, circuits: &Circuits) -> Self {
        Self {
            most: breaker.max_requests,
            count: circuits.route(&breaker.name),
        }
    }

    pub(in crate::engine) fn take(&self) -> bool {
        self.count.take(self.most)
    }

    /// The same, however many there are: true.
    pub(in crate::engine) fn take_anyway(&self) -> bool {
        self.count.take_anyway();
        true
    }

    pub(in crate::engine) fn give_back(&self, n: u32) {
        self.count.give_back(n);
    }
}
