//! The end of an exchange: an answer of the proxy's own where there is no other, what it held given
//! back, what it came to counted.

use std::time::Duration;

use meltemi_codec::{Answers, LocalReply, Status};

use super::{
    Action, ConnectionId, Engine, ExchangeKey,
    client::Client,
    exchange::{End, Exchange},
    lost::Loss,
};
use crate::telemetry::{Answered, ResponseFlag};

impl Engine {
    /// Answers in the proxy's own words and ends the exchange, for each request that it stands for.
    pub(super) fn answer(&mut self, key: ExchangeKey, status: Status, message: &str) {
        let flag = ResponseFlag::from(status);
        self.each_of_run(key, |engine, one| {
            engine.answer_one(one, (status, flag), message);
        });
    }

    /// Answers one request, with a flag that says why.
    ///
    /// A client that is in the middle of an answer, or whose dialect has no words for it, cannot be told
    /// anything: its connection closes.
    pub(super) fn answer_one(
        &mut self,
        key: ExchangeKey,
        (status, flag): (Status, ResponseFlag),
        message: &str,
    ) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        if exchange.own.is_some() {
            return self.own_failed(key, status, message);
        }
        let client = exchange.client;
        let owed = exchange.answers != Answers::None && !exchange.answered;
        let mut end = End::local(flag);
        let mut told = self.take_back(key);
        if told && owed {
            let mut code = None;
            self.deliver(key, |codec, request, out| {
                let reply = LocalReply { status, message };
                code = codec.local_reply(request.id, request.memo, reply, out);
            });
            told = code.is_some();
            end.code = code.unwrap_or_default();
        }
        if !told {
            self.finish(key, end);
            return self.abandon_client(client);
        }
        if owed {
            self.answer_ends(key);
        }
        self.finish(key, end);
    }

    /// Forgets an exchange and settles what it held, for each request that it stands for.
    #[inline]
    pub(super) fn finish(&mut self, key: ExchangeKey, end: End) {
        match self.exchanges.get(key) {
            Some(exchange) if exchange.run.is_some() => {
                self.each_of_run(key, |engine, one| engine.finish_one(one, end));
            }
            _ => self.finish_one(key, end),
        }
    }

    #[inline]
    fn finish_one(&mut self, key: ExchangeKey, end: End) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let client_key = exchange.client;
        let client = self.clients.get(client_key);
        if exchange.is_entangled() || client.is_some_and(Client::has_large) {
            self.cut_request_short(key);
            self.large_is_over(client_key, key);
            self.drop_parts(key);
            self.drop_held(key);
            self.leave_server(key);
            self.drop_pin(key);
        } else if exchange.attempt.is_some() {
            self.leave_server(key);
        }
        self.forget(key, end);
    }

    /// Forgets an exchange that holds nothing any more, and counts it.
    #[inline(always)]
    pub(super) fn forget(&mut self, key: ExchangeKey, end: End) {
        let Some(mut exchange) = self.remove(key) else {
            return;
        };
        self.learn(&mut exchange, end);
        let duration = Duration::from_nanos(self.elapsed.saturating_sub(exchange.started));
        match &exchange.own {
            Some(own) => {
                self.buffered = self.buffered.saturating_sub(own.answer.len());
                self.copy_is_over(&exchange, end);
            }
            None => {
                let answered = Answered {
                    outcome: end.outcome,
                    code: end.code,
                    flag: end.flag,
                    duration,
                    requests: 1,
                    request_bytes: exchange.request_bytes,
                    response_bytes: exchange.response_bytes,
                };
                record(&exchange, self.clients.get(exchange.client), answered);
            }
        }
        if exchange.observed.is_some() {
            self.observed(&mut exchange, end, duration);
        }
        if exchange.log.is_some() {
            self.write_log(exchange, end);
        }
    }

    /// Takes an exchange out of wherever it is listed.
    #[inline(always)]
    fn remove(&mut self, key: ExchangeKey) -> Option<Exchange> {
        self.unlist(key);
        self.exchanges.remove(key)
    }

    /// The same but for where its key leads.
    #[inline(always)]
    pub(super) fn unlist(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        exchange.requests_over(1);
        if let Some(deadline) = exchange.deadline.take() {
            self.deadlines.leave(&mut self.timers, deadline);
        }
        if let Some(candidates) = exchange.candidates.take() {
            self.spare_candidates.give(candidates);
        }
        let (client_key, place) = (exchange.client, exchange.place);
        if let Some(repeat) = exchange.repeat.take() {
            let to = exchange.to.clone();
            if repeat.in_turn {
                self.leaves_turn(client_key);
            }
            self.drop_kept(repeat, to.as_deref());
        }
        if let Some(client) = self.clients.get_mut(client_key) {
            if !std::mem::replace(&mut client.answered, true) {
                self.answered.push(client_key);
            }
            let moved = client.flights.remove(place);
            if let Some(moved) = moved.and_then(|moved| self.exchanges.get_mut(moved)) {
                moved.place = place;
            }
        }
    }

    /// The exchange waits for another attempt instead of its current one.
    pub(super) fn abandon_attempt(&mut self, key: ExchangeKey) {
        let memo = self.exchanges.get(key).map(|it| it.memo.clone());
        self.leave_server(key);
        if let (Some(exchange), Some(memo)) = (self.exchanges.get_mut(key), memo) {
            exchange.memo = memo;
        }
    }

    /// The exchange no longer waits for its attempt; one that is unanswered stays as a tombstone where
    /// its answer could not be told from another's.
    #[inline(always)]
    fn leave_server(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let rival = exchange.repeat.as_mut().and_then(|it| it.rival.take());
        if let Some(rival) = rival {
            let current = exchange.attempt.replace(rival);
            let memo = exchange.memo.clone();
            self.leave_attempt(key);
            if let Some(exchange) = self.exchanges.get_mut(key) {
                exchange.attempt = current;
                exchange.memo = memo;
            }
        }
        self.leave_attempt(key);
    }

    #[inline(always)]
    fn leave_attempt(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(sent) = exchange.attempt.take() else {
            return;
        };
        exchange.attempt_over();
        if let Some(host) = self.tables.hosts.get_mut(sent.host) {
            host.active = host.active.saturating_sub(1);
            host.metrics.attempts_finished(1);
        }
        let Some(server) = self.servers.get_mut(sent.server) else {
            return;
        };
        if !std::mem::replace(&mut server.reading, true) {
            // It was paused for the sake of this exchange's client.
            self.actions
                .push_back(Action::Resume(ConnectionId::Server(sent.server)));
        }
        let Some(attempt) = server.attempts.get_mut(sent.attempt) else {
            return;
        };
        if server.in_order {
            attempt.memo = Some(Box::new(std::mem::take(&mut exchange.memo)));
        }
        if exchange.waits && server.owner.is_some() {
            return self.server_lost(sent.server, Loss::Cut);
        }
        self.forget_attempt(sent.server, sent.attempt);
    }
}

/// Counts what a client's requests came to.
#[inline(always)]
pub(super) fn record(exchange: &Exchange, client: Option<&Client>, answered: Answered) {
    let routed = exchange.to.as_ref().map(|to| &to.series);
    if let Some(series) = routed.or(client.map(|client| &client.unrouted)) {
        series.record(answered);
    }
    if let Some(client) = client {
        client.metrics.requests_finished(answered.requests);
    }
}
