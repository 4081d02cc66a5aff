//! How a request is served by several shards.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
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
    command::{self, Command, Flags, RequestPolicy, ResponsePolicy},
    memo::Tag,
    resp::{Arguments, inline},
};

/// Divides requests among shards, and makes one answer of theirs.
#[derive(Clone, Debug)]
pub struct Splitter {
    tags: bool,
    reads: Role,
    unit: Unit,
    /// Which shard's key the next `RANDOMKEY` tells.
    turn: Arc<AtomicU32>,
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
        Self::new(true, Role::Primary, Unit::Slot)
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
            turn: Arc::default(),
        }
    }

    /// Who owns a key that `command` names. `None`: nobody.
    pub(super) fn owner(
        &self,
        command: &Command,
        key: &[u8],
        shards: &dyn ShardMap,
    ) -> Option<Owner> {
        let slot = slot::slot(key);
        let place = shards.place(key, slot, slot::hash_of(key, self.tags))?;
        Some(Owner {
            place,
            unit: match self.unit {
                Unit::Slot => (place, slot),
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
            part(command, constraint, request.bytes.into())
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
        let array = match request.bytes.first() {
            Some(b'*') => Cow::Borrowed(request.bytes),
            _ => Cow::Owned(inline::to_array(request.bytes).unwrap_or_default()),
        };
        let command =
            |arguments: &Arguments<'_>| command::find(arguments.text(0)?, arguments.text(1));
        let arguments = Arguments::new(&array);
        let Some((arguments, command)) = arguments.and_then(|it| Some((it.clone(), command(&it)?)))
        else {
            // It was not asked how to serve what is not in the table.
            return Plan::One(Constraint::None);
        };
        let request = Frame {
            bytes: &array,
            ..request
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

/// A part of a request. Its session is that of the whole, which the core knows; its memo is a plain
/// request's: what is special about the whole (that the client wants no answer, say) is about the
/// one answer.
pub(super) fn part(command: &Command, constraint: Constraint, bytes: Box<[u8]>) -> Part {
    let mut own = Request::unary(0, Tag::default().pack(None));
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
