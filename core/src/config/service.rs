//! A service: what its connections speak and which routes decide its requests.

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
