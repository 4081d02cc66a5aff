//! What both legs have in common: messages, their sizes, and what the core has to know of a request.

use std::time::Duration;

use crate::session::Session;

/// What a codec found at the front of the bytes of its connection.
#[derive(Debug, PartialEq)]
pub enum Decoded<Event> {
    /// Nothing can be said before the input holds `need` bytes. Always more than it holds now. The
    /// next call gets the same bytes and more, so a codec may remember how far it has read.
    Incomplete {
        /// Bytes that the input must hold before the next call can say more.
        need: usize,
    },
    /// The first `len` bytes mean nothing to anybody (an empty line between commands).
    Skip {
        /// Bytes to consume, at least one.
        len: usize,
    },
    /// A message starts at the first byte. It is returned exactly once.
    Message(Message<Event>),
}

/// A message and what it means.
#[derive(Debug, PartialEq)]
pub struct Message<Event> {
    /// How far it reaches.
    pub size: Size,
    /// What it is.
    pub event: Event,
}

/// How far a message reaches into the bytes of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All of the message, from its first byte, in bytes. Where this is more than the input
    /// holds (only allowed above [`Limits::whole`]), the input so far is its head and the core
    /// passes the rest on unseen.
    Known(u64),
    /// The input so far is the head and its end is not known yet: the codec is asked for the rest
    /// with `body`, piece by piece, until it says [`Body::End`].
    Streamed,
}

/// The next piece of a message of [`Size::Streamed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The first `n` bytes belong to the message, and more follows. Zero asks for more input.
    More(usize),
    /// The first `n` bytes belong to the message, and it ends with them.
    End(usize),
}

/// The bounds that a codec enforces before it asks for a byte to be buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A message up to this size (bytes) is returned only when it is there as a whole; a larger
    /// one as soon as its head can be read. The core's default is 256 KiB.
    pub whole: usize,
    /// A larger message (bytes) is refused: [`crate::FromClient::Refused`] on the client's side,
    /// [`Malformed`] on the server's. The default is the protocol's own,
    /// [`crate::Traits::frame_limit`].
    pub frame: u64,
}

impl Limits {
    /// Bytes kept of one message by default.
    pub const WHOLE: usize = 256 * 1024;

    /// How many bytes the input must hold before a message of `size` bytes whose head takes `head`
    /// bytes may be returned: all of it up to [`Limits::whole`], only the head above.
    #[must_use]
    pub fn needed(&self, head: usize, size: u64) -> usize {
        match usize::try_from(size) {
            Ok(size) if size <= self.whole => size,
            _ => head,
        }
    }
}

/// A connection on which the codec can find no further message boundary. The core writes what the
/// codec left in `out`, then closes the connection. (A bad message whose end is known is
/// [`crate::FromClient::Refused`] instead, and costs only itself.)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    /// What is wrong, in words for a log.
    pub reason: &'static str,
}

/// A request, as far as the core has to know it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The id under which the client expects the answer: handed back with it. Where the protocol
    /// correlates by order the core does not look at it, and two requests may have the same.
    pub id: u64,
    /// What the codec wants to find again when this request is forwarded and answered.
    pub memo: Memo,
    /// How many answers the client is owed.
    pub answers: Answers,
    /// What the request does to the upstream connection that it is sent on.
    pub pin: Pin,
    /// The message's own deadline, counted from its arrival.
    pub deadline: Option<Duration>,
    /// It waits for what happens elsewhere (a blocking command, a stream without end): that its
    /// server is silent means nothing, and of the deadlines only its own counts. Given up, it takes
    /// its connection along where that serves its client alone: what the server still gives to it
    /// (an element that was popped) would have no reader.
    pub waits: bool,
    /// Whether repeating it after it may have been executed does no harm, as the protocol says.
    pub idempotent: bool,
    /// Narrows which endpoint may be asked.
    pub constraint: Constraint,
    /// The state that the upstream connection must be in. It selects the pool within a cluster.
    pub session: Option<Session>,
    /// Which of its attributes do not differ from those of the [`crate::FromClient::Request`] before it
    /// on its connection: what was decided by them holds for it, too.
    pub alike: Alike,
}

