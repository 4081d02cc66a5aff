//! The bounds of a cluster's connections and requests.

use meltemi_policy::Limits;

use crate::manifest::ConnectionPool;
use crate::model::Cluster;

/// Those that are written.
pub(super) fn of(cluster: &Cluster) -> Limits {
    let ConnectionPool { tcp, http } = cluster.pool;
    Limits {
        connections: tcp.max_connections,
        pending: http.max_pending_requests,
        requests: http.max_requests,
        // Beside a budget it does not count.
        retries: http.max_retries.filter(|_| cluster.retry_budget.is_none()),
        requests_per_connection: http.max_requests_per_connection,
    }
}
