//! Commands with keys: to the shard that owns them, or a part to each.

use std::collections::HashMap;

use meltemi_codec::{Constraint, Frame, Plan, Role, ShardMap};

use super::{
    merge::How,
    refusal::{self, refuse},
    splitter::{Owner, Splitter, part},
};
use crate::{
    command::{Find, KeySpec, ResponsePolicy, keys},
    memo::Tag,
    resp::{Arguments, write},
};

/// A request of a command with keys.
pub(super) struct Keyed<'a> {
    pub(super) specs: &'a [KeySpec],
    /// Whom to ask in the shard.
    pub(super) role: Role,
    pub(super) idempotent: bool,
    /// Whether it may be divided, and how the answers become one then.
    pub(super) divided: Option<ResponsePolicy>,
    pub(super) request: Frame<'a>,
    pub(super) arguments: &'a Arguments<'a>,
}

impl Keyed<'_> {
    pub(super) fn plan(&self, splitter: &Splitter, shards: &dyn ShardMap) -> Plan {
        let arguments = self.arguments;
        let found = keys(self.specs, arguments.len(), |n| arguments.text(n));
        let keys: Vec<usize> = found.collect();
        let unseen = !self.request.whole && self.specs.iter().any(KeySpec::reads_arguments);
        if keys.is_empty() && unseen {
            return refuse(refusal::TOO_LARGE);
        }
        let mut owners = Vec::with_capacity(keys.len());
        for key in &keys {
            let Some(key) = arguments.text(*key) else {
                return refuse(refusal::TOO_LARGE);
            };
            match splitter.owner(key, self.role, shards) {
                Some(owner) => owners.push(owner),
                None => return refuse(refusal::UNOWNED),
            }
        }
        let same = |of: fn(&Owner) -> (u32, u32)| {
            let mut all = owners.iter().map(of);
            all.next()
                .is_none_or(|first| all.all(|other| other == first))
        };
        let step = self.step();
        // Servers say what is wrong with a key that has no value.
        let complete = step.is_some_and(|(step, _)| (arguments.len() - 1).is_multiple_of(step));
        match step {
            _ if same(|owner| owner.unit) => one(owners),
            Some(_) if !complete => one(owners),
            Some(_) if !self.request.whole => refuse(refusal::TOO_LARGE),
            Some((step, response)) => Division::new(owners).plan(self, step, response),
            // Of one shard but not of one slot: a Redis Cluster refuses it in the very same words.
            None if same(|owner| (owner.place, 0)) => one(owners),
            None => refuse(refusal::CROSSSLOT),
        }
    }

    /// How many arguments a key brings with it, itself included, where the request may be divided.
    fn step(&self) -> Option<(usize, ResponsePolicy)> {
        match (self.specs, self.divided) {
            (
                [
                    KeySpec {
                        find: Find::Range { step, .. },
                        ..
                    },
                ],
                Some(response),
            ) => Some((usize::from(*step).max(1), response)),
            _ => None,
        }
    }
}

fn one(owners: Vec<Owner>) -> Plan {
    let first = owners.into_iter().next();
    Plan::One(first.map_or(Constraint::None, |owner| owner.constraint))
}

/// Which part each key goes to.
struct Division {
    constraints: Vec<Constraint>,
    owners: Vec<u32>,
}

impl Division {
    fn new(owners: Vec<Owner>) -> Self {
        let mut parts = Parts::default();
        let mut division = Self {
            constraints: Vec::new(),
            owners: Vec::with_capacity(owners.len()),
        };
        for owner in owners {
            let number = parts.number(owner.unit);
            if number == division.constraints.len() {
                division.constraints.push(owner.constraint);
            }
            division
                .owners
                .push(u32::try_from(number).unwrap_or(u32::MAX));
        }
        division
    }

    fn plan(self, of: &Keyed<'_>, step: usize, response: ResponsePolicy) -> Plan {
        let bytes = of.request.bytes.len() / self.constraints.len().max(1);
        let room = bytes + bytes / 4;
        let mut bodies: Vec<Body> = self.constraints.iter().map(|_| Body::of(room)).collect();
        let element = |n| of.request.bytes.get(of.arguments.element(n)?);
        let name = element(0).unwrap_or_default();
        let mut rest = (1..).map_while(element);
        for owner in &self.owners {
            let owner = usize::try_from(*owner).ok();
            let Some(body) = owner.and_then(|owner| bodies.get_mut(owner)) else {
                continue;
            };
            for argument in rest.by_ref().take(step) {
                body.bytes.extend_from_slice(argument);
                body.arguments += 1;
            }
        }
        // By its first key a part finds its own route.
        let mut first = Tag::default();
        first.key = 1;
        let parts = bodies.into_iter().zip(self.constraints);
        Plan::Many {
            parts: parts
                .map(|(body, constraint)| {
                    let mut part = part(of.idempotent, constraint, body.into_command(name));
                    part.request.memo = first.pack(None);
                    part
                })
                .collect(),
            merge: match response {
                ResponsePolicy::AggSum => How::Sum,
                ResponsePolicy::AllSucceeded => How::AllSucceeded,
                _ => How::Keyed(self.owners),
            }
            .seal(),
        }
    }
}

/// The parts by what one command may have. There are as many as shards, which are few, or as many as
/// slots.
#[derive(Default)]
struct Parts {
    few: Vec<(u32, u32)>,
    many: HashMap<(u32, u32), usize>,
}

impl Parts {
    const FEW: usize = 16;

    fn number(&mut self, unit: (u32, u32)) -> usize {
        if let Some(known) = self.few.iter().position(|known| *known == unit) {
            return known;
        }
        if self.few.len() < Self::FEW {
            self.few.push(unit);
            return self.few.len() - 1;
        }
        let next = Self::FEW + self.many.len();
        *self.many.entry(unit).or_insert(next)
    }
}

/// A part's arguments but for the command's name.
struct Body {
    bytes: Vec<u8>,
    arguments: usize,
}

impl Body {
    /// With room for so many bytes.
    fn of(room: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(room),
            arguments: 0,
        }
    }

    /// The command of which `name` is the first element.
    fn into_command(self, name: &[u8]) -> Box<[u8]> {
        let mut head = Vec::with_capacity(32);
        write::array(1 + self.arguments, &mut head);
        head.extend_from_slice(name);
        [head, self.bytes].concat().into()
    }
}
