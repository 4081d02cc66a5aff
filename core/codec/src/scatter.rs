//! One request that becomes several, and their answers that become one.

use crate::{
    message::{Constraint, Frame, OwnRequest, Role},
    reply::Status,
    upstream::Outcome,
};

/// For protocols whose requests can concern several shards.
pub trait Scatter: Send + Sync {
    /// How to serve a request of [`Constraint::Planned`] on these shards.
    fn plan(&self, request: Frame<'_>, shards: &dyn ShardMap) -> Plan;

    /// Makes the client's one answer of the parts' answers, which come in the order of the plan's
    /// parts; each is a whole message, with its part's memo. A part that was not answered is given
    /// the proxy's own answer ([`crate::Downstream::local_reply`]).
    ///
    /// Returns what the answer says of the request, as [`crate::Upstream::outcome`] does.
    fn merge(&self, merge: &Merge, parts: &[Frame<'_>], out: &mut Vec<u8>) -> Outcome;
}

/// Who owns what, as the route of a request sees it.
pub trait ShardMap {
    /// A number that is equal for two keys if and only if one shard of one cluster owns both.
    /// `None`: no route leads to the key, or nobody owns it now.
    ///
    /// `key` is what routes match on. A route may change it before it is sent; `shard_key` says what
    /// its slot and its hash are then, as in [`Constraint::Shard`].
    fn place(&self, key: &[u8], shard_key: &dyn Fn(&[u8]) -> (u32, u64)) -> Option<u32>;

    /// The `n`th node of the cluster that the request itself is routed to: its address, for
    /// [`Constraint::Endpoint`], the number of its shard and its role there. Shards come in the
    /// order of what they own, each with its primary first.
    fn node(&self, n: usize) -> Option<(&str, u32, Role)>;
}

/// How to serve a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Forward it untouched to one place.
    One(Constraint),
    /// Send these parts, each to its own place, and merge their answers.
    Many {
        /// The parts. A single one is how a request and its answer are rewritten with the shards
        /// in hand (a `SCAN` whose cursor wanders from shard to shard).
        parts: Vec<OwnRequest>,
        /// How the answers become one.
        merge: Merge,
    },
    /// It cannot be served.
    Refuse {
        /// Why.
        status: Status,
        /// Why, in the protocol's own words.
        message: &'static str,
    },
}

/// How answers become one: opaque to the core, which hands it from plan to merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge(pub Box<[u8]>);
