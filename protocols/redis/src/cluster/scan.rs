//! `SCAN` over all shards, one after the other, with one cursor.
//!
//! The cursor that a client has is `primary << 48 | cursor`: which primary, in the order of
//! [`ShardMap::node`], and where that one was. A server's own cursors fit into 48 bits: they are
//! less than its number of hash buckets, times 16384 where (from Redis 7.4 on) each slot has a
//! table of its own. Below 2^63, so that clients with signed numbers can keep it.

use meltemi_codec::{Constraint, Frame, Plan, ShardMap};

use super::{
    merge::How,
    refusal::{self, refuse},
    splitter::{nodes, part},
};
use crate::resp::{Arguments, Reply, number, write};

/// The bits of a server's cursor.
const BITS: u32 = 48;
/// Primaries that a cursor has room for.
const MOST: u64 = 1 << (63 - BITS);

pub(super) fn plan(request: Frame<'_>, arguments: &Arguments<'_>, shards: &dyn ShardMap) -> Plan {
    let primaries: Vec<&str> = nodes(shards, false).map(|(address, ..)| address).collect();
    let cursor = arguments.text(1).and_then(parse);
    let (first, cursor) = match (primaries.as_slice(), cursor) {
        ([], _) => return refuse(refusal::UNOWNED),
        // With one shard there is nothing to remember, and what is no cursor a server judges.
        ([first], _) | ([first, ..], None) => {
            return Plan::One(Constraint::Endpoint((*first).into()));
        }
        ([first, ..], Some(cursor)) => (first, cursor),
    };
    let shard = cursor >> BITS;
    let Some(address) = usize::try_from(shard).ok().and_then(|at| primaries.get(at)) else {
        return refuse(refusal::CURSOR);
    };
    if !request.whole {
        // No SCAN is that large; the server says what is wrong with it.
        return Plan::One(Constraint::Endpoint((*first).into()));
    }
    let next = (shard + 1 < (primaries.len() as u64).min(MOST)).then_some(shard + 1);
    let bytes = with_cursor(arguments, cursor & ((1 << BITS) - 1));
    Plan::Many {
        parts: vec![part(true, Constraint::Endpoint((*address).into()), bytes)],
        merge: How::Scan { shard, next }.seal(),
    }
}

fn with_cursor(arguments: &Arguments<'_>, cursor: u64) -> Box<[u8]> {
    let mut bytes = Vec::new();
    write::array(arguments.len(), &mut bytes);
    for (index, argument) in arguments.from(0).enumerate() {
        match index {
            1 => write::bulk(cursor.to_string().as_bytes(), &mut bytes),
            _ => write::bulk(&argument, &mut bytes),
        }
    }
    bytes.into()
}

/// Writes the answer with the cursor that leads on. False where the answer is no answer to `SCAN`.
pub(super) fn merge(shard: u64, next: Option<u64>, answer: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(mut elements) = Reply::parse(answer).and_then(|reply| reply.elements()) else {
        return false;
    };
    let cursor = elements.reply().and_then(|reply| parse(reply.text()?));
    let (Some(cursor), Some(keys)) = (cursor, elements.next()) else {
        return false;
    };
    if cursor >> BITS != 0 {
        return false;
    }
    let cursor = match (cursor, next) {
        (0, None) => 0,
        (0, Some(next)) => next << BITS,
        (cursor, _) => shard << BITS | cursor,
    };
    write::array(2, out);
    write::bulk(cursor.to_string().as_bytes(), out);
    out.extend_from_slice(keys);
    true
}

fn parse(text: &[u8]) -> Option<u64> {
    u64::try_from(number::integer(text)?).ok()
}
