//! Dubbo for Meltemi: what the core has to know of Dubbo2 frames, on top of [`dubbo_rs_codec`].
//!
//! [`Dubbo`] makes two codecs that mirror each other: one speaks to a consumer as its provider
//! would, the other to a provider as its consumer would. Frames pass byte for byte under another
//! id; a body is looked into only for what a route, a limit or a label asks.

#![warn(clippy::indexing_slicing)]

mod attribute;
mod before;
mod call;
mod consumer;
mod deadline;
mod edit;
mod frame;
mod provider;
mod status;

use std::time::Duration;

use dubbo_rs_codec::{
    HEADER_LEN, Header,
    header::{DEFAULT_PAYLOAD_LIMIT, MAGIC},
};
use meltemi_codec::{
    AttributeDef, Correlation, Downstream, Limits, Opening, Order, Protocol, Sharing, Sniff,
    Traits, Upstream,
};

/// How long a Dubbo peer stays silent before it sends a heartbeat (its `heartbeat` parameter).
const HEARTBEAT: Duration = Duration::from_secs(60);

/// The protocol that Dubbo calls `dubbo`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dubbo;

/// The protocol, for a list of such.
#[must_use]
pub fn protocol() -> impl Protocol {
    Dubbo
}

impl Protocol for Dubbo {
    fn id(&self) -> &'static str {
        "dubbo"
    }

    fn traits(&self) -> Traits {
        Traits {
            correlation: Correlation::ById {
                bits: 64,
                reserved: &[],
            },
            order: Order::Independent,
            sharing: Sharing::Multiplex,
            // Dubbo's own limit does not count the header.
            frame_limit: DEFAULT_PAYLOAD_LIMIT as u64 + HEADER_LEN as u64,
            heartbeat: Some(HEARTBEAT),
            server_first: false,
        }
    }

    fn attributes(&self) -> &'static [AttributeDef] {
        attribute::SCHEMA
    }

    fn service_attribute(&self) -> Option<&'static str> {
        Some("interface")
    }

    fn operation_attribute(&self) -> Option<&'static str> {
        Some("method")
    }

    fn open_attributes(&self) -> bool {
        true
    }

    fn sniff(&self, head: &[u8]) -> Sniff {
        match Header::parse(head) {
            Err(_) => Sniff::No,
            Ok(None) if head.len() < MAGIC.len() => Sniff::Need(MAGIC.len()),
            Ok(_) => Sniff::Yes,
        }
    }

    fn downstream(&self, limits: Limits) -> Box<dyn Downstream> {
        Box::new(consumer::Consumer::new(limits))
    }

    fn upstream(&self, limits: Limits, _opening: &Opening<'_>) -> Box<dyn Upstream> {
        Box::new(provider::Provider::new(limits))
    }
}
