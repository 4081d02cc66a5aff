//! Where the endpoints of a cluster come from: the control plane, or names that this proxy resolves.

use std::fmt::{Display, Formatter};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meltemi_proto::envoy::config::cluster::v3 as proto;
use meltemi_proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily,
};
use meltemi_proto::envoy::config::core::v3::address::Address as Kind;
use meltemi_proto::envoy::config::core::v3::{self as core, SocketAddress};

use super::super::Endpoints;
use super::super::address::port;
use super::super::duration::duration;
use super::super::endpoints::port_zero;
use super::super::invalid::{Invalid, required};

/// Envoy's, where the cluster gives none.
const DEFAULT_RATE: Duration = Duration::from_secs(5);
/// Envoy's, where only the first interval after a failure is given.
const DEFAULT_GROWTH: u32 = 10;

/// Where the endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// The control plane, which is asked for them by this name.
    Eds(String),
    /// The names that the cluster lists.
    Dns(Arc<Dns>),
}

/// The names that a cluster's endpoints have, and how they are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    pub kind: DnsKind,
    pub refresh: Refresh,
    /// As they are listed; exactly one where the kind is logical.
    pub endpoints: Endpoints<DnsTarget>,
}

/// What the addresses of a name are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsKind {
    /// An endpoint each; none at all is an answer too.
    Strict,
    /// Together one endpoint, of which new connections are made to the first address.
    Logical,
}

/// An endpoint as a cluster lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsTarget {
    Name {
        name: Arc<str>,
        port: u16,
    },
    /// It has no name to resolve.
    Address(SocketAddr),
}

/// When a name is asked for again, and for which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refresh {
    pub rate: Duration,
    /// Whether an answer's own time to live takes the place of `rate`, unless it is 0.
    pub respects_ttl: bool,
    /// Up to as much is added by chance after an answer.
    pub jitter: Duration,
    /// After the first failure.
    pub failure_base: Duration,
    /// However many failures there were; not below `failure_base`.
    pub failure_max: Duration,
    pub family: Family,
}

/// Which addresses are asked for; Envoy's `DnsLookupFamily`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv6, and IPv4 where there are none.
    #[default]
    Auto,
    V4,
    V6,
    /// IPv4, and IPv6 where there are none.
    V4Preferred,
    All,
}

impl Discovery {
    /// Takes what it needs out of the cluster.
    pub(super) fn parse(cluster: &mut proto::Cluster) -> Result<Self, Invalid> {
        let kind = match cluster.cluster_discovery_type {
            Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(kind).ok(),
            None => None,
        };
        let kind = match kind {
            Some(DiscoveryType::Eds) => return Ok(Self::eds(cluster)),
            Some(DiscoveryType::StrictDns) => DnsKind::Strict,
            Some(DiscoveryType::LogicalDns) => DnsKind::Logical,
            _ => {
                let reason = "only EDS, STRICT_DNS and LOGICAL_DNS are supported";
                return Err(Invalid::new("type", reason));
            }
        };
        let assignment = cluster.load_assignment.take().unwrap_or_default();
        let endpoints =
            Endpoints::parse(assignment, target).map_err(|e| e.within("load_assignment"))?;
        if kind == DnsKind::Logical && endpoints.hosts.len() != 1 {
            let count = endpoints.hosts.len();
            let reason = format!("LOGICAL_DNS has exactly one endpoint, not {count}");
            return Err(Invalid::new("load_assignment.endpoints", reason));
        }
        Ok(Self::Dns(Arc::new(Dns {
            kind,
            refresh: Refresh::parse(cluster)?,
            endpoints,
        })))
    }

    fn eds(cluster: &proto::Cluster) -> Self {
        let eds = cluster.eds_cluster_config.as_ref();
        let name = eds
            .map(|eds| &eds.service_name)
            .filter(|name| !name.is_empty());
        Self::Eds(name.unwrap_or(&cluster.name).clone())
    }

