//! Requests that a lost connection owed to a client whose requests keep their order: several are sent again in
//! their order, or none that another has to follow.

use std::num::NonZeroU64;
use std::time::Duration;

use super::{
    ClientKey, Engine, ExchangeKey, Timer, exchange::Exchange, outbox::Outbox, wire_ids::Attempt,
};
use crate::config::RetryOn;

/// Who has to be sent behind another looks again after this time whether that one is still there.
const BEHIND: Duration = Duration::from_millis(5);

impl Exchange {
    /// Whether it is going to be sent again, in its turn.
    pub(super) fn is_to_be_repeated(&self) -> bool {
        let repeat = self.repeat.as_ref();
        self.attempt.is_none() && repeat.is_some_and(|repeat| repeat.in_turn)
    }
}

impl Engine {
    /// Finds out which requests of a lost connection are sent again, from the last one on: each may be
    /// if all behind it are.
    pub(super) fn choose_repeated(&mut self, lost: &[&Attempt], outbox: &Outbox) {
        for attempt in lost.iter().rev() {
            let key = attempt.exchange;
            if self.keeps_turn(key) && self.is_to_be_sent_again(key, attempt, outbox) {
                self.set_in_turn(key, true);
            }
        }
    }

    fn keeps_turn(&self, key: ExchangeKey) -> bool {
        let exchange = self.exchanges.get(key).filter(|it| it.own.is_none());
        let client = exchange.and_then(|exchange| self.clients.get(exchange.client));
        client.is_some_and(|client| client.keeps_order() && client.pin.is_none())
    }

    fn is_to_be_sent_again(&self, key: ExchangeKey, attempt: &Attempt, outbox: &Outbox) -> bool {
        match outbox.has_all_of(attempt) {
            // It will be, without its route's asking for it.
            true => self.is_kept(key) && !self.is_followed(key) && !self.is_for_nobody(key),
            false => self.may_retry(key, RetryOn::ResetBeforeBytes),
        }
    }

    pub(super) fn set_in_turn(&mut self, key: ExchangeKey, in_turn: bool) {
        let exchange = self.exchanges.get_mut(key);
        if let Some(repeat) = exchange.and_then(|exchange| exchange.repeat.as_mut()) {
            repeat.in_turn = in_turn;
        }
    }

    /// The pause before a request is sent again is over: it goes, and those behind it that only wait for
    /// their turn.
    pub(super) fn pause_over(&mut self, key: ExchangeKey) {
        let exchange = self.exchanges.get(key);
        let Some(client) = exchange
            .filter(|it| it.is_to_be_repeated())
            .map(|it| it.client)
        else {
            return self.send_again(key);
        };
        let all = self.in_turn(client);
        if all.first() != Some(&key) {
            self.wait_for_turn(key);
            return;
        }
        for key in all {
            self.set_in_turn(key, false);
            self.send_again(key);
            let exchange = self.exchanges.get(key);
            if exchange.is_some_and(|exchange| exchange.attempt.is_none()) {
                // It has to be sent later still, and those behind it after it.
                break;
            }
        }
    }

    /// Whether another has to be sent again before it.
    pub(super) fn is_behind_repeated(&self, key: ExchangeKey) -> bool {
        let Some(exchange) = self.exchanges.get(key) else {
            return false;
        };
        exchange.is_to_be_repeated() && self.in_turn(exchange.client).first() != Some(&key)
    }

    pub(super) fn wait_for_turn(&mut self, key: ExchangeKey) {
        self.timers.set(self.now + BEHIND, Timer::Again(key));
    }

    /// The requests of a client that are going to be sent again, in their order.
    fn in_turn(&self, client: ClientKey) -> Vec<ExchangeKey> {
        let flights = self.clients.get(client).map(|client| client.flights.iter());
        let turn = |key: &ExchangeKey| -> Option<(Option<NonZeroU64>, ExchangeKey)> {
            let exchange = self.exchanges.get(*key)?;
            exchange.is_to_be_repeated().then_some((exchange.turn, *key))
        };
        let mut all: Vec<_> = flights.into_iter().flatten().filter_map(turn).collect();
        all.sort_unstable_by_key(|(turn, _)| *turn);
        all.into_iter().map(|(_, key)| key).collect()
    }
}
