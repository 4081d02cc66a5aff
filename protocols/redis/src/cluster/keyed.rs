//! Commands with keys: to the shard that owns them, or a part to each.

use std::{collections::HashMap, ops::Range};

use meltemi_codec::{Constraint, Frame, Part, Plan, ShardMap};

use super::{
    merge::How,
    refusal::{self, refuse},
    splitter::{Splitter, Unit, part},
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
    let read = command.keys.iter().any(KeySpec::reads_arguments);
    match keys.first() {
        None if read && !request.whole => return refuse(refusal::TOO_LARGE),
        None => return Plan::One(Constraint::None),
        Some(_) => {}
    }
    let mut places = Vec::with_capacity(keys.len());
    for key in &keys {
        let Some(key) = arguments.get(*key) else {
            return refuse(refusal::TOO_LARGE);
        };
        let constraint = splitter.shard(command, &key);
        let Constraint::Shard { slot, hash, .. } = constraint else {
            return refuse(refusal::UNOWNED);
        };
        let Some(place) = shards.place(&key, slot, hash) else {
            return refuse(refusal::UNOWNED);
        };
        places.push(Place {
            place,
            slot,
            constraint,
        });
    }
    let unit = |place: &Place| match splitter.unit {
        Unit::Slot => (place.place, place.slot),
        Unit::Shard => (place.place, 0),
    };
    let one = |places: Vec<Place>| {
        let first = places.into_iter().next();
        Plan::One(first.map_or(Constraint::None, |place| place.constraint))
    };
    let same = |of: &dyn Fn(&Place) -> (u32, u32)| {
        places.windows(2).all(|pair| match pair {
            [a, b] => of(a) == of(b),
            _ => true,
        })
    };
    let divided = command.request == RequestPolicy::MultiShard;
    match divided.then(|| step(command)).flatten() {
        // Servers say what is wrong with a key that has no value.
        Some(step) if !(arguments.len() - 1).is_multiple_of(step) => one(places),
        _ if same(&unit) => one(places),
        Some(_) if !request.whole => refuse(refusal::TOO_LARGE),
        Some(step) => {
            let division = Division::new(&places, unit);
            division.plan(command, (request, arguments), step)
        }
        // Of one shard but not of one slot: a Redis Cluster refuses it in these very words.
        None if same(&|place| (place.place, 0)) => one(places),
        None => refuse(refusal::CROSSSLOT),
    }
}

struct Place {
    place: u32,
    slot: u32,
    constraint: Constraint,
}

/// How many arguments a key of a command that can be divided brings with it, itself included.
fn step(command: &Command) -> Option<usize> {
    match command.keys {
        [
            KeySpec {
                find: Find::Range { step, .. },
                ..
            },
        ] => Some(usize::from(*step).max(1)),
        _ => None,
    }
}

/// Which part each key goes to.
struct Division {
    constraints: Vec<Constraint>,
    owners: Vec<u32>,
}

impl Division {
    fn new(places: &[Place], unit: impl Fn(&Place) -> (u32, u32)) -> Self {
        let mut known = HashMap::new();
        let mut division = Self {
            constraints: Vec::new(),
            owners: Vec::with_capacity(places.len()),
        };
        for place in places {
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
            let owner = *known.entry(unit(place)).or_insert(next);
            if owner == next {
                division.constraints.push(place.constraint.clone());
            }
            division.owners.push(owner);
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
            let body = usize::try_from(*owner).ok();
            let Some(body) = body.and_then(|owner| bodies.get_mut(owner)) else {
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