    /// The name under which the control plane is asked for endpoints.
    #[must_use]
    pub fn eds_name(&self) -> Option<&str> {
        match self {
            Self::Eds(name) => Some(name),
            Self::Dns(_) => None,
        }
    }
}

impl Refresh {
    fn parse(cluster: &proto::Cluster) -> Result<Self, Invalid> {
        let rate = match cluster.dns_refresh_rate {
            Some(rate) => duration("dns_refresh_rate", rate)?,
            None => DEFAULT_RATE,
        };
        let (failure_base, failure_max) = match cluster.dns_failure_refresh_rate {
            Some(failure) => {
                failure_rate(failure).map_err(|e| e.within("dns_failure_refresh_rate"))?
            }
            None => (rate, rate),
        };
        let jitter = cluster.dns_jitter.map(|jitter| {
            let invalid = || Invalid::new("dns_jitter", "is negative or out of range");
            Duration::try_from(jitter).map_err(|_| invalid())
        });
        Ok(Self {
            rate,
            respects_ttl: cluster.respect_dns_ttl,
            jitter: jitter.transpose()?.unwrap_or_default(),
            failure_base,
            failure_max,
            family: family(cluster.dns_lookup_family)?,
        })
    }
}

fn failure_rate(failure: proto::cluster::RefreshRate) -> Result<(Duration, Duration), Invalid> {
    let base = failure
        .base_interval
        .ok_or_else(|| Invalid::new("base_interval", "is missing"))?;
    let base = duration("base_interval", base)?;
    let max = match failure.max_interval {
        Some(max) => duration("max_interval", max)?,
        None => base.saturating_mul(DEFAULT_GROWTH),
    };
    if max < base {
        return Err(Invalid::new("max_interval", "is below base_interval"));
    }
    Ok((base, max))
}

fn family(family: i32) -> Result<Family, Invalid> {
    match DnsLookupFamily::try_from(family) {
        Ok(DnsLookupFamily::Auto) => Ok(Family::Auto),
        Ok(DnsLookupFamily::V4Only) => Ok(Family::V4),
        Ok(DnsLookupFamily::V6Only) => Ok(Family::V6),
        Ok(DnsLookupFamily::V4Preferred) => Ok(Family::V4Preferred),
        Ok(DnsLookupFamily::All) => Ok(Family::All),
        Err(_) => Err(Invalid::new(
            "dns_lookup_family",
            format!("{family} is unknown"),
        )),
    }
}

fn target(address: Option<core::Address>) -> Result<DnsTarget, Invalid> {
    match address.and_then(|address| address.address) {
        Some(Kind::SocketAddress(socket)) => {
            let port = port(&socket).map_err(|e| e.within("socket_address"))?;
            if port == 0 {
                return Err(port_zero());
            }
            named(socket, port).map_err(|e| e.within("socket_address"))
        }
        Some(Kind::Pipe(_)) => Err(Invalid::new("pipe", "has no name to resolve")),
        None => Err(Invalid::new("", "is missing or of an unknown kind")),
    }
}

fn named(socket: SocketAddress, port: u16) -> Result<DnsTarget, Invalid> {
    let name = required("address", socket.address)?;
    if let Ok(ip) = name.parse() {
        return Ok(DnsTarget::Address(SocketAddr::new(ip, port)));
    }
    if !is_name(&name) {
        let reason = format!("{name:?} is neither an IP address nor a name of DNS");
        return Err(Invalid::new("address", reason));
    }
    let name = name.into();
    Ok(DnsTarget::Name { name, port })
}

/// RFC 1035's lengths, and what can stand in a host's name; a dot at its end makes it absolute.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let mut chars = label.chars();
        (1..=63).contains(&label.len())
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= 253 && name.split('.').all(is_label)
}

impl Display for DnsTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name { name, port } => write!(f, "{name}:{port}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}
