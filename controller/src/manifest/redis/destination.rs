//! `RedisDestination`: the policy towards the servers of a host.

use super::super::decode::{Decoder, Fields};
use super::super::shape::{Described, Shape, Takes};
use super::super::{Located, Tcp, connection_pool, name};
use super::auth::{self, Auth};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RedisDestination {
    pub(crate) host: Located<String>,
    pub(crate) tcp: Tcp,
    pub(crate) mode: Mode,
    /// What is shown to the servers.
    pub(crate) auth: Option<Auth>,
    /// Whom to ask for the topology; none: the endpoints of the host.
    pub(crate) discovery_endpoints: Vec<Seed>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Independent servers; a key's hash decides.
    #[default]
    Proxy,
    /// A Redis Cluster, which says itself what is where.
    Cluster,
}

/// `host[:port]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seed {
    /// A name, or an IP address without brackets.
    pub(crate) host: Located<String>,
    pub(crate) port: Option<u16>,
}

pub(crate) static REDIS_DESTINATION: Shape = Shape {
    name: "RedisDestination",
    meaning: "The policy towards the servers of a host.",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "host",
            Takes::Text,
            "of a service; a name without a dot is one of the same namespace",
        )
        .required(),
        Described::new("trafficPolicy", Takes::Mapping(&POLICY), "the policy"),
    ],
};

static POLICY: Shape = Shape {
    name: "RedisTrafficPolicy",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[Described::new(
        "connectionPool",
        Takes::Mapping(&POOL),
        "of connections to the servers",
    )],
};

static POOL: Shape = Shape {
    name: "RedisConnectionPool",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "tcp",
            Takes::Mapping(&connection_pool::TCP),
            "whatever they speak",
        ),
        Described::new("redis", Takes::Mapping(&REDIS), "what of them is Redis'"),
    ],
};

static REDIS: Shape = Shape {
    name: "RedisSettings",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "mode",
            Takes::OneOf(MODES),
            "`PROXY`: independent servers; a key's hash decides. `CLUSTER`: a Redis Cluster, which says \
             itself what is where",
        )
        .absent("`PROXY`"),
        Described::new(
            "auth",
            Takes::Mapping(&auth::AUTH),
            "what is shown to the servers",
        )
        .absent("nothing"),
        Described::new(
            "discoveryEndpoints",
            Takes::List(&Takes::Text),
            "whom to ask about the cluster, `host[:port]`: an IP address, or the host of a service",
        )
        .absent("the endpoints of the host"),
    ],
};

const MODES: &[&str] = &["PROXY", "CLUSTER"];

pub(in super::super) fn decode(d: &mut Decoder, spec: &Node) -> Option<RedisDestination> {
    let fields = d.fields("spec", spec, &REDIS_DESTINATION);
    let host = fields.required(d, "host");
    let host = host.filter(|host| d.check_name("spec.host", host, &name::HOST));
    let mut destination = RedisDestination {
        host: host?,
        tcp: Tcp::default(),
        mode: Mode::default(),
        auth: None,
        discovery_endpoints: vec![],
    };
    let policy = fields.node("trafficPolicy");
    let policy = policy.map(|node| d.fields("trafficPolicy", node, &POLICY));
    let pool = policy.as_ref().and_then(|p| p.node("connectionPool"));
    if let Some(pool) = pool.map(|node| d.fields("connectionPool", node, &POOL)) {
        if let Some(node) = pool.node("tcp") {
            destination.tcp = connection_pool::tcp(d, node);
        }
        if let Some(node) = pool.node("redis") {
            redis(d, node, &mut destination);
        }
    }
    Some(destination)
}

fn redis(d: &mut Decoder, node: &Node, destination: &mut RedisDestination) {
    let fields = d.fields("connectionPool.redis", node, &REDIS);
    if let Some(word) = fields.string(d, "mode") {
        match word.value.as_str() {
            "PROXY" => destination.mode = Mode::Proxy,
            "CLUSTER" => destination.mode = Mode::Cluster,
            _ => d.not_a_choice("connectionPool.redis.mode", &word, MODES),
        }
    }
    destination.auth = auth::decode(d, &fields);
    destination.discovery_endpoints = seeds(d, &fields);
    if let (Mode::Proxy, Some(entry)) = (destination.mode, fields.entry("discoveryEndpoints")) {
        let message = "`connectionPool.redis.discoveryEndpoints` have no effect: `mode` is not \
                       CLUSTER";
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        let remedy = "write `mode: CLUSTER`, or remove them";
        d.report(entry.at, diagnostic.remedy(remedy));
    }
}

fn seeds(d: &mut Decoder, redis: &Fields<'_>) -> Vec<Seed> {
    let mut seeds = vec![];
    for endpoint in redis.strings(d, "discoveryEndpoints") {
        match seed(&endpoint) {
            Some(seed) => seeds.push(seed),
            None => {
                let path = redis.path_of("discoveryEndpoints");
                let message = format!("`{path}` has no endpoint in `{}`", endpoint.value);
                let remedy = "write `host:port` or `host`, as in 10.0.0.1:6379 or [fd00::1]:6379";
                d.invalid(endpoint.at, message, remedy);
            }
        }
    }
    seeds
}

/// An IPv6 address with a port is in brackets, as in a URL.
fn seed(endpoint: &Located<String>) -> Option<Seed> {
    let text = endpoint.value.as_str();
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None if text.parse::<std::net::Ipv6Addr>().is_ok() => (text, ""),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port {
        "" => None,
        port => Some(port.strip_prefix(':')?.parse().ok().filter(|&p| p > 0)?),
    };
    let is_host = host.parse::<std::net::IpAddr>().is_ok() || name::is_host(host);
    is_host.then(|| Seed {
        host: Located {
            value: host.to_owned(),
            at: endpoint.at,
        },
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Position;

    #[test]
    fn endpoints_are_hosts_with_or_without_a_port() {
        let rows = [
            ("10.0.0.1", Some(("10.0.0.1", None))),
            ("10.0.0.1:6380", Some(("10.0.0.1", Some(6380)))),
            ("cache.shop:1", Some(("cache.shop", Some(1)))),
            ("cache", Some(("cache", None))),
            ("fd00::1", Some(("fd00::1", None))),
            ("[fd00::1]:7", Some(("fd00::1", Some(7)))),
            ("[fd00::1]", Some(("fd00::1", None))),
            ("", None),
            (":6379", None),
            ("a:", None),
            ("a:0", None),
            ("a:65536", None),
            ("a:b", None),
            ("[10.0.0.1]:1", None),
            ("[fd00::1]7", None),
            ("a b", None),
        ];
        for (text, expected) in rows {
            let endpoint = Located {
                value: text.to_owned(),
                at: Position::default(),
            };
            let seed = seed(&endpoint);
            let seed = seed.as_ref().map(|s| (s.host.value.as_str(), s.port));
            assert_eq!(seed, expected, "{text}");
        }
    }
}
