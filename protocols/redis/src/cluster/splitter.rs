//! How a request is served by several shards.

use std::{
    borrow::Cow,
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use meltemi_codec::{
    Constraint, Frame, Merge, Outcome, OwnRequest, Pin, Plan, Request, Role, Scatter, ShardMap,
};

use super::{
    keyed::Keyed,
    merge::How,
    refusal::{self, refuse},
    scan, slot,
};
use crate::{
    command::{self, Command, Flags, RequestPolicy, ResponsePolicy},
    lessons::Lessons,
    memo::{self, Tag},
    resp::{Arguments, inline, number},
};

/// Divides requests among shards, and makes one answer of theirs.
#[derive(Clone, Debug)]
pub struct Splitter {
    tags: bool,
    reads: Role,
    unit: Unit,
    /// Which shard's key the next `RANDOMKEY` tells.
    turn: Arc<AtomicU32>,
    lessons: Arc<Lessons>,
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
            turn: Arc::default(),
            lessons: Arc::default(),
        }
    }

    /// What servers said of commands that are not in the table.
    #[must_use]
    pub(crate) fn with_lessons(self, lessons: Arc<Lessons>) -> Self {
        Self { lessons, ..self }
    }

    /// Who owns a key; a request for it goes to a node of this role. `None`: nobody.
    pub(super) fn owner(&self, key: &[u8], role: Role, shards: &dyn ShardMap) -> Option<Owner> {
        // A route may send it without its prefix: then that is what has a slot.
        let found = Cell::new((0, 0));
        let whole = Cell::new(false);
        let place = shards.place(key, &|sent| {
            found.set(slot::slot_and_hash(sent, self.tags));
            whole.set(sent.len() == key.len());
            found.get()
        })?;
        let unit = match self.unit {
            Unit::Slot => (place, found.get().0),
            Unit::Shard => (place, 0),
        };
        let (slot, hash) = match whole.get() {
            true => found.get(),
            false => slot::slot_and_hash(key, self.tags),
        };
        Some(Owner {
            place,
            unit,
            constraint: Constraint::Shard { slot, hash, role },
        })
    }

    fn role(&self, reads: bool, request: Frame<'_>) -> Role {
        // The client said `READONLY`.
        let replicas = Tag::unpack(request.memo).has(memo::REPLICAS);
        match self.reads {
            _ if !reads => Role::Primary,
            Role::Primary if replicas => Role::PreferReplica,
            reads => reads,
        }
    }

    fn everywhere(
        &self,
        command: &Command,
        (request, arguments): (Frame<'_>, &Arguments<'_>),
        shards: &dyn ShardMap,
    ) -> Plan {
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
            let mut part = part(command.is_readonly(), constraint, request.bytes.into());
            if command.name == "wait" {
                blocks(&mut part.request, arguments.text(2));
            }
            part
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
        let Some(arguments) = Arguments::new(&array) else {
            return Plan::One(Constraint::None);
        };
        let request = Frame {
            bytes: &array,
            ..request
        };
        let name = arguments.text(0).unwrap_or_default();
        let keyed = |specs, reads, divided| {
            let wanted = Keyed {
                specs,
                role: self.role(reads, request),
                idempotent: reads,
                divided,
                request,
                arguments: &arguments,
            };
            wanted.plan(self, shards)
        };
        let Some(command) = command::find(name, arguments.text(1)) else {
            let Some(Some(learned)) = self.lessons.get(name) else {
                return Plan::One(Constraint::None);
            };
            let learned = learned.within(arguments.text(1));
            return keyed(&learned.keys, learned.flags.contains(Flags::READONLY), None);
        };
        match command.request {
            RequestPolicy::AllNodes | RequestPolicy::AllShards => {
                self.everywhere(command, (request, &arguments), shards)
            }
            RequestPolicy::Special => scan::plan(request, &arguments, shards),
            RequestPolicy::Default => keyed(command.keys, command.is_readonly(), None),
            RequestPolicy::MultiShard => {
                keyed(command.keys, command.is_readonly(), Some(command.response))
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
pub(super) fn part(idempotent: bool, constraint: Constraint, bytes: Box<[u8]>) -> OwnRequest {
    let mut request = Request::unary(0, Tag::default().pack(None));
    request.constraint = constraint;
    request.idempotent = idempotent;
    OwnRequest { request, bytes }
}

/// `WAIT` blocks the connection that it is sent on, for so many milliseconds; 0: for ever.
fn blocks(request: &mut Request, timeout: Option<&[u8]>) {
    /// A server looks at its clients ten times a second, and may be at work.
    const SLACK: Duration = Duration::from_secs(5);
    let timeout = timeout.and_then(number::integer);
    let timeout = timeout.and_then(|it| u64::try_from(it).ok());
    request.pin = Pin::UntilReply;
    request.waits = true;
    request.deadline = timeout
        .filter(|it| *it != 0)
        .map(|it| Duration::from_millis(it).saturating_add(SLACK));
}
