//! Thrift for Meltemi: what the core has to know of Thrift messages, whatever they are framed and
//! written in.
//!
//! [`Thrift`] makes two codecs that mirror each other: one speaks to a client as its server would,
//! the other to a server as its client would. Messages pass byte for byte. A framed one is known by
//! its front and never looked into; the end of one without a frame is found by skipping its values.

#![warn(clippy::indexing_slicing)]

mod argument;
mod attribute;
mod call;
mod check;
mod client;
mod detect;
mod dialect;
mod exception;
mod frame;
mod head;
mod header;
mod outcome;
mod reader;
mod server;
mod settings;
mod skip;
mod stream;

use std::sync::Arc;

use meltemi_codec::{
    AttributeDef, Downstream, Limits, Opening, Protocol, SettingRefused, Sharing, Sniff, Traits,
    Upstream,
};

use crate::dialect::Transport;
use crate::settings::Settings;
pub use crate::settings::{SETTINGS, SettingDef};

/// The largest frame that Thrift's libraries accept by default (bytes; `TConfiguration`).
const FRAME_LIMIT: u64 = 16_384_000;

/// The protocol that Thrift's own tools call `thrift`, as a service's settings want it.
#[derive(Clone, Debug)]
pub struct Thrift {
    settings: Arc<Settings>,
    sharing: Sharing,
}

impl Default for Thrift {
    /// Without settings: transport and protocol are found out for each connection, and calls are
    /// answered in order.
    fn default() -> Self {
        Self {
            settings: Arc::default(),
            sharing: Sharing::PerClient,
        }
    }
}

/// The protocol, for a list of such.
#[must_use]
pub fn protocol() -> impl Protocol {
    Thrift::default()
}

impl Protocol for Thrift {
    fn id(&self) -> &'static str {
        "thrift"
    }

    fn traits(&self) -> Traits {
        let (correlation, order) = self.settings.correlates();
        Traits {
            correlation,
            order,
            sharing: self.sharing,
            frame_limit: FRAME_LIMIT,
            heartbeat: None,
            server_first: false,
        }
    }

    fn attributes(&self) -> &'static [AttributeDef] {
        attribute::SCHEMA
    }

    /// Also where servers answer by number: who wrote a call first reads its answer first.
    fn answers_in_order(&self) -> bool {
        true
    }

    fn operation_attribute(&self) -> Option<&'static str> {
        Some("method")
    }

    fn service_attribute(&self) -> Option<&'static str> {
        Some("service")
    }

    fn open_attributes(&self) -> bool {
        true
    }

    /// Unless settings say that no message has a header.
    fn carries_attributes(&self) -> bool {
        let only = self.settings.expect.transport;
        only.is_none_or(Transport::has_header)
    }

    fn sniff(&self, head: &[u8]) -> Sniff {
        detect::sniff(head, self.settings.expect.transport)
    }

    fn downstream(&self, limits: Limits) -> Box<dyn Downstream> {
        Box::new(client::Client::new(limits, self.settings.clone()))
    }

    fn upstream(&self, limits: Limits, opening: &Opening<'_>) -> Box<dyn Upstream> {
        Box::new(server::Server::new(
            limits,
            self.settings.clone(),
            opening.session,
        ))
    }

    fn configure(&self, settings: &[(&str, &str)]) -> Result<Arc<dyn Protocol>, SettingRefused> {
        let (settings, sharing) = Settings::read(settings)?;
        Ok(Arc::new(Self {
            settings: Arc::new(settings),
            sharing,
        }))
    }
}
