//! A simulated server: slow, confused or gone, but never the source of a mix-up.

use std::{collections::VecDeque, time::Duration};

use meltemi_core::{config::Address, engine::ConnectionId};
use rand::{Rng, rngs::SmallRng};

use crate::wire::{Dialect, Seen};

/// How a server behaves in this schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// Percent of connections that are refused.
    pub(crate) refuses: u32,
    /// Percent of messages after which the connection breaks.
    pub(crate) breaks: u32,
    /// Percent of requests that are never answered.
    pub(crate) forgets: u32,
    /// Percent of answers that are sent twice or under an unknown id (by id only).
    pub(crate) repeats: u32,
    /// The longest time to an answer, in milliseconds.
    pub(crate) slowest: u64,
    /// Percent of answers that are large.
    pub(crate) large: u32,
    /// Percent of messages after which it says that it leaves.
    pub(crate) leaves: u32,
}

impl Manners {
    /// Those of servers that do their best, if they are calm.
    pub(crate) fn drawn(random: &mut SmallRng, calm: bool) -> Self {
        let mut fault = |most: u32| match calm {
            true => 0,
            false => random.random_range(0..=most),
        };
        Self {
            refuses: fault(60),
            breaks: fault(8),
            forgets: fault(10),
            repeats: fault(20),
            leaves: fault(5),
            large: fault(15),
            slowest: u64::from(fault(120)),
        }
    }
}

/// A server's end of a connection.
pub(crate) struct ServerConnection {
    pub(crate) id: ConnectionId,
    pub(crate) address: Address,
    dialect: Dialect,
    from_engine: Vec<u8>,
    /// Bytes that it wrote and the engine has not read.
    pub(crate) to_engine: VecDeque<u8>,
    /// Answers to come, by when.
    pub(crate) answers: Vec<(Duration, Vec<u8>)>,
    pub(crate) broken: bool,
    pub(crate) frozen: bool,
}

impl ServerConnection {
    pub(crate) fn new(id: ConnectionId, address: Address, dialect: Dialect) -> Self {
        Self {
            id,
            address,
            dialect,
            from_engine: Vec::new(),
            to_engine: VecDeque::new(),
            answers: Vec::new(),
            broken: false,
            frozen: false,
        }
    }

    /// Reads what the engine sent; returns the nonces of the requests that are whole.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        now: Duration,
        manners: Manners,
        random: &mut SmallRng,
    ) -> Vec<u64> {
        self.from_engine.extend_from_slice(bytes);
        let mut arrived = Vec::new();
        while let Some((seen, size)) = self.dialect.read(&self.from_engine) {
            self.from_engine.drain(..size);
            match seen {
                Seen::Request { id, nonce, one_way } => {
                    arrived.push(nonce);
                    if !one_way {
                        self.schedule_answer((id, nonce), now, manners, random);
                    }
                }
                Seen::Ping { id } => {
                    let at = self.not_before(now);
                    self.answers.push((at, self.dialect.pong(id)));
                }
                Seen::Answer { .. } | Seen::Aside => {}
            }
            if random.random_ratio(manners.leaves, 100) {
                let goodbye = self.dialect.go_away(random.random());
                let at = self.not_before(now);
                self.answers.push((at, goodbye));
            }
            if random.random_ratio(manners.breaks, 100) {
                self.broken = true;
            }
        }
        arrived
    }

    fn schedule_answer(
        &mut self,
        (id, nonce): (u64, u64),
        now: Duration,
        manners: Manners,
        random: &mut SmallRng,
    ) {
        // A server that is in order cannot answer the next request before this one.
        if self.dialect == Dialect::ById && random.random_ratio(manners.forgets, 100) {
            return;
        }
        let padding = match random.random_ratio(manners.large, 100) {
            true => random.random_range(200..20_000),
            false => random.random_range(0..64),
        };
        let status = match random.random_range(0..10) {
            0 => 1,
            1 => 2,
            _ => 0,
        };
        let answer = self.dialect.answer(id, nonce, status, padding);
        let delay = Duration::from_millis(random.random_range(0..=manners.slowest));
        let at = match self.dialect {
            Dialect::ById => now + delay,
            Dialect::InOrder => self.not_before(now) + delay,
        };
        if self.dialect == Dialect::ById && random.random_ratio(manners.repeats, 100) {
            let other = if random.random() { id } else { random.random() };
            let again = self.dialect.answer(other, nonce, status, 3);
            self.answers.push((at + delay, again));
        }
        self.answers.push((at, answer));
    }

    /// Nothing overtakes what is already on its way.
    fn not_before(&self, now: Duration) -> Duration {
        self.answers
            .iter()
            .map(|(at, _)| *at)
            .max()
            .unwrap_or(now)
            .max(now)
    }

    /// Writes the answers that are due.
    pub(crate) fn speak(&mut self, now: Duration) {
        // Stable, so that equal times keep the order of an in-order server.
        self.answers.sort_by_key(|(at, _)| *at);
        while self.answers.first().is_some_and(|(at, _)| *at <= now) {
            let (_, bytes) = self.answers.remove(0);
            self.to_engine.extend(bytes);
        }
    }
}
