//! Where the requests of a client come from, as routes name it.

use std::net::SocketAddr;

use meltemi_policy::route::proven_namespace;

/// Of a client's connection.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The IP address that it came from, where it came from one.
    pub(super) address: Option<Box<str>>,
    /// The identity that it has proven.
    pub(super) principal: Option<Box<str>>,
}

impl Source {
    pub(super) fn of(peer: Option<SocketAddr>) -> Self {
        let address = peer.map(|peer| peer.ip().to_canonical().to_string().into());
        Self {
            address,
            principal: None,
        }
    }

    /// The namespace that it has proven, else its address, by which one may be known.
    pub(super) fn namespace(&self) -> Option<&str> {
        let proven = self.principal.as_deref().and_then(proven_namespace);
        proven.or(self.address.as_deref())
    }
}
