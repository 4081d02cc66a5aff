//! Commands that concern several servers: a `get` of many keys, `flush_all`, `stats`.

use meltemi_codec::{
    Constraint, Frame, Merge, Outcome, OwnRequest, Plan, Request, Scatter, ShardMap, Status,
};

use crate::{
    Memcached,
    command::{Class, Command, Front},
    downstream::shard,
    key,
    reply::{self, values},
};

impl Scatter for Memcached {
    fn plan(&self, request: Frame<'_>, shards: &dyn ShardMap) -> Plan {
        let Ok(Front::Command(command)) = Command::front(request.bytes) else {
            return refuse(Status::Malformed, "bad command line format");
        };
        match command.class {
            Class::Get | Class::GetAndTouch => by_key(&command, shards),
            Class::FlushAll => everywhere(&command, request, shards),
            _ if shards.node(1).is_some() => refuse(
                Status::Unsupported,
                "the numbers of several servers are not one; ask each of them",
            ),
            _ => Plan::One(Constraint::None),
        }
    }

    fn merge(&self, merge: &Merge, parts: &[Frame<'_>], out: &mut Vec<u8>) -> Outcome {
        // One server that does not answer is told: a client that took its keys for missing would
        // fetch and store them all anew.
        let failed = parts.iter().find(|part| {
            let (_, last) = values(part.bytes);
            reply::is_error(part.bytes.get(last).unwrap_or_default())
        });
        if let Some(part) = failed {
            let (_, last) = values(part.bytes);
            let error = part.bytes.get(last).unwrap_or_default();
            out.extend_from_slice(error);
            return reply::outcome(error);
        }
        if merge.0.is_empty() {
            // All did the same.
            let first = parts.first().map_or(&b"OK\r\n"[..], |part| part.bytes);
            out.extend_from_slice(first);
            return reply::outcome(first);
        }
        in_order_of_keys(&merge.0, parts, out);
        Outcome::Ok { code: 0 }
    }
}

fn refuse(status: Status, message: &'static str) -> Plan {
    Plan::Refuse { status, message }
}

/// One part for each place that owns some of the keys.
fn by_key(command: &Command<'_>, shards: &dyn ShardMap) -> Plan {
    let mut places: Vec<u32> = Vec::new();
    let mut parts: Vec<OwnRequest> = Vec::new();
    let mut merge = Vec::new();
    for key in command.keys() {
        let Some(place) = shards.place(key, &|key| (0, key::hash(key))) else {
            return refuse(Status::NoHealthyUpstream, "nobody owns one of the keys");
        };
        let known = places.iter().position(|known| *known == place);
        let index = known.unwrap_or(parts.len());
        if known.is_none() {
            places.push(place);
            parts.push(part(command.before_keys(), shard(key::hash(key))));
        }
        if let Some(part) = parts.get_mut(index) {
            add(part, key);
        }
        note(&mut merge, index, key);
    }
    if let [one] = &*parts {
        return Plan::One(one.request.constraint.clone());
    }
    for part in &mut parts {
        part.bytes = ended(&part.bytes);
    }
    Plan::Many {
        parts,
        merge: Merge(merge.into()),
    }
}

/// A command without its keys.
fn part(beginning: &[u8], constraint: Constraint) -> OwnRequest {
    let beginning = beginning.strip_suffix(b" ").unwrap_or(beginning);
    OwnRequest {
        request: Request {
            constraint,
            idempotent: beginning.starts_with(b"get"),
            ..Request::unary(0, meltemi_codec::Memo::default())
        },
        bytes: beginning.into(),
    }
}

fn add(part: &mut OwnRequest, key: &[u8]) {
    part.bytes = [&part.bytes, &b" "[..], key].concat().into();
}

fn ended(line: &[u8]) -> Box<[u8]> {
    [line, b"\r\n"].concat().into()
}

/// For `merge`: the part that a key went to, and the key.
fn note(merge: &mut Vec<u8>, part: usize, key: &[u8]) {
    let part = u32::try_from(part).unwrap_or(u32::MAX);
    merge.extend_from_slice(&part.to_be_bytes());
    merge.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    merge.extend_from_slice(key);
}

/// The same command to every node.
fn everywhere(command: &Command<'_>, request: Frame<'_>, shards: &dyn ShardMap) -> Plan {
    let (at, len) = command.quiet;
    let mut bytes = request.bytes.to_vec();
    if at + len <= bytes.len() {
        bytes.drain(at..at + len);
    }
    let to = |(address, _, _): (&str, _, _)| {
        let constraint = Constraint::Endpoint(address.into());
        let mut part = part(&bytes, constraint);
        part.bytes = bytes.clone().into();
        part
    };
    let parts: Vec<_> = (0..).map_while(|n| shards.node(n)).map(to).collect();
    if parts.len() < 2 {
        return Plan::One(Constraint::None);
    }
    Plan::Many {
        parts,
        merge: Merge(Box::default()),
    }
}

/// The values of all parts, in the order in which the client named their keys.
fn in_order_of_keys(notes: &[u8], parts: &[Frame<'_>], out: &mut Vec<u8>) {
    let mut found: Vec<_> = parts
        .iter()
        .map(|part| values(part.bytes).0.into_iter().peekable())
        .collect();
    let mut notes = notes;
    while let Some((&[a, b, c, d, len], rest)) = notes.split_first_chunk() {
        let (key, rest) = rest.split_at_checked(len.into()).unwrap_or_default();
        notes = rest;
        let index = u32::from_be_bytes([a, b, c, d]) as usize;
        // Within a part, values come in the order of its keys, and misses are left out.
        let value = found
            .get_mut(index)
            .and_then(|values| values.next_if(|value| value.key == key));
        if let (Some(value), Some(part)) = (value, parts.get(index)) {
            out.extend_from_slice(part.bytes.get(value.at).unwrap_or_default());
        }
    }
    out.extend_from_slice(b"END\r\n");
}

#[cfg(test)]
mod tests;
