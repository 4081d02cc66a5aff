//! A service: what its connections speak and which routes decide its requests.

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
    /// `namespace/host`, or `namespace/gateway/server` for the server of a Gateway.
    pub name: String,
    /// The id of the protocol plugin.
    pub protocol: String,
    /// The name under which users know the protocol (`tcp-metaprotocol-NAME`).
    pub application_protocol: String,
    /// The name of the route configuration that decides its requests.
    pub route_config: String,
    /// The port that clients dial; 0 where that is not known.
    pub port: u16,
    /// Who may use it; without any, anybody.
    pub authorization: Policies,
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
            name: name.into(),
            protocol: protocol.into(),
            application_protocol: protocol.into(),
            route_config: route_config.into(),
            port: 0,
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
        // A listener's mode names the service and nothing else, so a second port could not be told
        // from the first.
        let [port] = <[_; 1]>::try_from(service.ports).map_err(|ports| {
            Invalid::new("ports", format!("one is expected, not {}", ports.len()))
        })?;
        let faults = service.faults.into_iter().enumerate();
        let faults = faults
            .map(|(i, fault)| Fault::parse(fault).map_err(|e| e.within(&format!("faults[{i}]"))))
            .collect::<Result<_, _>>()?;
        let time = |field, value: Option<_>| value.map(|time| duration(field, time)).transpose();
        Ok(Self {
            name: required("name", service.name)?,
            protocol: required("ports[0].protocol", port.protocol)?,
            application_protocol: port.application_protocol,
            route_config: required("ports[0].route_config_name", port.route_config_name)?,
            port: u16::try_from(port.number)
                .map_err(|_| Invalid::new("ports[0].number", "is above 65535"))?,
            authorization: service
                .authorization
                .map(|it| authorization::parse(it).map_err(|e| e.within("authorization")))
                .transpose()?
                .unwrap_or_default(),
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
