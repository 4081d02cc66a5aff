//! myproto for Meltemi: a codec to start from, small and complete.
//!
//! The protocol as it stands is a header of fourteen bytes, a method and a body ([`frame`]).
//! Change [`frame`] to your own format first, then what `cargo test` says is wrong: the
//! conformance kit (`tests/conformance.rs`) holds the codec to every rule of the contract.
//!
//! Meltemi is the client's server on one leg, the server's client on the other:
//!
//! ```text
//! client ── Downstream (src/downstream.rs) ── Meltemi ── Upstream (src/upstream.rs) ── server
//! ```
//!
//! Sockets, time, routing, pools, retries and limits are Meltemi's; a codec only turns bytes into
//! messages and back.

// Bytes come from the network: `get` instead, which cannot panic.
#![warn(clippy::indexing_slicing)]

mod downstream;
pub mod frame;
mod upstream;

use std::time::Duration;

use meltemi_codec::{
    AttributeDef, Correlation, Downstream, Limits, Opening, Order, Protocol, Sharing, Sniff,
    Traits, Upstream,
};

/// The protocol: one value for the whole process, which makes a codec for each connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct MyProto;

impl Protocol for MyProto {
    /// What ports are named after: `tcp-myproto`.
    fn id(&self) -> &'static str {
        "myproto"
    }

    /// The facts that decide how the core treats connections.
    fn traits(&self) -> Traits {
        Traits {
            // An answer carries the id of its request, so one connection to a server can serve
            // all clients at once: the core writes ids of its own and puts the client's back.
            // `reserved` are ids that mean something else (a push, a heartbeat).
            correlation: Correlation::ById {
                bits: 32,
                reserved: &[],
            },
            // Two requests of one client may go to two servers, and be answered in any order.
            // `Order::PerClient` where clients rely on it that the first is done first.
            order: Order::Independent,
            // `Multiplex` goes with ids. A server that takes one request at a time on a
            // connection wants `Sharing::Exclusive`.
            sharing: Sharing::Multiplex,
            // What the protocol's own servers and clients accept at most. Larger requests are
            // refused by their header, before they are read.
            frame_limit: 16 * 1024 * 1024,
            // After so much silence the core asks the codec for a heartbeat. `None` where the
            // protocol has none.
            heartbeat: Some(Duration::from_secs(60)),
            // Whether the server speaks first (as MySQL's does).
            server_first: false,
        }
    }

    /// What routes can match on. `Downstream::attribute` finds them by their position here.
    fn attributes(&self) -> &'static [AttributeDef] {
        &[AttributeDef {
            name: "method",
            meaning: "What the request asks for.",
        }]
    }

    /// Metrics are kept for each value of this attribute.
    fn operation_attribute(&self) -> Option<&'static str> {
        Some("method")
    }

    /// Whether a connection's first bytes are of this protocol, for ports that several share.
    /// `Need` only as much as it takes to tell.
    fn sniff(&self, head: &[u8]) -> Sniff {
        match head {
            [a, b, ..] if [*a, *b] == frame::MAGIC => Sniff::Yes,
            [] => Sniff::Need(frame::MAGIC.len()),
            [a] if *a == frame::MAGIC[0] => Sniff::Need(frame::MAGIC.len()),
            _ => Sniff::No,
        }
    }

    /// A client has connected.
    fn downstream(&self, limits: Limits) -> Box<dyn Downstream> {
        Box::new(downstream::Client { limits })
    }

    /// The core connects to a server. `opening` is for protocols whose connections have to be
    /// brought into some state first (a user, a database): see `Upstream::open`.
    fn upstream(&self, limits: Limits, _opening: &Opening<'_>) -> Box<dyn Upstream> {
        Box::new(upstream::Server { limits })
    }

    // What else there is, with defaults that fit this protocol:
    //
    // service_attribute  the attribute that names a service within the protocol (an interface)
    // key_attribute      the attribute that names a datum (a cache key): hot ones are counted
    // lower_case_attributes  those that the codec writes in lower case, whatever clients write
    // open_attributes    true where messages carry names that no list knows (headers)
    // carries_attributes false where a route cannot set them (as `open_attributes` unless given)
    // key_hash           the hash of a datum, where load balancers divide keys by one
    // configure          this protocol with settings of a service (a password)
    // scatter            how one request becomes several (a multi-get over shards)
    // topology           how servers tell who owns which keys (a cluster protocol)
}
