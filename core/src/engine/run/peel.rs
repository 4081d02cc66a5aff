//! A request leaves its run: it has an exchange, an attempt and a turn of its own from then on.

use std::time::Duration;

use meltemi_codec::Request;

use super::super::{
    Engine, ExchangeKey, ServerKey, Timer,
    exchange::{Exchange, Sent},
    repeat::Repeat,
    wire_ids::{AttemptKey, Attempts},
};
use super::{Ride, Rider, Run};

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
            stated: self.stated,
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
        let rider = self.run_of(key)?.leave()?;
        self.take_out(key, rider)
    }

    /// The same of the one at this place, where answers come in any order.
    pub(in crate::engine) fn peel_from(
        &mut self,
        key: ExchangeKey,
        place: u32,
    ) -> Option<ExchangeKey> {
        let rider = self.run_of(key)?.leave_from(place as usize)?;
        self.take_out(key, rider)
    }

    /// The run of an exchange, if those are there whom its requests concern.
    fn run_of(&mut self, key: ExchangeKey) -> Option<&mut Run> {
        let exchange = self.exchanges.get_mut(key)?;
        self.clients.get(exchange.client)?;
        self.servers.get(exchange.attempt?.server)?;
        exchange.run.as_deref_mut()
    }

    fn take_out(&mut self, key: ExchangeKey, rider: Rider) -> Option<ExchangeKey> {
        let exchange = self.exchanges.get_mut(key)?;
        let (run, sent) = (exchange.run.as_ref()?, exchange.attempt?);
        let client = self.clients.get_mut(exchange.client)?;
        let server = self.servers.get_mut(sent.server)?;
        let left = run.left();
        let (own, rest) = match (&mut client.lineup, exchange.turn) {
            (Some(lineup), Some(turn)) => lineup.set_apart(turn, left),
            _ => (None, None),
        };
        if left == 0 {
            exchange.turn = own;
            return self.stay_alone(key, rider);
        }
        let (id, size, received) = (rider.id, u64::from(rider.sent), rider.received as usize);
        let ride = rider.ride;
        // Each was led there by itself, and goes on from there by itself.
        let drawn = exchange.candidates.as_deref().cloned();
        let drawn = drawn.filter(|_| matches!(ride, Ride::Apart(_)));
        let peeled = Exchange {
            turn: own,
            candidates: drawn.map(|it| self.spare_candidates.put(it)),
            ..exchange.peeled(rider)
        };
        let began = self.origin + Duration::from_nanos(peeled.started);
        let limit = exchange.deadline.and(exchange.limit());
        let due = limit.map(|limit| began + limit);
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
        let try_due = try_limit.map(|limit| began + limit);
        let peeled = self.exchanges.insert(peeled);
        let (own, rest) = divided(&mut server.attempts, (sent.attempt, ride), peeled, size)?;
        client.flights.riders -= 1;
        self.riders -= 1;
        let at = |attempt| Some(Sent { attempt, ..sent });
        self.exchanges.get_mut(key)?.attempt = at(rest);
        let exchange = self.exchanges.get_mut(peeled)?;
        exchange.place = client.flights.add(id, peeled);
        exchange.attempt = at(own);
        let set = |due| self.deadlines.set(&mut self.timers, due, peeled);
        exchange.deadline = due.map(set);
        exchange.repeat = kept;
        if let Some(kept) = &mut exchange.repeat {
            kept.limit = try_due.map(|due| self.timers.set(due, Timer::Try(peeled)));
        }
        Some(peeled)
    }

    /// The last request of a run: its exchange stands for it alone from now on.
    fn stay_alone(&mut self, key: ExchangeKey, rider: Rider) -> Option<ExchangeKey> {
        let exchange = self.exchanges.get_mut(key)?;
        exchange.id = rider.id;
        exchange.memo = rider.memo;
        if let Some(client) = self.clients.get_mut(exchange.client) {
            client.flights.rename(exchange.place, rider.id);
        }
        if let (Ride::Apart(attempt), Some(sent)) = (rider.ride, &mut exchange.attempt) {
            sent.attempt = attempt;
        }
        if let Some(kept) = &mut exchange.repeat {
            self.buffered -= kept.is_last();
        }
        let mut run = exchange.run.take()?;
        run.clear();
        self.spare_runs.give(run);
        Some(key)
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

/// The attempt of a request that leaves its run, and that of those that stay.
fn divided(
    attempts: &mut Attempts,
    (all, ride): (AttemptKey, Ride),
    exchange: ExchangeKey,
    size: u64,
) -> Option<(AttemptKey, AttemptKey)> {
    if let Ride::Apart(own) = ride {
        attempts.get_mut(own)?.exchange = exchange;
        return Some((own, all));
    }
    Some((all, attempts.split(all, exchange, size)?))
}
