//! A protocol of lines whose answers come in the order of the requests.
//!
//! ```text
//! request   VERB KEY name=value... [*N]\n   and N bytes of payload
//! answer    +text... [*N]\n                 ok, and N bytes of payload
//!           -text\n  !CODE text\n  ?CODE text\n   the application says no; the server; not now
//! aside     >text\n                         a push to the client that the connection is pinned to
//!           .bye\n  .bye host\n  .back\n    go-away, of the whole host, taken back
//! ```
//!
//! Instead of `*N` a line may end in `*~`: then pieces follow, each `N\n` and N bytes, until one
//! is empty (`0\n`), so that nobody knows the size before the end.
//!
//! Verbs with a meaning to the proxy: `GET` may be repeated; `NOTE` is not answered; `SIZE` is
//! answered with the `*N` of a payload that does not follow, so that the answer cannot be read
//! without its request; `SUB n` is answered n times; `HOLD` pins and `FREE` releases; `POP` waits
//! for what another client brings; `PING` and `QUIT` are answered by the proxy. `deadline=MS` is the request's deadline. An empty line is
//! nothing at all.

mod codec;
mod line;
mod payload;

use std::time::Duration;

use crate::{
    attribute::AttributeDef,
    downstream::Downstream,
    message::Limits,
    protocol::{Correlation, Order, Protocol, Sharing, Sniff, Traits},
    session::Opening,
    upstream::Upstream,
};

/// The longest line.
pub const LINE: usize = 4096;

/// The protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct InOrder;

impl Protocol for InOrder {
    fn id(&self) -> &'static str {
        "sample-in-order"
    }

    fn traits(&self) -> Traits {
        Traits {
            correlation: Correlation::InOrderWithPush,
            order: Order::PerClient,
            sharing: Sharing::Pipeline { depth: 64 },
            frame_limit: 64 * 1024 * 1024,
            heartbeat: Some(Duration::from_secs(60)),
            server_first: false,
        }
    }

    fn attributes(&self) -> &'static [AttributeDef] {
        &[
            AttributeDef {
                name: "verb",
                meaning: "What is to be done.",
            },
            AttributeDef {
                name: "key",
                meaning: "What it is to be done to.",
            },
        ]
    }

    fn operation_attribute(&self) -> Option<&'static str> {
        Some("verb")
    }

    fn key_attribute(&self) -> Option<&'static str> {
        Some("key")
    }

    fn open_attributes(&self) -> bool {
        true
    }

    fn sniff(&self, head: &[u8]) -> Sniff {
        match head {
            [] => Sniff::Need(1),
            [b'A'..=b'Z', ..] => Sniff::Yes,
            _ => Sniff::No,
        }
    }

    fn downstream(&self, limits: Limits) -> Box<dyn Downstream> {
        Box::new(codec::Server::new(limits))
    }

    fn upstream(&self, limits: Limits, _opening: &Opening<'_>) -> Box<dyn Upstream> {
        Box::new(codec::Client::new(limits))
    }
}

/// A request without payload.
#[must_use]
pub fn request(verb: &str, key: &str) -> Vec<u8> {
    format!("{verb} {key}\n").into_bytes()
}

/// An answer with a payload.
#[must_use]
pub fn response(payload: &[u8]) -> Vec<u8> {
    with_payload("+", payload)
}

/// `line` announcing and followed by `payload`.
#[must_use]
pub fn with_payload(line: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("{line} *{}\n", payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// `line` announcing pieces and followed by them.
#[must_use]
pub fn with_pieces(line: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("{line} *~\n").into_bytes();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        out.extend_from_slice(format!("{}\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(b"0\n");
    out
}
