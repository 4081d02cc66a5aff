//! Slots on the move.

use std::time::{Duration, Instant};

use super::{Cluster, Node};
use crate::redis::encode;
use crate::wait::until;

impl Cluster {
    /// The slot of a key, as the servers compute it.
    #[must_use]
    pub fn slot(&self, key: &str) -> u16 {
        let mut wire = self.running().connect();
        let slot = wire.call(&format!("CLUSTER KEYSLOT {key}"));
        number(&slot)
    }

    /// The place of the node that is the primary of a slot, as the node itself says.
    ///
    /// # Panics
    /// When none is for long.
    #[must_use]
    pub fn owner(&self, slot: u16) -> usize {
        until("somebody owns the slot", || {
            self.nodes().iter().position(|node| {
                node.is_running() && owns(&node.connect().call("CLUSTER NODES"), slot)
            })
        })
    }

    /// A key that begins so and whose slot this node has; no two calls give the same slot for
    /// different beginnings.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn key_of(&self, node: usize, start: &str) -> String {
        let view = self.node(node).connect().call("CLUSTER NODES");
        let key = (0..10_000).map(|n| format!("{start}{n}"));
        let mut wire = self.node(node).connect();
        key.into_iter()
            .find(|key| owns(&view, number(&wire.call(&format!("CLUSTER KEYSLOT {key}")))))
            .expect("one of ten thousand keys is of the node")
    }

    /// Begins to move a slot: `from` redirects requests for keys that it does not have.
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let (source, target) = (self.node(from), self.node(to));
        let import = format!("CLUSTER SETSLOT {slot} IMPORTING {}", source.id());
        let migrate = format!("CLUSTER SETSLOT {slot} MIGRATING {}", target.id());
        // They have to have heard of each other's roles.
        let said = |node: &Node, words: &str| {
            until("the slot is on the move", || {
                (node.connect().call(words) == "+OK").then_some(())
            });
        };
        said(target, &import);
        said(source, &migrate);
    }

    /// Moves these keys of a slot that is on the move.
    pub fn move_keys(&self, from: usize, to: usize, keys: &[&str]) {
        let port = self.node(to).address().port().to_string();
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        words.extend(keys);
        let words: Vec<&[u8]> = words.into_iter().map(str::as_bytes).collect();
        let mut wire = self.node(from).connect();
        wire.send(&encode(&words));
        let reply = wire.reply();
        assert!(reply == "+OK" || reply == "+NOKEY", "{reply}");
    }

    /// Ends the move of a slot: first its new owner knows, then its old one, then all.
    pub fn end_move(&self, slot: u16, from: usize, to: usize) {
        let id = self.node(to).id().to_owned();
        let order = [to, from]
            .into_iter()
            .chain((0..6).filter(|n| *n != from && *n != to));
        for n in order.filter(|n| self.node(*n).is_running()) {
            let mut wire = self.node(n).connect();
            // A replica does not take it; it hears of it from its primary.
            let reply = wire.call(&format!("CLUSTER SETSLOT {slot} NODE {id}"));
            assert!(
                reply == "+OK" || reply.contains("only with masters"),
                "{reply}"
            );
        }
        // Moved again before all have heard of it, a slot may end up with nobody.
        self.settle();
    }

    /// Moves a slot with all of its keys, as `redis-cli --cluster reshard` does.
    pub fn move_slot(&self, slot: u16, from: usize, to: usize) {
        self.begin_move(slot, from, to);
        let mut wire = self.node(from).connect();
        loop {
            let keys = wire.call(&format!("CLUSTER GETKEYSINSLOT {slot} 10"));
            let keys: Vec<&str> = keys.trim_matches(['[', ']']).split_whitespace().collect();
            if keys.is_empty() {
                break;
            }
            self.move_keys(from, to, &keys);
        }
        self.end_move(slot, from, to);
    }

    /// Makes a replica the primary of its shard without loss, its primary being well.
    pub fn fail_over(&self, replica: usize) {
        /// A failover that did not come to be is given up after 5 s (`CLUSTER_MF_TIMEOUT`).
        const GIVEN_UP: Duration = Duration::from_secs(6);
        let node = self.node(replica);
        let mut asked: Option<Instant> = None;
        until("the replica is the primary", || {
            if asked.is_none_or(|asked| asked.elapsed() > GIVEN_UP) {
                assert_eq!(node.connect().call("CLUSTER FAILOVER"), "+OK");
                asked = Some(Instant::now());
            }
            node.is_primary().then_some(())
        });
    }

    fn running(&self) -> &Node {
        let mut nodes = self.nodes().iter();
        nodes
            .find(|node| node.is_running())
            .expect("a node is left")
    }
}

impl Node {
    /// Whether it takes itself for a primary.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.is_running() && self.connect().call("ROLE").starts_with("[master")
    }
}

/// Whether the node that says this is the primary of the slot.
fn owns(nodes: &str, slot: u16) -> bool {
    let mut own = nodes.lines().filter(|line| line.contains("myself,master"));
    own.any(|line| {
        let ranges = line.split_whitespace().skip(8);
        ranges.filter(|range| !range.starts_with('[')).any(|range| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let bound = |text: &str| text.parse::<u16>().ok();
            bound(from) <= Some(slot) && Some(slot) <= bound(to)
        })
    })
}

/// The number that a reply is.
fn number<T: std::str::FromStr>(reply: &str) -> T {
    let number = reply.trim_start_matches(':').parse();
    number.unwrap_or_else(|_| panic!("a number, not {reply}"))
}
