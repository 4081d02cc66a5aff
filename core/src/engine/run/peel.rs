//! A request leaves its run: it has an exchange, an attempt and a turn of its own from then on.

use std::time::Duration;

use meltemi_codec::Request;

use super::super::{
    Engine, ExchangeKey, ServerKey, Timer,
    exchange::{Exchange, Sent},
    repeat::Repeat,
};
use super::Rider;

impl Exchange {
    /// What it is to one of its requests.
    fn peeled(&self, rider: Rider) -> Self {
        let request = Request {
            constraint: self.constraint.clone(),
            session: self.session.clone(),
            idempotent: self.idempotent,
            ..Request::unary(rider.id, rider.memo)
        };
        Self {
            route: self.route.clone(),
            to: self.to.clone(),
            chosen: self.chosen,
            attempt: self.attempt,
            request_bytes: u64::from(rider.received),
            counted: self.counted,
            ..Self::new(self.client, request, self.started)
        }
    }
}

impl Engine {
    /// Takes the oldest request out of a run. Returns the exchange that it has from now on: the run's
    /// own where it was the last one. `None`: it is no run.
    pub(in crate::engine) fn peel(&mut self, key: ExchangeKey) -> Option<ExchangeKey> {
        let exchange = self.exchanges.get_mut(key)?;
        let (run, sent) = (exchange.run.as_mut()?, exchange.attempt?);
        let client = self.clients.get_mut(exchange.client)?;
        let server = self.servers.get_mut(sent.server)?;
        let rider = run.leave()?;
        let left = run.left();
        let (own, rest) = match (&mut client.lineup, exchange.turn) {
            (Some(lineup), Some(turn)) => lineup.set_apart(turn, left),
            _ => (None, None),
        };
        if left == 0 {
            exchange.turn = own;
            exchange.id = rider.id;
            exchange.memo = rider.memo;
            if let Some(kept) = &mut exchange.repeat {
                self.buffered -= kept.is_last();
            }
            let mut run = exchange.run.take()?;
            run.clear();
            self.spare_runs.give(run);
            return Some(key);
        }
        let (id, size, received) = (rider.id, u64::from(rider.sent), rider.received as usize);
        let peeled = Exchange {
            turn: own,
            ..exchange.peeled(rider)
        };
        let deadline = exchange.deadline.and(peeled.route.as_ref()?.timeout);
        let due = deadline.map(|limit| self.origin + Duration::from_nanos(peeled.started) + limit);
        exchange.turn = rest;
        exchange.request_bytes -= peeled.request_bytes;
        let kept = exchange.repeat.as_mut().map(|all| {
            let mut request = self.spare.take();
            request.extend_from_slice(all.leaves(received));
            self.buffered += request.len();
            self.spare_repeats.put(Repeat::of(request))
        });
        let try_limit = exchange.repeat.as_ref().and_then(|it| it.limit);
        let try_limit = try_limit
            .and(exchange.retry_policy())
            .and_then(|it| it.per_try_timeout);
        let try_due =
            try_limit.map(|limit| self.origin + Duration::from_nanos(peeled.started) + limit);
        let peeled = self.exchanges.insert(peeled);
        let attempt = server.attempts.split(sent.attempt, peeled, size)?;
        client.flights.riders -= 1;
        self.riders -= 1;
        let place = client.flights.add(id, peeled);
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.attempt = Some(Sent { attempt, ..sent });
        }
        if let Some(exchange) = self.exchanges.get_mut(peeled) {
            exchange.place = place;
            exchange.deadline = due.map(|due| self.timers.set(due, Timer::Deadline(peeled)));
            exchange.repeat = kept;
            if let Some(kept) = &mut exchange.repeat {
                kept.limit = try_due.map(|due| self.timers.set(due, Timer::Try(peeled)));
            }
        }
        Some(peeled)
    }

    /// Does something with each request of a run, or with the only request of what is none.
    pub(in crate::engine) fn each_of_run(
        &mut self,
        key: ExchangeKey,
        mut act: impl FnMut(&mut Self, ExchangeKey),
    ) {
        while let Some(one) = self.peel(key) {
            if one == key {
                break;
            }
            act(self, one);
        }
        act(self, key);
    }

    /// Takes all requests out of the runs on a connection.
    pub(in crate::engine) fn dissolve_runs(&mut self, key: ServerKey) {
        let Some(server) = self.servers.get(key) else {
            return;
        };
        let all = server.attempts.exchanges();
        let is_run = |it: &ExchangeKey| self.exchanges.get(*it).is_some_and(|it| it.run.is_some());
        for run in all.filter(is_run).collect::<Vec<_>>() {
            self.each_of_run(run, |_, _| {});
        }
    }
}
