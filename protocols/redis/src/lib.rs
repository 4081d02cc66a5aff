//! Redis for Meltemi: what the core has to know of commands and replies.
//!
//! [`Redis`] makes two codecs. The one of a client's connection keeps what a server would remember
//! of that client (database, user, transaction, subscriptions) and turns it into what each request
//! needs: a session, a pin, a shard. The one of a server's connection puts it in that state and
//! says which request an answer belongs to. Commands and replies pass byte for byte.

#![warn(clippy::indexing_slicing)]

mod client;
pub mod cluster;
pub mod command;
mod lessons;
mod memo;
pub mod resp;
mod server;
mod session;
mod settings;
mod sniff;

use std::{sync::Arc, time::Duration};

use meltemi_codec::{
    AttributeDef, Correlation, Downstream, Limits, Opening, Order, Protocol, Request, Scatter,
    SettingRefused, Sharing, Sniff, Topology, Traits, Upstream,
};

use crate::{
    cluster::{ClusterTopology, Splitter, Unit},
    lessons::Lessons,
    memo::Tag,
    settings::{Mode, Settings},
};

/// How long a connection to a server is silent before the server is asked whether it is there: the
/// `health_check_interval` that Redis' clients recommend.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Redis' own limit of one argument, and room for the command around it.
const FRAME_LIMIT: u64 = 512 * 1024 * 1024 + 64 * 1024;

/// The protocol that Redis, Valkey and their kin speak.
#[derive(Clone, Debug)]
pub struct Redis {
    settings: Arc<Settings>,
    lessons: Arc<Lessons>,
    splitter: Arc<Splitter>,
}

impl Redis {
    fn new(settings: Settings, lessons: Arc<Lessons>) -> Self {
        // A node of a cluster refuses a command with keys of two slots, any other server does not.
        let unit = match settings.mode {
            Mode::Cluster => Unit::Slot,
            Mode::Proxy | Mode::Unknown => Unit::Shard,
        };
        Self {
            splitter: Arc::new(
                Splitter::new(settings.tags, settings.reads, unit)
                    .with_lessons(Arc::clone(&lessons)),
            ),
            settings: Arc::new(settings),
            lessons,
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self::new(Settings::default(), Arc::default())
    }
}

/// The protocol, for a list of such.
#[must_use]
pub fn protocol() -> impl Protocol {
    Redis::default()
}

impl Protocol for Redis {
    fn id(&self) -> &'static str {
        "redis"
    }

    fn traits(&self) -> Traits {
        Traits {
            correlation: Correlation::InOrderWithPush,
            order: Order::PerClient,
            sharing: Sharing::Pipeline { depth: 1024 },
            frame_limit: FRAME_LIMIT,
            heartbeat: Some(HEARTBEAT),
            server_first: false,
        }
    }

    fn attributes(&self) -> &'static [AttributeDef] {
        client::SCHEMA
    }

    fn sniff(&self, head: &[u8]) -> Sniff {
        sniff::sniff(head)
    }

    fn downstream(&self, limits: Limits) -> Box<dyn Downstream> {
        let (settings, lessons) = (Arc::clone(&self.settings), Arc::clone(&self.lessons));
        Box::new(client::Client::new(limits, settings, lessons))
    }

    fn upstream(&self, limits: Limits, opening: &Opening<'_>) -> Box<dyn Upstream> {
        let settings = Arc::clone(&self.settings);
        Box::new(server::Server::new(limits, settings, opening))
    }

    fn configure(&self, settings: &[(&str, &str)]) -> Result<Arc<dyn Protocol>, SettingRefused> {
        // What servers know is theirs: another service's have other modules.
        let lessons = Arc::default();
        Ok(Arc::new(Self::new(Settings::read(settings)?, lessons)))
    }

    fn operation_attribute(&self) -> Option<&'static str> {
        Some("command")
    }

    fn lower_case_attributes(&self) -> &'static [&'static str] {
        &["command"]
    }

    fn key_attribute(&self) -> Option<&'static str> {
        Some("key")
    }

    fn key_hash(&self, key: &[u8]) -> Option<u64> {
        let (_, hash) = cluster::slot::slot_and_hash(key, self.settings.tags);
        Some(hash)
    }

    fn scatter(&self) -> Option<&dyn Scatter> {
        Some(&*self.splitter)
    }

    fn redirects(&self) -> bool {
        self.settings.follows()
    }

    fn topology(&self) -> Option<Box<dyn Topology>> {
        let probe = Request::unary(0, Tag::default().pack(None));
        Some(Box::new(ClusterTopology::new(probe)))
    }
}
