//! memcached for Meltemi: its text and its meta commands, each served by the server that owns its
//! key, and a `get` of several keys split over the servers that own them.
//!
//! Written against the public contract alone, as an example of a protocol that is not Meltemi's
//! own; `docs/writing-a-protocol.md` follows its decisions. What it holds to is memcached's
//! `doc/protocol.txt` and, where that is silent, what memcached 1.6 does.
//!
//! # Quiet commands
//!
//! `noreply` and the meta flag `q` never reach a server. A server answers some errors all the
//! same, and such an answer names nobody: on a connection that many clients share it could only
//! be given to the wrong one. So the server is asked for an answer to everything, and the client
//! is not told what it did not want to hear.
//!
//! # Commands that a server would read otherwise
//!
//! Where a server finds a storage command wrong before it has read the size of its data, it takes
//! the data for commands. Behind a proxy these would be commands of nobody, with answers for
//! somebody else. And to a `get` of a key that is too long it answers with an error and forgets what
//! else it owed on that connection. So only lines that a server accepts are forwarded; the others
//! are answered here as it would.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod command;
mod downstream;
mod key;
mod reply;
mod scatter;
mod upstream;

use std::time::Duration;

use meltemi_codec::{
    AttributeDef, Correlation, Downstream, Limits, Opening, Order, Protocol, Scatter, Sharing,
    Sniff, Traits, Upstream,
};

/// Unanswered requests on one connection to a server, which answers them one after the other.
const PIPELINE: u16 = 256;
/// Items may be of up to 1 GiB (`memcached -I`); a server says itself what is too large for it.
const FRAME_LIMIT: u64 = 1 << 30;
const HEARTBEAT: Duration = Duration::from_secs(60);

/// The protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memcached;

impl Protocol for Memcached {
    fn id(&self) -> &'static str {
        "memcached"
    }

    fn traits(&self) -> Traits {
        Traits {
            correlation: Correlation::InOrder,
            order: Order::PerClient,
            sharing: Sharing::Pipeline { depth: PIPELINE },
            frame_limit: FRAME_LIMIT,
            heartbeat: Some(HEARTBEAT),
            server_first: false,
        }
    }

    fn attributes(&self) -> &'static [AttributeDef] {
        &[
            AttributeDef {
                name: "command",
                meaning: "The command as the client wrote it: `get`, `set`, `mg`.",
            },
            AttributeDef {
                name: "key",
                meaning: "The command's key, of several the first; decoded where it is in base64.",
            },
        ]
    }

    fn operation_attribute(&self) -> Option<&'static str> {
        Some("command")
    }

    fn key_attribute(&self) -> Option<&'static str> {
        Some("key")
    }

    fn sniff(&self, head: &[u8]) -> Sniff {
        command::sniff(head)
    }

    fn downstream(&self, limits: Limits) -> Box<dyn Downstream> {
        Box::new(downstream::Client { limits })
    }

    fn upstream(&self, limits: Limits, _opening: &Opening<'_>) -> Box<dyn Upstream> {
        Box::new(upstream::Server::new(limits))
    }

    fn scatter(&self) -> Option<&dyn Scatter> {
        Some(self)
    }
}
