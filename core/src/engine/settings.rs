//! Bounds and times of a worker, each with its default.

use std::time::Duration;

/// What a worker allows. DESIGN's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A message up to this many bytes is stored and forwarded, a larger one passes through a
    /// window of this size.
    pub whole: usize,
    /// Unanswered requests on one shared upstream connection before the next is opened.
    pub in_flight_per_connection: usize,
    /// Unsent bytes on one shared upstream connection before the next is opened.
    pub unsent_per_connection: usize,
    /// Shared upstream connections of one worker to one endpoint.
    pub connections_per_endpoint: usize,
    /// Those of all workers together, beyond the first that each may have.
    pub further_connections_per_endpoint: u32,
    /// Upstream connections to one endpoint that belong to one client each (large messages, pins).
    /// Without a proxy every client has one, so this allows what servers do by default: ten
    /// thousand. Who wants fewer says so for the cluster (`maxConnections`).
    pub own_connections_per_endpoint: usize,
    /// Unanswered requests of one client before no more is read of it.
    pub in_flight_per_client: usize,
    /// Unsent bytes of answers before no more is read of a client.
    pub client_pause: usize,
    /// Unsent bytes of answers before a client is given up.
    pub client_limit: usize,
    /// Bytes buffered by the worker before new requests are refused.
    pub buffered: usize,
    /// Unanswered requests of the worker before new ones are refused.
    pub in_flight: usize,
    /// Client connections of the worker.
    pub clients: usize,
    /// Clients of the worker that have not ended their handshake; of more the oldest are closed.
    pub handshakes: usize,
    /// Connections that wait for a configuration that knows where they were going.
    pub waiting: usize,
    /// How long the header may take that says that.
    pub header: Duration,
    /// Without a byte of progress a write is given up after this time, and so is a client that
    /// sends no more and still waits for answers.
    pub stall: Duration,
    /// A client that sends nothing is closed after this time.
    pub client_idle: Duration,
    /// An upstream connection without requests is closed after this time.
    pub server_idle: Duration,
    /// Endpoints that are tried after the first while no byte of the request has left.
    pub further_candidates: u8,
    /// Workers, among which what a cluster allows is divided.
    pub workers: usize,
    /// Copies of requests in flight before no further ones are made.
    pub mirrors: usize,
    /// Requests that wait for a rate limit service before it is not asked about further ones.
    pub questions: usize,
    /// How long the answer to a question about a cluster's endpoints is waited for.
    pub probe: Duration,
    /// Buffers that nobody has needed for so long are freed.
    pub spare: Duration,
    /// How long a client that was told to leave must be silent before its connection closes.
    pub drain_quiet: Duration,
    /// A client that was told to leave since it is connected for too long, and is never silent, is
    /// closed after this time, between two of its requests.
    pub leaving: Duration,
    /// A connection whose bytes are passed on, and whose service or endpoint the configuration does not have
    /// any more, may end by itself for so long.
    pub farewell: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            whole: 256 * 1024,
            in_flight_per_connection: 1024,
            unsent_per_connection: 256 * 1024,
            connections_per_endpoint: 8,
            further_connections_per_endpoint: 64,
            own_connections_per_endpoint: 10_000,
            in_flight_per_client: 4096,
            client_pause: 256 * 1024,
            client_limit: 16 * 1024 * 1024,
            buffered: 64 * 1024 * 1024,
            in_flight: 65_536,
            clients: 100_000,
            handshakes: 10_000,
            waiting: 1000,
            header: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            client_idle: Duration::from_secs(3600),
            server_idle: Duration::from_secs(300),
            further_candidates: 2,
            workers: 1,
            mirrors: 1024,
            questions: 1024,
            probe: Duration::from_secs(3),
            spare: Duration::from_secs(10),
            drain_quiet: Duration::from_secs(1),
            leaving: Duration::from_secs(45),
            farewell: Duration::from_secs(300),
        }
    }
}
