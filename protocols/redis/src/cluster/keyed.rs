//! Commands with keys: to the shard that owns them, or a part to each.

use std::{collections::HashMap, ops::Range};

use meltemi_codec::{Constraint, Frame, Part, Plan, ShardMap};

use super::{
    merge::How,
    refusal::{self, refuse},
    splitter::{Owner, Splitter, part},
};
use crate::{
    command::{Command, Find, KeySpec, RequestPolicy, ResponsePolicy, key_indexes},
    resp::{Arguments, write},
};

pub(super) fn plan(
    splitter: &Splitter,
    command: &Command,
    (request, arguments): (Frame<'_>, &Arguments<'_>),
    shards: &dyn ShardMap,
) -> Plan {
    let keys = key_indexes(command.keys, arguments);
    if keys.is_empty() && !request.whole && command.keys.iter().any(KeySpec::reads_arguments) {
        return refuse(refusal::TOO_LARGE);
    }
    let mut owners = Vec::with_capacity(keys.len());
    for key in &keys {
        let Some(key) = arguments.get(*key) else {
            return refuse(refusal::TOO_LARGE);
        };
        match splitter.owner(command, &key, shards) {
            Some(owner) => owners.push(owner),
            None => return refuse(refusal::UNOWNED),
        }
    }
    let same = |of: fn(&Owner) -> (u32, u32)| {
        let mut all = owners.iter().map(of);
        all.next()
            .is_none_or(|first| all.all(|other| other == first))
    };
    let step = step(command);
    // Servers say what is wrong with a key that has no value.
    let whole = step.is_some_and(|step| (arguments.len() - 1).is_multiple_of(step));
    match step {
        _ if same(|owner| owner.unit) => one(owners),
        Some(_) if !whole => one(owners),
        Some(_) if !request.whole => refuse(refusal::TOO_LARGE),
        Some(step) => Division::new(owners).plan(command, (request, arguments), step),
        // Of one shard but not of one slot: a Redis Cluster refuses it in the very same words.
        None if same(|owner| (owner.place, 0)) => one(owners),
        None => refuse(refusal::CROSSSLOT),
    }
}

fn one(owners: Vec<Owner>) -> Plan {
    let first = owners.into_iter().next();
    Plan::One(first.map_or(Constraint::None, |owner| owner.constraint))
}

/// Of a command that can be divided, how many arguments a key brings with it, itself included.
fn step(command: &Command) -> Option<usize> {
    match (command.request, command.keys) {
        (
            RequestPolicy::MultiShard,
            [
                KeySpec {
                    find: Find::Range { step, .. },
                    ..
                },
            ],
        ) => Some(usize::from(*step).max(1)),
        _ => None,
    }
}

/// Which part each key goes to.
struct Division {
    constraints: Vec<Constraint>,
    owners: Vec<u32>,
}

impl Division {
    fn new(owners: Vec<Owner>) -> Self {
        let mut known = HashMap::new();
        let mut division = Self {
            constraints: Vec::new(),
            owners: Vec::with_capacity(owners.len()),
        };
        for owner in owners {
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
            let number = *known.entry(owner.unit).or_insert(next);
            if number == next {
                division.constraints.push(owner.constraint);
            }
            division.owners.push(number);
        }
        division
    }

    fn plan(
        self,
        command: &Command,
        (request, arguments): (Frame<'_>, &Arguments<'_>),
        step: usize,
    ) -> Plan {
        let mut bodies = vec![Body::default(); self.constraints.len()];
        let name = arguments.get(0).unwrap_or_default();
        let mut rest = arguments.from(1);
        for (item, owner) in (0..).zip(&self.owners) {
            let owner = usize::try_from(*owner).ok();
            let Some(body) = owner.and_then(|owner| bodies.get_mut(owner)) else {
                continue;
            };
            for argument in rest.by_ref().take(step) {
                write::bulk(&argument, &mut body.bytes);
                body.arguments += 1;
            }
            body.add(item);
        }
        let parts = bodies.into_iter().zip(self.constraints);
        Plan::Many {
            parts: parts
                .map(|(body, constraint)| Part {
                    items: body.items.clone(),
                    ..part(command, request, constraint, body.command(&name))
                })
                .collect(),
            merge: match command.response {
                ResponsePolicy::AggSum => How::Sum,
                ResponsePolicy::AllSucceeded => How::AllSucceeded,
                _ => How::Keyed(self.owners),
            }
            .seal(),
        }
    }
}

/// A part's arguments but for the command's name.
#[derive(Clone, Default)]
struct Body {
    bytes: Vec<u8>,
    arguments: usize,
    items: Vec<Range<u32>>,
}

impl Body {
    fn add(&mut self, item: u32) {
        match self.items.last_mut() {
            Some(last) if last.end == item => last.end = item + 1,
            _ => self.items.push(item..item + 1),
        }
    }

    fn command(&self, name: &[u8]) -> Box<[u8]> {
        let mut bytes = Vec::with_capacity(self.bytes.len() + name.len() + 32);
        write::array(1 + self.arguments, &mut bytes);
        write::bulk(name, &mut bytes);
        bytes.extend_from_slice(&self.bytes);
        bytes.into()
    }
}
