//! Endpoints that are learned from the servers themselves.

use std::time::Duration;

use crate::message::{OwnRequest, Role};

/// A node, as a server names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Host name or address; empty means the host that said so.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
}

/// A state machine that turns probes of some nodes into the endpoints of a cluster. Time and I/O
/// are the core's: it sends what [`Topology::poll`] asks for and hands the answers in.
pub trait Topology {
    /// What to do next, given how long ago the last event was.
    fn poll(&mut self, idle: Duration) -> Probe;

    /// The answer to a probe, a whole message, or `None` where there was none.
    fn answered(&mut self, node: &Node, answer: Option<&[u8]>) -> Option<TopologyEvent>;

    /// A request was redirected: what is known of that part of the key space is out of date.
    fn redirected(&mut self, key: u32, to: &Node);

    /// A node did not serve what it should (a connection was lost, no answer came, it said that it
    /// cannot), or a shard has nobody to ask: what is known may be out of date. Called for each such
    /// request, so a machine bounds how often it asks.
    fn suspect(&mut self, _node: Option<&Node>) {}

    /// What [`TopologyEvent::nodes`] calls the node that a redirect calls so, where that differs (a
    /// redirect gives its name, the event its address).
    fn known_as(&self, _node: &Node) -> Option<Node> {
        None
    }
}

/// What a topology wants the core to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// Nothing for this long.
    Wait(Duration),
    /// Send this request to any of the seeds or of the nodes known so far.
    Ask(Box<OwnRequest>),
}

/// The endpoints as they are now: replaces what was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyEvent {
    /// Every node, its shard and its role there.
    pub nodes: Vec<(Node, u32, Role)>,
    /// Owner of each part of the key space: first key, last key, shard.
    pub shards: Vec<(u32, u32, u32)>,
}
