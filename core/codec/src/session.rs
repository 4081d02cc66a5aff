//! State that an upstream connection must be in before a request may use it.

use std::sync::Arc;

/// Opaque to the core, which compares it and hands it to [`crate::Upstream::open`]: user, database,
/// protocol version, whatever the protocol has to replay on a new connection.
///
/// Requests with equal sessions share a pool; a codec keeps the number of different ones small.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session(pub Arc<[u8]>);

/// Whether a new upstream connection may be used at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Requests may follow what was written.
    Ready,
    /// Requests wait for [`crate::FromServer::Ready`].
    Await,
}
