//! Limits and options of the connections to a cluster's endpoints.

use std::time::Duration;

use meltemi_policy::Limits;
use meltemi_proto::envoy::config::cluster::v3 as proto;
use meltemi_proto::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use meltemi_proto::envoy::config::core::v3::{RoutingPriority, TcpKeepalive};

use super::super::invalid::Invalid;

/// TCP's own probes on idle connections; `None` is the system's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Unanswered probes after which the connection is dead.
    pub probes: Option<u32>,
    /// Idle for so long, a connection is probed.
    pub time: Option<Duration>,
    /// Between two probes.
    pub interval: Option<Duration>,
}

/// What Linux takes for these options of a socket: `MAX_TCP_KEEPCNT`, and `MAX_TCP_KEEPIDLE` and
/// `MAX_TCP_KEEPINTVL` in seconds. With more no connection could be made.
const MOST: (u32, u32) = (127, 32_767);

impl Keepalive {
    pub(super) fn parse(keepalive: TcpKeepalive) -> Result<Self, Invalid> {
        let bounded = |field: &str, value: Option<u32>, most: u32| match value {
            Some(0) => Err(Invalid::new(field, "must be above 0")),
            Some(value) if value > most => {
                Err(Invalid::new(field, format!("{value} is above {most}")))
            }
            value => Ok(value),
        };
        let (probes, longest) = MOST;
        let seconds = |field: &str, value| {
            let seconds = bounded(field, value, longest);
            seconds.map(|s| s.map(|s| Duration::from_secs(s.into())))
        };
        Ok(Self {
            probes: bounded("keepalive_probes", keepalive.keepalive_probes, probes)?,
            time: seconds("keepalive_time", keepalive.keepalive_time)?,
            interval: seconds("keepalive_interval", keepalive.keepalive_interval)?,
        })
    }
}

pub(super) fn limits(
    thresholds: Option<&Thresholds>,
    requests_per_connection: Option<u32>,
) -> Result<Limits, Invalid> {
    if requests_per_connection == Some(0) {
        let field = "metadata.typed_filter_metadata[meltemi].max_requests_per_connection";
        return Err(Invalid::new(field, "must be above 0"));
    }
    let of = |limit: fn(&Thresholds) -> Option<u32>| thresholds.and_then(limit);
    Ok(Limits {
        connections: of(|it| it.max_connections),
        pending: of(|it| it.max_pending_requests),
        requests: of(|it| it.max_requests),
        // As Envoy: beside a budget it does not count.
        retries: of(|it| it.max_retries.filter(|_| it.retry_budget.is_none())),
        requests_per_connection,
    })
}

/// The limits of a cluster: Envoy's thresholds of the default priority, of which the first count.
pub(super) fn thresholds(breakers: Option<proto::CircuitBreakers>) -> Option<Thresholds> {
    let thresholds = breakers.map_or_else(Vec::new, |breakers| breakers.thresholds);
    let default = |t: &Thresholds| t.priority() == RoutingPriority::Default;
    thresholds.into_iter().find(default)
}
