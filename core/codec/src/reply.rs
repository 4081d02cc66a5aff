//! Answers that the proxy gives itself.

/// Why the proxy answers itself. The codec maps it to its protocol's own status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// No route matched.
    NoRoute,
    /// The route's cluster has no endpoint that may be asked.
    NoHealthyUpstream,
    /// No connection to an endpoint could be made.
    ConnectFailure,
    /// The upstream connection ended before the answer.
    UpstreamReset,
    /// The upstream answered with bytes that are not of this protocol.
    UpstreamMalformed,
    /// The deadline of the route or of the message passed.
    Timeout,
    /// A rate limit refused it.
    RateLimited,
    /// A limit on requests, connections or bytes refused it; another time it may pass.
    Overloaded,
    /// An authorization policy refused it.
    Denied,
    /// The request itself cannot be read.
    Malformed,
    /// The request is larger than the frame limit.
    TooLarge,
    /// What it asks for is not supported through a proxy.
    Unsupported,
    /// A fault that somebody injected on purpose, to see what its clients make of it.
    FaultInjected,
    /// The proxy ends, and its drain time is over.
    ShuttingDown,
}

/// What to tell the client.
#[derive(Clone, Copy, Debug)]
pub struct LocalReply<'a> {
    /// The reason.
    pub status: Status,
    /// The reason in words, with the names of the objects concerned; a codec puts it where its
    /// protocol has a place for a message.
    pub message: &'a str,
}
