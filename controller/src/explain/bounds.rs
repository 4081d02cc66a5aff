//! The bounds of a cluster's connections and requests, in words.

use crate::manifest::ConnectionPool;
use crate::model::Cluster;

/// Those that are written, in the order in which a request meets them.
pub(super) fn of(cluster: &Cluster) -> Vec<String> {
    let ConnectionPool { tcp, http } = cluster.pool;
    let most = |most: Option<u32>, what: &str| most.map(|most| format!("at most {most} {what}"));
    let retries = http.max_retries.filter(|_| cluster.retry_budget.is_none());
    let limits = [
        most(http.max_requests, "requests under way"),
        most(
            http.max_pending_requests,
            "requests that wait for a connection",
        ),
        most(
            tcp.max_connections,
            "connections, and one of each worker to each endpoint whatever there are",
        ),
        most(http.max_requests_per_connection, "requests to a connection"),
        most(retries, "requests under way that were sent again"),
    ];
    limits.into_iter().flatten().collect()
}
