//! Connections and what is in flight on them, by service on the clients' side, by cluster on the servers'.

use std::sync::Arc;

use meltemi_policy::Foreign;

use super::cell::Cell;
use crate::dns::Update;

/// A handle for the client connections of a service. It stays on its worker.
#[derive(Clone, Debug)]
pub struct ServiceMetrics(Arc<ServiceCells>);

/// What one worker recorded of one service.
#[derive(Debug, Default)]
pub(super) struct ServiceCells {
    pub(super) opened: Cell,
    pub(super) open: Cell,
    pub(super) refused: Cell,
    pub(super) in_flight: Cell,
    pub(super) decode_errors: Cell,
    pub(super) dropped_answers: Cell,
    pub(super) refused_changes: Cell,
    pub(super) overloaded: Cell,
    pub(super) route_overflows: Cell,
    pub(super) aged: Cell,
    pub(super) undecided: Cell,
    pub(super) denied: Cell,
    pub(super) not_allowed: Cell,
    pub(super) audited: Cell,
    pub(super) denied_connections: Cell,
    /// In the order of [`Foreign::ALL`].
    mismatched: [Cell; Foreign::ALL.len()],
}

impl ServiceCells {
    /// How many clients spoke what, in the order of [`Foreign::ALL`].
    pub(super) fn mismatched(&self) -> [u64; Foreign::ALL.len()] {
        self.mismatched.each_ref().map(Cell::value)
    }
}

impl ServiceMetrics {
    pub(super) fn new(cells: Arc<ServiceCells>) -> Self {
        Self(cells)
    }

    /// A client connected.
    pub fn connection_opened(&self) {
        self.0.opened.add(1);
        self.0.open.add(1);
    }

    /// A client that had connected is gone.
    pub fn connection_closed(&self) {
        self.0.open.subtract(1);
    }

    /// A client was turned away at once (a limit, or the proxy drains).
    pub fn connection_refused(&self) {
        self.0.refused.add(1);
    }

    /// So many requests arrived.
    pub fn requests_started(&self, n: u64) {
        self.0.in_flight.add(n);
    }

    /// So many requests that had started are over.
    pub fn requests_finished(&self, n: u64) {
        self.0.in_flight.subtract(n);
    }

    /// A client sent what cannot be read.
    pub fn decode_error(&self) {
        self.0.decode_errors.add(1);
    }

    /// A message has no place for what its route changes, and goes on as it is.
    pub fn change_refused(&self) {
        self.0.refused_changes.add(1);
    }

    /// A request was refused: the worker has as many, or buffers as much, as it may.
    pub fn overloaded(&self) {
        self.0.overloaded.add(1);
    }

    /// A request was refused: its route has as many as it may.
    pub fn route_overflowed(&self) {
        self.0.route_overflows.add(1);
    }

    /// A request was refused: the regular expressions of its routes would take too long.
    pub fn route_undecided(&self) {
        self.0.undecided.add(1);
    }

    /// A request was refused: a policy denies it.
    pub fn denied(&self) {
        self.0.denied.add(1);
    }

    /// A request was refused: no policy allows it.
    pub fn not_allowed(&self) {
        self.0.not_allowed.add(1);
    }

    /// A policy counts a request.
    pub fn audited(&self) {
        self.0.audited.add(1);
    }

    /// A client was closed: it may not be connected any more.
    pub fn connection_denied(&self) {
        self.0.denied_connections.add(1);
    }

    /// A client was told to leave: it is connected for as long as it may.
    pub fn connection_aged(&self) {
        self.0.aged.add(1);
    }

    /// A client's first bytes were not of the service's protocol, and were passed on as they came.
    pub fn protocol_mismatched(&self, spoken: Foreign) {
        let cells = Foreign::ALL.iter().zip(&self.0.mismatched);
        for (_, cell) in cells.filter(|(known, _)| **known == spoken) {
            cell.add(1);
        }
    }

    /// So many answers had no client any more, or a client that does not read.
    pub fn answers_dropped(&self, n: u64) {
        self.0.dropped_answers.add(n);
    }
}

/// A handle for the server connections of a cluster. It stays on its worker.
#[derive(Clone, Debug)]
pub struct ClusterMetrics(Arc<ClusterCells>);

