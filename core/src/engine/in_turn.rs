//! Requests of a client that keeps order, which are going to be sent again: in their order, or not at all.
//!
//! What a lost connection owed such a client is sent again from the first request on behind which all may
//! be. The others fail: where order counts nothing goes behind what followed it.

use std::collections::HashMap;
use std::num::NonZeroU64;

use meltemi_codec::Constraint;

use super::{
    ClientKey, Engine, ExchangeKey, Timer, exchange::Exchange, lost::unsent, outbox::Outbox,
    wire_ids::Attempt,
};
use crate::config::RetryOn;

/// So many requests of one client are sent again at a time: each is held against all others.
const MOST: usize = 1024;

impl Exchange {
    /// Whether it is going to be sent again, and keeps its turn.
    pub(super) fn is_in_turn(&self) -> bool {
        let repeat = self.repeat.as_ref();
        self.attempt.is_none() && repeat.is_some_and(|repeat| repeat.in_turn)
    }

    /// It is going to be sent again. `begun`: as one of the repetitions that its cluster may have.
    fn go_in_turn(&mut self, begun: bool) {
        let has_budget = self
            .to
            .as_ref()
            .is_some_and(|to| to.cluster.budget.is_some());
        if let Some(repeat) = &mut self.repeat {
            repeat.in_turn = true;
            repeat.counted |= begun && has_budget;
        }
    }

    fn pauses(&self) -> bool {
        let repeat = self.repeat.as_ref();
        repeat.is_some_and(|repeat| repeat.pause.is_some())
    }
}

impl Engine {
    /// Finds out which requests of a lost connection are sent again in turn. Those of which a byte has left
    /// are within their cluster's budget then.
    pub(super) fn choose_in_turn(&mut self, lost: &[&Attempt], outbox: &Outbox) {
        let mut room: HashMap<ClientKey, usize> = HashMap::new();
        for attempt in lost.iter().rev() {
            let Some(exchange) = self.exchanges.get(attempt.exchange) else {
                continue;
            };
            let client = exchange.client;
            let divided = matches!(exchange.constraint, Constraint::Shard { .. });
            let left = room.entry(client).or_insert(MOST);
            if *left == 0 || !self.keeps_turn(attempt.exchange) {
                continue;
            }
            let is_unsent = unsent(attempt, outbox).is_some();
            let goes = self.goes_in_turn(attempt.exchange, is_unsent);
            *left = match goes {
                true => *left - 1,
                // Whatever is before it would be followed by it, unless keys tell them apart.
                false if divided => *left,
                false => 0,
            };
            if let Some(exchange) = self.exchanges.get_mut(attempt.exchange).filter(|_| goes) {
                exchange.go_in_turn(!is_unsent);
            }
        }
    }

    /// Whether a request is sent again behind all that are before it, with those behind it that are.
    fn goes_in_turn(&self, key: ExchangeKey, is_unsent: bool) -> bool {
        match is_unsent {
            // It goes elsewhere without its route's asking for it.
            true => {
                let exchange = self.exchanges.get(key);
                exchange.is_some_and(|it| it.repeat.is_some())
                    && !self.is_for_nobody(key)
                    && !self.is_followed_out_of_turn(key)
                    && !self.was_passed(key)
            }
            false => self.may_retry(key, RetryOn::ResetBeforeBytes),
        }
    }

    /// Whether it is one of the requests of a client that keeps their order.
    pub(super) fn keeps_turn(&self, key: ExchangeKey) -> bool {
        let exchange = self.exchanges.get(key).filter(|it| it.own.is_none());
        let client = exchange.and_then(|exchange| self.clients.get(exchange.client));
        client.is_some_and(|client| client.keeps_order() && client.pin.is_none())
    }

    pub(super) fn is_in_turn(&self, key: ExchangeKey) -> bool {
        self.exchanges.get(key).is_some_and(Exchange::is_in_turn)
    }

    fn set_in_turn(&mut self, key: ExchangeKey, in_turn: bool) {
        let exchange = self.exchanges.get_mut(key);
        if let Some(repeat) = exchange.and_then(|exchange| exchange.repeat.as_mut()) {
            repeat.in_turn = in_turn;
        }
    }

    /// Whether another one of its client is sent again before it.
    pub(super) fn is_behind_another(&self, key: ExchangeKey) -> bool {
        let Some(exchange) = self.exchanges.get(key).filter(|it| it.is_in_turn()) else {
            return false;
        };
        let is_before = |other: &ExchangeKey| {
            let other = self.exchanges.get(*other);
            other.is_some_and(|other| other.is_in_turn() && other.turn < exchange.turn)
        };
        let client = self.clients.get(exchange.client);
        client.is_some_and(|client| client.flights.iter().any(is_before))
    }

    /// The pause before a request is sent again is over.
    pub(super) fn pause_over(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if let Some(repeat) = &mut exchange.repeat {
            repeat.pause = None;
        }
        match exchange.is_in_turn() {
            true => {
                let client = exchange.client;
                self.send_in_turn(client);
            }
            false => self.send_again(key),
        }
    }

    /// Sends what is to be sent again of a client, up to what has to pause first.
    pub(super) fn send_in_turn(&mut self, client: ClientKey) {
        for key in self.all_in_turn(client) {
            if self.exchanges.get(key).is_some_and(Exchange::pauses) {
                return;
            }
            self.send_now(key);
            if self.is_in_turn(key) {
                return;
            }
        }
    }

    /// Sends a request again that nothing has to go before. One that finds nobody may have to pause.
    pub(super) fn send_now(&mut self, key: ExchangeKey) {
        self.send_again(key);
        let pauses = |it: &Exchange| it.attempt.is_none() && it.pauses();
        let pauses = self.exchanges.get(key).is_some_and(pauses);
        self.set_in_turn(key, pauses);
    }

    /// One that was to be sent again is over: those behind it do not wait for it.
    pub(super) fn leaves_turn(&mut self, client: ClientKey) {
        self.timers.set(self.now, Timer::InTurn(client));
    }

    fn all_in_turn(&self, client: ClientKey) -> Vec<ExchangeKey> {
        let flights = self.clients.get(client).map(|client| client.flights.iter());
        let turn = |key: &ExchangeKey| -> Option<(Option<NonZeroU64>, ExchangeKey)> {
            let exchange = self.exchanges.get(*key)?;
            exchange.is_in_turn().then_some((exchange.turn, *key))
        };
        let mut all: Vec<_> = flights.into_iter().flatten().filter_map(turn).collect();
        all.sort_unstable_by_key(|(turn, _)| *turn);
        all.into_iter().map(|(_, key)| key).collect()
    }
}
