//! `connectionPool`: what there may be of connections and requests at a time, and how long they last.
//! Istio's names; a DestinationRule has all of them, a RedisDestination those of `tcp`.

use std::time::Duration;

use super::decode::{Decoder, Field, Fields};
use super::shape::{Described, Shape, Takes};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;

/// What is not given has no limit, or is the proxy's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionPool {
    pub(crate) tcp: Tcp,
    pub(crate) http: Http,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tcp {
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) max_connections: Option<u32>,
    pub(crate) keepalive: Option<Keepalive>,
    /// Of the clients of the service.
    pub(crate) idle_timeout: Option<Duration>,
    /// Of the clients of the service.
    pub(crate) max_connection_duration: Option<Duration>,
}

impl Tcp {
    /// Itself, and what it does not say of another.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            max_connections: self.max_connections.or(other.max_connections),
            keepalive: self.keepalive.or(other.keepalive),
            idle_timeout: self.idle_timeout.or(other.idle_timeout),
            max_connection_duration: self
                .max_connection_duration
                .or(other.max_connection_duration),
        }
    }
}

/// What is not given is the system's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keepalive {
    pub(crate) probes: Option<u32>,
    pub(crate) time: Option<Duration>,
    pub(crate) interval: Option<Duration>,
}

/// Of requests, whatever their protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Http {
    pub(crate) max_pending_requests: Option<u32>,
    pub(crate) max_requests: Option<u32>,
    pub(crate) max_requests_per_connection: Option<u32>,
    pub(crate) max_retries: Option<u32>,
    /// Of the connections to the endpoints.
    pub(crate) idle_timeout: Option<Duration>,
}

const POOL: &[Field] = &[Field::InForce("tcp"), Field::InForce("http")];

pub(super) static TCP: Shape = Shape {
    name: "TcpSettings",
    meaning: "As in Istio's DestinationRule.",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "maxConnections",
            Takes::Integer {
                least: 0,
                most: MOST,
            },
            "so many connections at most, over all workers",
        )
        .absent("no limit; so is 0"),
        Described::new(
            "connectTimeout",
            Takes::Duration,
            "how long an attempt to connect may take",
        )
        .absent("10s with a RedisDestination, 5s without"),
        Described::new(
            "tcpKeepalive",
            Takes::Mapping(&KEEPALIVE),
            "probes on connections that say nothing",
        )
        .absent("none"),
        Described::new(
            "maxConnectionDuration",
            Takes::Duration,
            "how long a connection of a client may last",
        )
        .absent("no limit"),
        Described::new(
            "idleTimeout",
            Takes::Duration,
            "how long a connection of a client may say nothing",
        )
        .absent("1h"),
    ],
};

static KEEPALIVE: Shape = Shape {
    name: "TcpKeepalive",
    meaning: "What is not given is the system's.",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "probes",
            Takes::Integer {
                least: 0,
                most: MOST_PROBES,
            },
            "so many without an answer end a connection",
        ),
        Described::new("time", Takes::Duration, "after so long the first is sent"),
        Described::new("interval", Takes::Duration, "between two of them"),
    ],
};

const HTTP: &[Field] = &[
    Field::InForce("http1MaxPendingRequests"),
    Field::InForce("http2MaxRequests"),
    Field::InForce("maxRequestsPerConnection"),
    Field::InForce("maxRetries"),
    Field::InForce("idleTimeout"),
    // They choose between versions of HTTP, or bound its streams.
    Field::NotYet("h2UpgradePolicy"),
    Field::NotYet("useClientProtocol"),
    Field::NotYet("maxConcurrentStreams"),
];

/// Istio's own bound of `maxRequestsPerConnection`.
const MOST_PER_CONNECTION: i64 = 1 << 29;

/// What Linux takes for these options of a socket: `MAX_TCP_KEEPIDLE` and `MAX_TCP_KEEPINTVL`, in seconds.
const LONGEST_KEEPALIVE: u64 = 32_767;
/// Its `MAX_TCP_KEEPCNT`.
const MOST_PROBES: i64 = 127;