/// What one worker recorded of one cluster.
#[derive(Debug, Default)]
pub(super) struct ClusterCells {
    pub(super) opened: Cell,
    pub(super) open: Cell,
    pub(super) connect_failures: Cell,
    pub(super) in_flight: Cell,
    pub(super) retries: Cell,
    pub(super) ejections: Cell,
    pub(super) ejected: Cell,
    pub(super) health_checks: Cell,
    pub(super) health_checks_passed: Cell,
    pub(super) health_checks_failed: Cell,
    pub(super) healthy: Cell,
    pub(super) dns_updates: Cell,
    pub(super) dns_successes: Cell,
    pub(super) dns_empty: Cell,
    pub(super) dns_failures: Cell,
    pub(super) dns_dropped: Cell,
    pub(super) decode_errors: Cell,
    pub(super) unclaimed_answers: Cell,
    pub(super) copies: Cell,
    pub(super) copies_answered: Cell,
    pub(super) copies_failed: Cell,
    pub(super) copies_left_out: Cell,
    pub(super) connection_overflows: Cell,
    pub(super) pending_overflows: Cell,
    pub(super) request_overflows: Cell,
    pub(super) retry_overflows: Cell,
}

impl ClusterMetrics {
    pub(super) fn new(cells: Arc<ClusterCells>) -> Self {
        Self(cells)
    }

    /// A connection to an endpoint was made.
    pub fn connection_opened(&self) {
        self.0.opened.add(1);
        self.0.open.add(1);
    }

    /// A connection that had been made is gone.
    pub fn connection_closed(&self) {
        self.0.open.subtract(1);
    }

    /// A connection to an endpoint could not be made.
    pub fn connect_failed(&self) {
        self.0.connect_failures.add(1);
    }

    /// So many requests were assigned to an endpoint.
    pub fn attempts_started(&self, n: u64) {
        self.0.in_flight.add(n);
    }

    /// So many attempts that had started are over.
    pub fn attempts_finished(&self, n: u64) {
        self.0.in_flight.subtract(n);
    }

    /// Attempts of this worker that have started and are not over.
    pub(crate) fn attempts_under_way(&self) -> u64 {
        self.0.in_flight.value()
    }

    /// A request goes to a further candidate, or again to the same.
    pub fn retried(&self) {
        self.0.retries.add(1);
    }

    /// An endpoint was ejected. For the one owner of the cluster's outlier detection.
    pub fn endpoint_ejected(&self) {
        self.0.ejections.add(1);
    }

    /// So many endpoints are ejected. For the same owner.
    pub fn endpoints_ejected(&self, n: u64) {
        self.0.ejected.set(n);
    }

    /// An endpoint is asked how it is. This and what follows are for the one owner of the cluster's
    /// health checks.
    pub fn health_check_began(&self) {
        self.0.health_checks.add(1);
    }

    /// A health check is over.
    pub fn health_check_ended(&self, passed: bool) {
        match passed {
            true => self.0.health_checks_passed.add(1),
            false => self.0.health_checks_failed.add(1),
        }
    }

    /// So many endpoints count as healthy by their checks.
    pub fn healthy_endpoints(&self, n: u64) {
        self.0.healthy.set(n);
    }

    /// A name of an endpoint is asked for. This and what follows are for the one owner of names.
    pub(crate) fn dns_update_began(&self) {
        self.0.dns_updates.add(1);
    }

    /// A lookup is over; so many of the addresses are left out.
    pub(crate) fn dns_update_ended(&self, update: Update, dropped: u64) {
        match update {
            Update::Success => self.0.dns_successes.add(1),
            Update::Empty => {
                self.0.dns_successes.add(1);
                self.0.dns_empty.add(1);
            }
            Update::Failure => self.0.dns_failures.add(1),
        }
        self.0.dns_dropped.add(dropped);
    }

    /// The cluster is sent a copy of a request.
    pub fn copied(&self) {
        self.0.copies.add(1);
    }

    /// The answer to a copy is dropped.
    pub fn copy_answered(&self) {
        self.0.copies_answered.add(1);
    }

    /// A copy got no answer.
    pub fn copy_failed(&self) {
        self.0.copies_failed.add(1);
    }

    /// A copy was not made, since there are too many already.
    pub fn copy_left_out(&self) {
        self.0.copies_left_out.add(1);
    }

    /// A connection was not made: there are as many as there may be.
    pub fn connection_overflowed(&self) {
        self.0.connection_overflows.add(1);
    }

    /// A request was refused: as many wait for a connection as may.
    pub fn pending_overflowed(&self) {
        self.0.pending_overflows.add(1);
    }

    /// A request was refused: as many are under way as may.
    pub fn request_overflowed(&self) {
        self.0.request_overflows.add(1);
    }

    /// A request was not sent again: as many repetitions are under way as may.
    pub fn retry_overflowed(&self) {
        self.0.retry_overflows.add(1);
    }

    /// An endpoint sent an answer that nobody waits for (any more).
    pub fn answer_unclaimed(&self) {
        self.0.unclaimed_answers.add(1);
    }

    /// An endpoint sent what cannot be read.
    pub fn decode_error(&self) {
        self.0.decode_errors.add(1);
    }
}
