//! A protocol: its facts, and the maker of its codecs.

use std::{sync::Arc, time::Duration};

use crate::{
    attribute::AttributeDef, downstream::Downstream, message::Limits, scatter::Scatter,
    session::Opening, topology::Topology, upstream::Upstream,
};

/// What a plugin crate provides. One value serves all workers.
pub trait Protocol: Send + Sync + 'static {
    /// The name that ports and ApplicationProtocols use, in lower case.
    fn id(&self) -> &'static str;

    /// The facts that decide how the core treats this protocol's connections.
    fn traits(&self) -> Traits;

    /// The attributes that routes can match on, by name.
    fn attributes(&self) -> &'static [AttributeDef];

    /// The attribute that names the service within the protocol, which the `interface` annotation
    /// of a service restricts.
    fn service_attribute(&self) -> Option<&'static str> {
        None
    }

    /// Whether messages may know attributes that [`Protocol::attributes`] does not list
    /// (attachments, headers).
    fn open_attributes(&self) -> bool {
        false
    }

    /// Whether its messages have a place for attributes of any name, which a route may set or remove
    /// ([`crate::Edit`]).
    fn carries_attributes(&self) -> bool {
        self.open_attributes()
    }

    /// Whether the first bytes of a connection are of this protocol, be they broken. Those that are not
    /// pass to the service unseen, where it has servers of its own to pass them to.
    fn sniff(&self, head: &[u8]) -> Sniff;

    /// The codec of a client's connection.
    fn downstream(&self, limits: Limits) -> Box<dyn Downstream>;

    /// The codec of a new connection to a server.
    fn upstream(&self, limits: Limits, opening: &Opening<'_>) -> Box<dyn Upstream>;

    /// This protocol as the settings of a service want it: another value, with traits of its own
    /// (a password to ask of clients, methods that old peers call one-way without saying so). For
    /// connections to the endpoints of a cluster that has settings of its own (a password to show
    /// to servers), those of the service are followed by the cluster's.
    ///
    /// # Errors
    /// [`SettingRefused`] names the first setting that is unknown or wrong.
    fn configure(&self, settings: &[(&str, &str)]) -> Result<Arc<dyn Protocol>, SettingRefused> {
        let name = settings.first().map_or("", |(name, _)| name);
        Err(SettingRefused {
            name: name.into(),
            reason: "this protocol has no settings",
        })
    }

    /// Whether a client reads its answers in the order of its requests. Where only the servers have
    /// ids, or answer by them, the core puts the answers in order again.
    fn answers_in_order(&self) -> bool {
        !matches!(self.traits().correlation, Correlation::ById { .. })
    }

    /// The attribute that says what a request asks to be done (a method, a command): metrics are
    /// kept for each of its values, of which the core bounds the number.
    fn operation_attribute(&self) -> Option<&'static str> {
        None
    }

    /// The attributes whose values have no upper-case ASCII letters, however clients write them: a rule that
    /// asks for one is a mistake.
    fn lower_case_attributes(&self) -> &'static [&'static str] {
        &[]
    }

    /// The attribute that says which datum a request concerns: the core samples it to name the
    /// most frequent ones.
    fn key_attribute(&self) -> Option<&'static str> {
        None
    }

    /// The hash of a datum's name, as [`crate::Constraint::Shard`] has it: which endpoint has the
    /// datum is explained by it. `None`: data have no hash.
    fn key_hash(&self, key: &[u8]) -> Option<u64> {
        let _ = key;
        None
    }

    /// How one request becomes several, where the protocol has such.
    fn scatter(&self) -> Option<&dyn Scatter> {
        None
    }

    /// Whether answers may send a request elsewhere, or ask for it again later
    /// ([`crate::Outcome::Redirect`], [`crate::Outcome::TryLater`]): the core keeps requests until
    /// they are answered, which costs a copy of each.
    fn redirects(&self) -> bool {
        false
    }

    /// How the endpoints of a cluster are learned from the servers, where the protocol has such.
    fn topology(&self) -> Option<Box<dyn Topology>> {
        None
    }
}

/// A protocol cannot be configured so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting `{name}`: {reason}")]
pub struct SettingRefused {
    /// Which setting.
    pub name: Box<str>,
    /// What is wrong with it, and what would be right.
    pub reason: &'static str,
}

/// The facts of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// How answers find their requests.
    pub correlation: Correlation,
    /// Whether requests of one client may overtake each other.
    pub order: Order,
    /// How requests share an upstream connection by default.
    pub sharing: Sharing,
    /// The largest message in bytes that the protocol's own peers accept by default.
    pub frame_limit: u64,
    /// How long a leg may be silent before the core asks the codec for a heartbeat.
    pub heartbeat: Option<Duration>,
    /// Whether the server speaks first.
    pub server_first: bool,
}

/// How answers find their requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correlation {
    /// By an id that the proxy may choose.
    ById {
        /// The id's width on the wire, in bits. A varint has the width of its type: the codec
        /// writes the head of a message, so an id may take more or fewer bytes than it did.
        bits: u8,
        /// Ids that must not be used (a value that marks a push, say).
        reserved: &'static [u64],
    },
    /// By order.
    InOrder,
    /// By order, with messages in between that answer nobody.
    InOrderWithPush,
}

/// Whether requests of one client may overtake each other on their way to different servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// They are independent: each may go to another endpoint.
    Independent,
    /// While one is unanswered, later ones follow it to the same endpoint and connection.
    PerClient,
}

/// How requests share an upstream connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Requests of all clients at once, answered in any order.
    Multiplex,
    /// Requests of all clients, up to this many unanswered, answered in order.
    Pipeline {
        /// Unanswered requests on one connection.
        depth: u16,
    },
    /// The unanswered requests of one client at a time.
    PerClient,
    /// One client's, until it closes.
    Exclusive,
}

/// The verdict on the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// They are of this protocol.
    Yes,
    /// They are not, for certain.
    No,
    /// This many bytes in all are needed to tell.
    Need(usize),
}