pub(super) fn decode(d: &mut Decoder, node: &Node) -> ConnectionPool {
    let fields = d.fields("connectionPool", node, POOL);
    ConnectionPool {
        tcp: fields.node("tcp").map_or_else(Tcp::default, |n| tcp(d, n)),
        http: fields
            .node("http")
            .map_or_else(Http::default, |n| http(d, n)),
    }
}

pub(super) fn tcp(d: &mut Decoder, node: &Node) -> Tcp {
    let fields = d.fields("connectionPool.tcp", node, &TCP);
    Tcp {
        connect_timeout: fields.duration(d, "connectTimeout"),
        max_connections: limit(d, &fields, "maxConnections"),
        keepalive: fields.node("tcpKeepalive").map(|n| keepalive(d, n)),
        idle_timeout: fields.duration(d, "idleTimeout"),
        max_connection_duration: fields.duration(d, "maxConnectionDuration"),
    }
}

fn keepalive(d: &mut Decoder, node: &Node) -> Keepalive {
    let fields = d.fields("tcpKeepalive", node, &KEEPALIVE);
    let probes = fields.integer(d, "probes", 0..=MOST_PROBES);
    let probes = probes.and_then(|n| u32::try_from(n.value).ok());
    Keepalive {
        probes: probes.filter(|&probes| probes > 0),
        time: keepalive_time(d, &fields, "time"),
        interval: keepalive_time(d, &fields, "interval"),
    }
}

/// With a longer one no connection could be made.
fn keepalive_time(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Option<Duration> {
    let time = fields.duration(d, name)?;
    if time <= Duration::from_secs(LONGEST_KEEPALIVE) {
        return Some(time);
    }
    let message = format!(
        "`{}` must be at most {LONGEST_KEEPALIVE}s, which is Linux' own bound",
        fields.path_of(name)
    );
    d.invalid(fields.node(name)?.at, message, "write a shorter duration");
    None
}

fn http(d: &mut Decoder, node: &Node) -> Http {
    let fields = d.fields("connectionPool.http", node, HTTP);
    let per_connection = fields.integer(d, "maxRequestsPerConnection", 0..=MOST_PER_CONNECTION);
    let per_connection = per_connection.and_then(|n| u32::try_from(n.value).ok());
    Http {
        max_pending_requests: limit(d, &fields, "http1MaxPendingRequests"),
        max_requests: limit(d, &fields, "http2MaxRequests"),
        // As in Istio, 0 is no limit.
        max_requests_per_connection: per_connection.filter(|&n| n > 0),
        max_retries: limit(d, &fields, "maxRetries"),
        idle_timeout: fields.duration(d, "idleTimeout"),
    }
}

/// Istio's numbers have 32 bits with a sign.
pub(super) const MOST: i64 = i32::MAX as i64;

/// Istio takes 0 for a limit that is not given, which may not be what somebody who writes it means.
fn limit(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Option<u32> {
    let number = fields.integer(d, name, i64::MIN..=i64::MAX)?;
    if number.value != 0 {
        return bound(d, fields, name);
    }
    let message = format!(
        "`{}` is 0, which is no limit, as in Istio",
        fields.path_of(name)
    );
    let remedy = "leave it out if that is meant, or write how many";
    let warning = Diagnostic::warning(Code::NotInForce, message);
    d.report(number.at, warning.remedy(remedy));
    None
}

/// So many at most, and at least one.
pub(super) fn bound(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Option<u32> {
    let number = fields.integer(d, name, i64::MIN..=i64::MAX)?;
    if !(1..=MOST).contains(&number.value) {
        let path = fields.path_of(name);
        let message = format!("`{path}` must be from 1 to {MOST}, not {}", number.value);
        let remedy = "write a number within these bounds, or leave it out for no limit";
        d.invalid(number.at, message, remedy);
        return None;
    }
    u32::try_from(number.value).ok()
}