impl Request {
    /// A request that wants one answer, and nothing else out of the ordinary.
    #[must_use]
    pub fn unary(id: u64, memo: Memo) -> Self {
        Self {
            id,
            memo,
            answers: Answers::One,
            pin: Pin::None,
            deadline: None,
            waits: false,
            idempotent: false,
            constraint: Constraint::None,
            session: None,
            alike: Alike::No,
        }
    }
}

/// A request that a codec made itself. The core treats it as if a client had sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnRequest {
    /// What the core has to know of it: where it may go, what its answer is read with.
    pub request: Request,
    /// Its bytes: a whole message.
    pub bytes: Box<[u8]>,
}

/// Of two requests of a connection, one behind the other, which attributes have the same values, or are
/// absent in both. A codec says what it sees at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alike {
    /// Nothing is said.
    #[default]
    No,
    /// Those that [`crate::Protocol::attributes`] names.
    Named,
    /// All.
    All,
}

/// How many answers a request is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// One-way: delivered, never answered, not even by the proxy.
    None,
    /// One.
    One,
    /// Exactly this many, whatever they say.
    Counted(u32),
    /// Any number, until one that is [`crate::Response::last`] (streams, `MONITOR`, a `SUBSCRIBE` of n
    /// channels, which one error answers as well).
    UntilEnd,
}

/// What a request does to the upstream connection it is sent on.
///
/// While a client has a pinned connection, its requests go there, but for those that say
/// [`Pin::Aside`]: they are not routed again, and their constraint, their session and a redirect
/// in their answer change nothing. A connection that is released serves others in the session it was opened with; a codec that saw the client
/// leave that session (`SELECT` within `MULTI`) keeps it pinned until it closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// Nothing: any connection to the endpoint serves.
    #[default]
    None,
    /// The connection serves only this request until its answer (a blocking command).
    UntilReply,
    /// The connection belongs to this client until a request says [`Pin::Release`].
    UntilRelease,
    /// The last request that needs the pinned connection; with its answer it is free again.
    Release,
    /// The connection belongs to this client until either closes (callbacks, subscriptions).
    UntilClose,
    /// Routed as if the client had no pinned connection (a command between the pushes of a
    /// subscription). Its answer keeps its turn all the same.
    Aside,
}

/// Narrows the balancer's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Constraint {
    /// Any endpoint of the cluster.
    #[default]
    None,
    /// The shard that owns the request's key. Where keys are divided the core asks
    /// [`crate::Downstream::constraint`] for it; elsewhere any endpoint serves, and the key is not
    /// looked at.
    Key,
    /// The shard that owns a key, known already.
    ///
    /// Where the endpoints told how they divide the key space ([`crate::Topology`]) the slot
    /// decides; where the cluster's load balancer hashes, the hash; elsewhere any endpoint serves.
    Shard {
        /// The key's place in the protocol's own key space (a hash slot).
        slot: u32,
        /// A hash of the key of which all bits are worth the same.
        hash: u64,
        /// Which of the shard's nodes.
        role: Role,
    },
    /// Exactly this endpoint, `host:port`.
    Endpoint(Box<str>),
    /// The request concerns several shards or none in particular: where the service's keys are
    /// divided, over the shards of a cluster or over the clusters of its routes,
    /// [`crate::Scatter::plan`] says how to serve it; elsewhere any endpoint does.
    Planned,
}

/// The role of a node within its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The one that takes writes.
    #[default]
    Primary,
    /// The primary; one that follows where that cannot be asked.
    PreferPrimary,
    /// One that follows.
    Replica,
    /// One that follows; the primary where none can be asked.
    PreferReplica,
    /// Either.
    Any,
}

/// What a codec attaches to a request: sixteen bytes that cost nothing, and more where it must.
///
/// The core never looks into it. It comes back wherever the request or its answer is decoded,
/// forwarded or rendered, also when its client has left and the answer is only swallowed: there
/// are replies that cannot be read without their command, or without their request's version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memo {
    /// Without allocation.
    pub words: [u32; 4],
    /// With one.
    pub data: Option<Box<[u8]>>,
}

/// The bytes of a message, or of its head where it is too large to be kept, with the memo of the
/// request that it is or answers.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// From the first byte of the message.
    pub bytes: &'a [u8],
    /// Whether `bytes` is all of it.
    pub whole: bool,
    /// The request's memo.
    pub memo: &'a Memo,
}
