//! How a request is served by several shards.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU32, Ordering},
};

use meltemi_codec::{
    Constraint, Frame, Merge, Outcome, OwnRequest, Part, Pin, Plan, Request, Role, Scatter,
    ShardMap,
};

use super::{
    keyed,
    merge::How,
    refusal::{self, refuse},
    scan, slot,
};
use crate::{
    command::{self, Command, Flags, RequestPolicy, ResponsePolicy, with_keys},
    resp::Arguments,
};

/// Divides requests among shards, and makes one answer of theirs.
#[derive(Debug)]
pub struct Splitter {
    tags: bool,
    reads: Role,
    unit: Unit,
    /// Which shard's key the next `RANDOMKEY` tells.
    turn: AtomicU32,
}

/// Who owns a key.
pub(super) struct Owner {
    /// The shard.
    pub(super) place: u32,
    /// Equal for two keys if and only if one command may have both.
    pub(super) unit: (u32, u32),
    pub(super) constraint: Constraint,
}

/// What the keys of one command may span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// One slot. A Redis Cluster refuses a command with keys of two slots also where one node owns
    /// both (`getNodeByQuery` of its `cluster.c`).
    Slot,
    /// All that one shard owns: servers that are no Redis Cluster, among which a load balancer
    /// divides the keys by their hash.
    Shard,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new(true, Role::Primary, Unit::Shard)
    }
}

impl Splitter {
    /// `tags`: whether keys with equal tags have equal hashes. `reads`: whom to ask where a
    /// command only reads.
    #[must_use]
    pub fn new(tags: bool, reads: Role, unit: Unit) -> Self {
        Self {
            tags,
            reads,
            unit,
            turn: AtomicU32::new(0),
        }
    }

    /// What a request's [`meltemi_codec::Request::constraint`] is, from what is in the table.
    ///
    /// Two keys are always [`Constraint::Planned`], also in one slot: routes may divide them too
    /// (`keyPrefix`), and only [`Scatter::plan`] is asked with the routes in hand.
    #[must_use]
    pub fn constraint(&self, command: &Command, arguments: &Arguments<'_>) -> Constraint {
        match command.request {
            RequestPolicy::AllNodes | RequestPolicy::AllShards | RequestPolicy::Special => {
                return Constraint::Planned;
            }
            RequestPolicy::Default | RequestPolicy::MultiShard => {}
        }
        let mut found = with_keys(command.keys, arguments, |keys| {
            keys.take(2).collect::<Vec<_>>()
        });
        match (found.pop(), found.pop()) {
            // A key may be beyond the head of the request: the plan says so.
            (None, _) if command.keys.iter().any(command::KeySpec::reads_arguments) => {
                Constraint::Planned
            }
            (None, _) => Constraint::None,
            (Some(_), Some(_)) => Constraint::Planned,
            (Some(key), None) => match arguments.get(key) {
                Some(key) => self.shard(command, &key),
                None => Constraint::Planned,
            },
        }
    }

    /// Who owns a key that `command` names. `None`: nobody.
    pub(super) fn owner(
        &self,
        command: &Command,
        key: &[u8],
        shards: &dyn ShardMap,
    ) -> Option<Owner> {
        // A route may send it without its prefix: then that is what has a slot.
        let slot = Cell::new(0);
        let place = shards.place(key, &|sent| {
            slot.set(slot::slot(sent));
            (slot.get(), slot::hash_of(sent, self.tags))
        })?;
        Some(Owner {
            place,
            unit: match self.unit {
                Unit::Slot => (place, slot.get()),
                Unit::Shard => (place, 0),
            },
            constraint: self.shard(command, key),
        })
    }

    /// The shard of a key that `command` names.
    fn shard(&self, command: &Command, key: &[u8]) -> Constraint {
        slot::shard(key, self.tags, self.role(command))
    }

    fn role(&self, command: &Command) -> Role {
        match command.is_readonly() {
            true => self.reads,
            false => Role::Primary,
        }
    }

