//! A service: what its connections speak and which routes decide its requests.

use std::net::IpAddr;
use std::time::Duration;

use meltemi_policy::authorization::Policies;
use meltemi_proto::meltemi::config::v1 as proto;

use super::authorization;
use super::duration::duration;
use super::fault::Fault;
use super::invalid::{Invalid, required};
use super::setting::Setting;

/// What a connection that was accepted for a service is served with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `namespace/gateway/server`; behind a waypoint a server is `host:port`.
    pub name: String,
    /// What clients dial, with `port`; none for the server of a Gateway.
    pub addresses: Vec<IpAddr>,
    /// 0 where the system chooses.
    pub port: u16,
    /// The id of the protocol plugin; `None`: bytes pass to `default_cluster` as they come.
    pub protocol: Option<String>,
    /// The name under which users know the protocol (`tcp-metaprotocol-NAME`).
    pub application_protocol: String,
    /// Who may use it; without any, anybody.
    pub authorization: Policies,
    /// The name of the route configuration that decides its requests; `None` where there are none.
    pub route_config: Option<String>,
    /// The name of the cluster of its own endpoints, which clients may dial in place of its addresses, and
    /// where bytes pass to that are not the protocol's.
    pub default_cluster: Option<String>,
    /// What the plugin is told about this service's clients.
    pub settings: Vec<Setting>,
    /// In order; each draws for itself.
    pub faults: Vec<Fault>,
    /// Whether requests are counted and timed by operation as well.
    pub operation_metrics: bool,
    /// Requests that take at least as long are logged; `None`: none is.
    pub slow_request_threshold: Option<Duration>,
    /// How requests are gathered before they are written to an endpoint; `None`: they are not.
    pub buffering: Option<Buffering>,
    /// A client that sends nothing for so long is closed; `None`: after the worker's time.
    pub idle_timeout: Option<Duration>,
    /// A client that is connected for so long is told to leave; `None`: never.
    pub max_connection_duration: Option<Duration>,
}

/// Until when requests to an endpoint are held back, so that they are written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffering {
    /// So many bytes are written at once; above 0.
    pub bytes: u32,
    /// The first request waits no longer than this.
    pub timeout: Duration,
}

impl Service {
    /// A service whose protocol and routes have these names, and nothing more.
    #[must_use]
    pub fn new(name: &str, protocol: &str, route_config: &str) -> Self {
        Self {
            protocol: Some(protocol.into()),
            application_protocol: protocol.into(),
            route_config: Some(route_config.into()),
            ..Self::bare(name)
        }
    }

    /// A service whose bytes pass to this cluster as they come, and nothing more.
    #[must_use]
    pub fn tcp(name: &str, default_cluster: &str) -> Self {
        Self {
            default_cluster: Some(default_cluster.into()),
            ..Self::bare(name)
        }
    }

    fn bare(name: &str) -> Self {
        Self {
            name: name.into(),
            addresses: Vec::new(),
            port: 0,
            protocol: None,
            application_protocol: String::new(),
            route_config: None,
            default_cluster: None,
            authorization: Policies::default(),
            settings: Vec::new(),
            faults: Vec::new(),
            operation_metrics: false,
            slow_request_threshold: None,
            buffering: None,
            idle_timeout: None,
            max_connection_duration: None,
        }
    }
}

impl TryFrom<proto::Service> for Service {
    type Error = Invalid;

    fn try_from(service: proto::Service) -> Result<Self, Invalid> {
        // A listener's mode, or an address and its port, lead to a service and nothing else, so a
        // second port could not be told from the first.
        let [port] = <[_; 1]>::try_from(service.ports).map_err(|ports| {
            Invalid::new("ports", format!("one is expected, not {}", ports.len()))
        })?;
        let (protocol, route_config) = spoken(&port).map_err(|e| e.within("ports[0]"))?;
        let faults = service.faults.into_iter().enumerate();
        let faults = faults
            .map(|(i, fault)| Fault::parse(fault).map_err(|e| e.within(&format!("faults[{i}]"))))
            .collect::<Result<_, _>>()?;
        let time = |field, value: Option<_>| value.map(|time| duration(field, time)).transpose();
        Ok(Self {
            name: required("name", service.name)?,
            addresses: addresses(service.addresses)?,
            port: number(port.number)?,
            protocol,
            application_protocol: port.application_protocol,
            authorization: service
                .authorization
                .map(|it| authorization::parse(it).map_err(|e| e.within("authorization")))
                .transpose()?
                .unwrap_or_default(),
            route_config,
            default_cluster: Some(port.default_cluster).filter(|name| !name.is_empty()),
            settings: Setting::parse_all(service.settings)?,
            faults,
            operation_metrics: service.operation_metrics,
            slow_request_threshold: time("slow_request_threshold", service.slow_request_threshold)?,
            buffering: service
                .buffering
                .map(|b| Buffering::parse(b).map_err(|e| e.within("buffering")))
                .transpose()?,
            idle_timeout: time("downstream_idle_timeout", service.downstream_idle_timeout)?,
            max_connection_duration: time(
                "max_downstream_connection_duration",
                service.max_downstream_connection_duration,
            )?,
        })
    }
}

/// An IPv4 address in the form of IPv6 is an IPv4 address.
fn addresses(written: Vec<String>) -> Result<Vec<IpAddr>, Invalid> {
    let written = written.into_iter().enumerate();
    let addresses = written.map(|(i, text)| {
        let address = text.parse::<IpAddr>().map_err(|_| {
            let reason = format!("{text:?} is not an IP address");
            Invalid::new(format!("addresses[{i}]"), reason)
        })?;
        Ok(address.to_canonical())
    });
    addresses.collect()
}

fn number(port: u32) -> Result<u16, Invalid> {
    let above = |_| Invalid::new("ports[0].number", format!("{port} is above 65535"));
    u16::try_from(port).map_err(above)
}

/// The protocol of a port and the name of its routes: both, or neither and a cluster to pass bytes to.
fn spoken(port: &proto::service::Port) -> Result<(Option<String>, Option<String>), Invalid> {
    let routes = &port.route_config_name;
    if !port.protocol.is_empty() {
        let routes = required("route_config_name", routes.clone())?;
        return Ok((Some(port.protocol.clone()), Some(routes)));
    }
    if !routes.is_empty() {
        let reason = "there are no requests to route where there is no protocol";
        return Err(Invalid::new("route_config_name", reason));
    }
    required("default_cluster", port.default_cluster.clone())?;
    Ok((None, None))
}

impl Buffering {
    fn parse(buffering: proto::Buffering) -> Result<Self, Invalid> {
        if buffering.bytes == 0 {
            return Err(Invalid::new("bytes", "must be above 0"));
        }
        let timeout = buffering
            .timeout
            .ok_or_else(|| Invalid::new("timeout", "is missing"))?;
        Ok(Self {
            bytes: buffering.bytes,
            timeout: duration("timeout", timeout)?,
        })
    }
}
