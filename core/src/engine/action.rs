//! What the engine asks of its driver.

use std::{sync::Arc, time::Duration};

use super::ConnectionId;
#[cfg(doc)]
use super::Engine;
use crate::{
    config::{Address, Keepalive},
    outlier::Outcome,
    rate_limit::Question,
    tls::Tls,
};

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection; answer with [`Engine::connected`] or [`Engine::connect_failed`].
    Connect {
        /// The connection's name from now on.
        id: ConnectionId,
        /// Where to.
        address: Address,
        /// The id of the protocol that is spoken on it.
        protocol: &'static str,
        /// The system's own probes of the idle connection.
        keepalive: Option<Keepalive>,
        /// What the connection is encrypted by; `None`: it is not.
        tls: Option<Arc<Tls>>,
        /// Give up after this time, the handshake included.
        timeout: Duration,
    },
    /// There are unsent bytes: write until [`Engine::unsent`] is empty.
    Flush(ConnectionId),
    /// [`Engine::wants_read`] is true again.
    Resume(ConnectionId),
    /// Drop the socket. The id is not known any more.
    Close(ConnectionId),
    /// The same, in a way that its peer takes for a failure.
    Reset(ConnectionId),
    /// Tell the peer that nothing more will be sent. It may still send.
    Shutdown(ConnectionId),
    /// The connection goes on under another name, with all that was received of it handed over.
    Rename {
        /// Not known any more.
        from: ConnectionId,
        /// From now on.
        to: ConnectionId,
    },
    /// Tell the outlier detection of the cluster how a request to the endpoint went.
    Report(HostReport),
    /// Ask a rate limit service; answer with [`Engine::decided`].
    Ask(Question),
}

/// How an endpoint behaved, for the one owner of the cluster's outlier detection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReport {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The endpoint.
    pub address: Address,
    /// That it answered is reported only after a failure.
    pub outcome: Outcome,
}
