//! Shards that a test knows the owner of every key of.

use meltemi_codec::{Constraint, Frame, Memo, Plan, Role, Scatter, ShardMap};
use meltemi_redis::cluster::{Splitter, slot};

/// Shards with one primary and one replica each: `node-0:6379`, `replica-0:6379`, ...
#[derive(Debug)]
pub(crate) struct Shards {
    names: Vec<(String, u32, Role)>,
    /// The first slots of all shards but the first; `None` where hashes decide.
    bounds: Option<Vec<u32>>,
}

impl Shards {
    /// Shards that own ranges of slots.
    pub(crate) fn slotted(mut bounds: Vec<u32>) -> Self {
        bounds.sort_unstable();
        Self {
            names: names(bounds.len() + 1),
            bounds: Some(bounds),
        }
    }

    /// Shards that keys are divided among by their hash.
    pub(crate) fn hashed(count: usize) -> Self {
        Self {
            names: names(count),
            bounds: None,
        }
    }

    /// No shard.
    pub(crate) fn unowned() -> Self {
        Self::hashed(0)
    }

    /// The same without replicas.
    pub(crate) fn primaries(mut self) -> Self {
        self.names.retain(|(.., role)| *role == Role::Primary);
        self
    }

    pub(crate) fn count(&self) -> usize {
        let primaries = self.names.iter();
        primaries
            .filter(|(.., role)| *role == Role::Primary)
            .count()
    }

    pub(crate) fn owner(&self, key: &[u8], tags: bool) -> usize {
        let place = self.place(key, &|key| slot::slot_and_hash(key, tags));
        place.unwrap() as usize
    }

    fn shard(&self, constraint: &Constraint) -> usize {
        match constraint {
            Constraint::Shard { slot, hash, .. } => {
                self.place(b"", &|_| (*slot, *hash)).unwrap() as usize
            }
            Constraint::Endpoint(address) => {
                let is = |(name, ..): &&(String, u32, Role)| **name == **address;
                self.names.iter().find(is).unwrap().1 as usize
            }
            other => panic!("{other:?} names no shard"),
        }
    }
}

fn names(shards: usize) -> Vec<(String, u32, Role)> {
    (0..shards as u32)
        .flat_map(|shard| {
            [
                (format!("node-{shard}:6379"), shard, Role::Primary),
                (format!("replica-{shard}:6379"), shard, Role::Replica),
            ]
        })
        .collect()
}

impl ShardMap for Shards {
    fn place(&self, key: &[u8], shard_key: &dyn Fn(&[u8]) -> (u32, u64)) -> Option<u32> {
        let (slot, hash) = shard_key(key);
        let count = self.count() as u64;
        match &self.bounds {
            Some(bounds) => Some(bounds.partition_point(|bound| *bound <= slot) as u32),
            None => Some(hash.checked_rem(count)? as u32),
        }
    }

    fn node(&self, n: usize) -> Option<(&str, u32, Role)> {
        let (name, shard, role) = self.names.get(n)?;
        Some((name, *shard, *role))
    }
}

/// Serves a request as the core does: plans it, has the parts executed, merges their answers.
pub(crate) fn answers(
    splitter: &Splitter,
    shards: &Shards,
    request: &[u8],
    mut execute: impl FnMut(usize, &[u8]) -> Vec<u8>,
) -> Result<Vec<u8>, &'static str> {
    let memo = Memo::default();
    let frame = |bytes| Frame {
        bytes,
        whole: true,
        memo: &memo,
    };
    match splitter.plan(frame(request), shards) {
        Plan::One(constraint) => Ok(execute(shards.shard(&constraint), request)),
        Plan::Refuse { message, .. } => Err(message),
        Plan::Many { parts, merge } => {
            let answers: Vec<Vec<u8>> = parts
                .iter()
                .map(|part| {
                    let shard = shards.shard(&part.request.constraint);
                    execute(shard, &part.bytes)
                })
                .collect();
            let frames: Vec<Frame<'_>> = answers.iter().map(|bytes| frame(bytes)).collect();
            let mut out = Vec::new();
            splitter.merge(&merge, &frames, &mut out);
            Ok(out)
        }
    }
}