    fn everywhere(&self, command: &Command, request: Frame<'_>, shards: &dyn ShardMap) -> Plan {
        let replicas = command.request == RequestPolicy::AllNodes;
        let mut nodes = nodes(shards, replicas).map(|(address, ..)| address);
        let Some(how) = self.how(command) else {
            // The answers of several nodes cannot become one.
            return match nodes.next() {
                Some(address) => Plan::One(Constraint::Endpoint(address.into())),
                None => refuse(refusal::UNOWNED),
            };
        };
        let nodes: Vec<&str> = nodes.collect();
        let how = match how {
            How::Text(_) => How::Text(nodes.join("\n")),
            how => how,
        };
        let of = |address: &&str| {
            let constraint = Constraint::Endpoint((*address).into());
            part(command, request, constraint, request.bytes.into())
        };
        match nodes.as_slice() {
            [] => refuse(refusal::UNOWNED),
            [only] => Plan::One(Constraint::Endpoint((*only).into())),
            _ if !request.whole => refuse(refusal::TOO_LARGE),
            _ => Plan::Many {
                parts: nodes.iter().map(of).collect(),
                merge: how.seal(),
            },
        }
    }

    /// How the answers of all nodes to a command without keys become one. `None`: they cannot.
    fn how(&self, command: &Command) -> Option<How> {
        Some(match command.response {
            ResponsePolicy::OneSucceeded => How::OneSucceeded,
            ResponsePolicy::AllSucceeded => How::AllSucceeded,
            ResponsePolicy::AggLogicalAnd => How::And,
            ResponsePolicy::AggLogicalOr => How::Or,
            ResponsePolicy::AggMin => How::Min,
            ResponsePolicy::AggMax => How::Max,
            ResponsePolicy::AggSum => How::Sum,
            ResponsePolicy::Default if command.name == "randomkey" => {
                How::Random(self.turn.fetch_add(1, Ordering::Relaxed))
            }
            ResponsePolicy::Default => How::Concat,
            ResponsePolicy::Special => match command.name {
                "pubsub|channels" | "pubsub|shardchannels" => How::Union,
                "pubsub|numsub" | "pubsub|shardnumsub" => How::Counts,
                "latency|latest" | "latency|history" => How::Concat,
                "function|stats" => How::Running,
                "info" => How::Info,
                "latency|doctor" | "latency|graph" | "memory|doctor" | "memory|malloc-stats" => {
                    How::Text(String::new())
                }
                _ => return None,
            },
        })
    }
}

impl Scatter for Splitter {
    fn plan(&self, request: Frame<'_>, shards: &dyn ShardMap) -> Plan {
        let Some(arguments) = Arguments::new(request.bytes) else {
            return Plan::One(Constraint::None);
        };
        let name = arguments.get(0).unwrap_or_default();
        let Some(command) = command::find(&name, arguments.get(1).as_deref()) else {
            return Plan::One(Constraint::None);
        };
        match command.request {
            RequestPolicy::AllNodes | RequestPolicy::AllShards => {
                self.everywhere(command, request, shards)
            }
            RequestPolicy::Special => scan::plan(command, request, &arguments, shards),
            RequestPolicy::Default | RequestPolicy::MultiShard => {
                keyed::plan(self, command, (request, &arguments), shards)
            }
        }
    }

    fn merge(&self, how: &Merge, parts: &[Frame<'_>], out: &mut Vec<u8>) -> Outcome {
        super::merge::merge(how, parts, out)
    }
}

/// The nodes of the cluster: addresses, shards and roles.
pub(super) fn nodes(
    shards: &dyn ShardMap,
    replicas: bool,
) -> impl Iterator<Item = (&str, u32, Role)> {
    (0..)
        .map_while(|n| shards.node(n))
        .filter(move |(_, _, role)| replicas || *role == Role::Primary)
}

/// A part of a request: as the whole it came from, but for its place.
pub(super) fn part(
    command: &Command,
    request: Frame<'_>,
    constraint: Constraint,
    bytes: Box<[u8]>,
) -> Part {
    let mut own = Request::unary(0, request.memo.clone());
    own.constraint = constraint;
    own.idempotent = command.is_readonly();
    // `WAIT` blocks the connection that it is sent on, without the flag that says so.
    if command.flags.contains(Flags::BLOCKING) || command.name == "wait" {
        own.pin = Pin::UntilReply;
    }
    Part {
        own: OwnRequest {
            request: own,
            bytes,
        },
        items: Vec::new(),
    }
}
