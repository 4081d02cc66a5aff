//! State that an upstream connection must be in before a request may use it.

use std::rc::Rc;

/// Opaque to the core, which compares it and hands it to [`crate::Protocol::upstream`]: user,
/// database, protocol version, whatever the protocol has to replay on a new connection.
///
/// Requests with equal sessions share a pool; a codec keeps the number of different ones small,
/// and clones the one it has instead of making an equal one for each request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session(pub Rc<[u8]>);

/// What a new connection to a server is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening<'a> {
    /// The state that it is to be in; `None` where its requests name none.
    pub session: Option<&'a Session>,
    /// The endpoint is asked as one that follows another ([`crate::Role::Replica`]): the server
    /// may have to be told that this is meant (`READONLY`). Such a connection serves no request
    /// that has to go to a primary.
    pub replica: bool,
}

/// Whether a new upstream connection may be used at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Requests may follow what was written.
    Ready,
    /// Requests wait for [`crate::FromServer::Ready`].
    Await,
}
