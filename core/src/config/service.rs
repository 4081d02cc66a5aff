//! A service: what its connections speak and which routes decide its requests.

use meltemi_proto::meltemi::config::v1 as proto;

use super::invalid::{Invalid, required};

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
}

impl TryFrom<proto::Service> for Service {
    type Error = Invalid;

    fn try_from(service: proto::Service) -> Result<Self, Invalid> {
        // A listener's mode names the service and nothing else, so a second port could not be told
        // from the first.
        let [port] = <[_; 1]>::try_from(service.ports).map_err(|ports| {
            Invalid::new("ports", format!("one is expected, not {}", ports.len()))
        })?;
        Ok(Self {
            name: required("name", service.name)?,
            protocol: required("ports[0].protocol", port.protocol)?,
            application_protocol: port.application_protocol,
            route_config: required("ports[0].route_config_name", port.route_config_name)?,
        })
    }
}
