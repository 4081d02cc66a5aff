//! Where to accept connections, and what they are for.

use std::net::SocketAddr;
use std::path::PathBuf;

/// An address to open, and the service that its connections belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `NAMESPACE/GATEWAY/SERVER`, unique in a snapshot.
    pub name: String,
    pub bind: Bind,
    /// The name of a [`Service`](super::Service).
    pub service: String,
}

/// What a listener binds to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bind {
    /// Port 0 leaves the choice to the system.
    Tcp(SocketAddr),
    Unix(PathBuf),
}
