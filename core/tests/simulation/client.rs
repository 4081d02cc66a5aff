//! A simulated client: what it asked, and what it has a right to see.

use std::collections::{HashMap, VecDeque};

use meltemi_core::{config::Address, engine::ConnectionId};

use crate::wire::{Dialect, Seen, key_of};

/// A client's end of a connection.
pub(crate) struct Client {
    pub(crate) id: ConnectionId,
    dialect: Dialect,
    /// Bytes that it wrote and the engine has not read.
    pub(crate) to_engine: VecDeque<u8>,
    /// Bytes that it has read so far and could not use yet.
    from_engine: Vec<u8>,
    /// Unanswered requests: nonce by id.
    owed: HashMap<u64, u64>,
    /// The same in order.
    owed_in_order: VecDeque<u64>,
    one_way: Vec<u64>,
    next_id: u64,
    /// Where each request arrived the last time, and as which of all arrivals.
    pub(crate) arrived: HashMap<u64, (Address, u64)>,
    /// The last arrival at each server of those that it has answered, by their key where that decides the server.
    in_order: HashMap<(Address, String), u64>,
    /// Requests of different keys are nothing to each other.
    by_key: bool,
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    /// It closed its sending side.
    pub(crate) ended: bool,
    /// The engine closed the connection.
    pub(crate) closed: bool,
    /// It reads nothing for now.
    pub(crate) frozen: bool,
}

impl Client {
    pub(crate) fn new(id: ConnectionId, dialect: Dialect, first_id: u64, by_key: bool) -> Self {
        Self {
            id,
            dialect,
            to_engine: VecDeque::new(),
            from_engine: Vec::new(),
            owed: HashMap::new(),
            owed_in_order: VecDeque::new(),
            one_way: Vec::new(),
            next_id: first_id,
            arrived: HashMap::new(),
            in_order: HashMap::new(),
            by_key,
            asked: 0,
            answered: 0,
            ended: false,
            closed: false,
            frozen: false,
        }
    }

    /// Asks something; the nonce is unique in the schedule.
    pub(crate) fn ask(&mut self, nonce: u64, one_way: bool, padding: usize) {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.to_engine
            .extend(self.dialect.request(id, nonce, one_way, padding));
        if one_way {
            self.one_way.push(nonce);
            return;
        }
        self.asked += 1;
        match self.dialect {
            Dialect::ById => {
                self.owed.insert(id, nonce);
            }
            Dialect::InOrder => self.owed_in_order.push_back(nonce),
        }
    }

    /// Reads what the engine sent. Each answer must be one that is owed here, under its own id or in
    /// its own turn.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.from_engine.extend_from_slice(bytes);
        while let Some((seen, size)) = self.dialect.read(&self.from_engine) {
            self.from_engine.drain(..size);
            match seen {
                Seen::Answer { id, nonce } => self.answer(id, nonce),
                Seen::Request { .. } => panic!("a client was sent a request"),
                Seen::Ping { .. } | Seen::Aside => {}
            }
        }
    }

    fn answer(&mut self, id: u64, nonce: Option<u64>) {
        let asked = match self.dialect {
            Dialect::ById => self
                .owed
                .remove(&id)
                .unwrap_or_else(|| panic!("answer to {id}, which is not owed (again?)")),
            Dialect::InOrder => self.owed_in_order.pop_front().expect("an answer too many"),
        };
        if let Some(nonce) = nonce {
            assert_eq!(nonce, asked, "somebody else's answer, or out of order");
            if self.dialect == Dialect::InOrder {
                self.check_order(nonce);
            }
        }
        self.answered += 1;
    }

    /// Whatever was sent again, of the requests that a server has answered each arrived there last behind
    /// those before it. (Not so with those that the proxy has answered itself, a timeout: these no
    /// longer hold others back, and late answers to them are swallowed.)
    fn check_order(&mut self, nonce: u64) {
        let (address, at) = &self.arrived[&nonce];
        let kin = |nonce: u64| match self.by_key {
            true => key_of(nonce),
            false => String::new(),
        };
        let before = self.in_order.insert((address.clone(), kin(nonce)), *at);
        assert!(before < Some(*at), "request {nonce} overtook another");
        let later = self.one_way.iter().filter(|it| **it > nonce);
        let mut later = later.filter(|it| kin(**it) == kin(nonce));
        let overtakes = |later: &u64| {
            let arrived = self.arrived.get(later);
            arrived.is_some_and(|(of, then)| of == address && then < at)
        };
        assert!(!later.any(overtakes), "request {nonce} was overtaken");
    }

    /// Nothing is owed any more, or nothing can be.
    pub(crate) fn is_settled(&self) -> bool {
        self.closed || (self.owed.is_empty() && self.owed_in_order.is_empty())
    }

    /// The engine closed the connection: a message must not end in the middle unless it was cut.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.to_engine.clear();
    }
}
