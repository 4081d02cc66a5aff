//! The short way of answers: whole, good, the last ones, of which nothing is out of the ordinary. Those
//! of one read to the requests of a run are counted together.

use std::time::Duration;

use meltemi_codec::{Answers, At, Frame, FromServer};

use super::{
    ClientKey, Engine, ExchangeKey, ServerKey, delivery::place, end::record, exchange::End,
    wire_ids::AttemptKey,
};
use crate::telemetry::Answered;

/// Answers to an exchange that were passed on and are not counted yet.
pub(super) struct Settling {
    exchange: ExchangeKey,
    server: ServerKey,
    attempt: AttemptKey,
    client: ClientKey,
    /// What each of them says.
    end: Option<End>,
    answers: u32,
    /// Bytes of the requests, received and sent, and of the answers.
    received: u64,
    sent: u64,
    response_bytes: u64,
}

/// What an answer is for that has an attempt of its own.
#[derive(Clone, Copy)]
struct Apart {
    exchange: ExchangeKey,
    attempt: AttemptKey,
    /// Its place, if the exchange is a run.
    rider: u32,
}

impl Engine {
    /// What the answer with this id is for.
    #[inline(always)]
    fn rider_of(&self, key: ServerKey, id: u64) -> Option<Apart> {
        let (attempt, entry) = self.servers.get(key)?.attempts.find(id)?;
        Some(Apart {
            exchange: entry.exchange,
            attempt,
            rider: entry.rider,
        })
    }

    /// Passes a whole message on if it is an answer, and nothing about it or its request is out of the
    /// ordinary: what `server_answered` would do, with one look at each of those concerned. False: it
    /// has to go that way, and nothing was done.
    #[inline(always)]
    pub(super) fn settles(
        &mut self,
        settling: &mut Option<Settling>,
        key: ServerKey,
        event: &FromServer,
        frame: &[u8],
    ) -> bool {
        let FromServer::Response(response) = event else {
            return false;
        };
        let rider = match response.at {
            At::InOrder => None,
            At::Id(id) => match self.rider_of(key, id) {
                Some(rider) => Some(rider),
                None => return false,
            },
        };
        let is_another = |run: &Settling| rider.is_some_and(|it| it.exchange != run.exchange);
        if settling.as_ref().is_some_and(is_another) {
            self.end_settling(settling.take());
        }
        if settling.is_none() {
            *settling = self.ordinary_at(key, rider.map(|it| it.attempt));
        }
        let Some(run) = settling else {
            return false;
        };
        match self.passes_on(run, rider, frame) {
            Some(true) => true,
            Some(false) => {
                self.end_settling(settling.take());
                true
            }
            None => false,
        }
    }

    /// What an answer is for, if nothing hangs on that or holds the answer up.
    #[inline(always)]
    fn ordinary_at(&self, key: ServerKey, attempt: Option<AttemptKey>) -> Option<Settling> {
        let server = self.servers.get(key)?;
        let (attempt, entry) = match attempt {
            None => server.attempts.oldest()?,
            Some(attempt) => (attempt, server.attempts.get(attempt)?),
        };
        let host = self.tables.hosts.get(server.host)?;
        let exchange = self.exchanges.get(entry.exchange)?;
        let client = self.clients.get(exchange.client)?;
        // Where answers come in any order those of a run have an attempt each.
        let is_its = |it| it == attempt || exchange.run.is_some() && !server.in_order;
        let waits = exchange
            .attempt
            .is_some_and(|sent| sent.server == key && is_its(sent.attempt));
        let is_plain = entry.answers == Answers::One
            && exchange.own.is_none()
            && exchange.log.is_none()
            && exchange.observed.is_none()
            && !exchange.is_entangled();
        let is_held_up = client.has_large() || client.writing.is_some() || !client.held.is_empty();
        let is_free = host.attention.is_none() && !is_held_up && server.reading;
        (waits && is_plain && is_free).then_some(Settling {
            exchange: entry.exchange,
            server: key,
            attempt,
            client: exchange.client,
            end: None,
            answers: 0,
            received: 0,
            sent: 0,
            response_bytes: 0,
        })
    }

    /// Whether more answers are to come for the same exchange. `None`: this one is not like the others.
    #[inline(always)]
    fn passes_on(
        &mut self,
        run: &mut Settling,
        apart: Option<Apart>,
        frame: &[u8],
    ) -> Option<bool> {
        let server = self.servers.get_mut(run.server)?;
        let exchange = self.exchanges.get_mut(run.exchange)?;
        let client = self.clients.get_mut(run.client)?;
        let rider = match (&exchange.run, apart) {
            (Some(all), None) => Some(all.front()?),
            (Some(all), Some(apart)) => Some(all.waiting(apart.rider)?),
            (None, _) => None,
        };
        let (id, memo) = rider.map_or((exchange.id, &exchange.memo), |it| (it.id, &it.memo));
        let shown = Frame {
            bytes: frame,
            whole: true,
            memo,
        };
        let end = End::of(&server.codec.outcome(shown));
        let is_good = end.outcome.credits_endpoint() == Some(true);
        if !is_good || run.end.is_some_and(|others| others != end) {
            return None;
        }
        run.end = Some(end);
        let (codec, out) = place(client, &mut self.spare, run.exchange, exchange.turn);
        let before = out.len();
        codec.respond(id, shown, out);
        let grown = out.len() - before;
        self.buffered += grown;
        if let (Some(lineup), Some(turn)) = (&mut client.lineup, exchange.turn) {
            lineup.waits(turn, grown);
        }
        run.answers += 1;
        match rider {
            Some(rider) => {
                run.received += u64::from(rider.received);
                run.sent += u64::from(rider.sent);
            }
            None => run.received = exchange.request_bytes,
        }
        run.response_bytes += grown as u64;
        let Some(apart) = apart else {
            if let Some(all) = &mut exchange.run {
                all.front_over();
            }
            return Some(server.attempts.answered(run.attempt) > 0);
        };
        server.attempts.remove(apart.attempt);
        let Some(all) = &mut exchange.run else {
            return Some(false);
        };
        all.answered(apart.rider);
        Some(all.left() > 0)
    }

    /// Counts answers that were passed on, and ends the exchange if they were its last.
    #[inline]
    pub(super) fn end_settling(&mut self, settled: Option<Settling>) {
        let Some(run) = settled else {
            return;
        };
        let (Some(end), Some(exchange), Some(server)) = (
            run.end,
            self.exchanges.get_mut(run.exchange),
            self.servers.get_mut(run.server),
        ) else {
            return;
        };
        let answers = run.answers as usize;
        let over = exchange.run.as_ref().is_none_or(|all| all.left() == 0);
        exchange.request_bytes -= run.received;
        if let Some(kept) = &mut exchange.repeat {
            kept.gone += usize::try_from(run.received).unwrap_or(usize::MAX);
        }
        server.last_used = self.now;
        if let Some(attempt) = server.attempts.get_mut(run.attempt) {
            attempt.start += run.sent;
        }
        let requests = u64::from(run.answers);
        exchange.attempts_over(run.answers);
        if let Some(host) = self.tables.hosts.get_mut(server.host) {
            host.active = host.active.saturating_sub(run.answers);
            host.metrics.attempts_finished(requests);
            if let (Some(latency), Some(sent)) = (&mut host.latency, exchange.attempt) {
                latency.observe(self.elapsed, self.elapsed.saturating_sub(sent.at));
            }
        }
        let client = self.clients.get_mut(run.client);
        let answered = Answered {
            outcome: end.outcome,
            code: end.code,
            flag: end.flag,
            duration: Duration::from_nanos(self.elapsed.saturating_sub(exchange.started)),
            requests,
            request_bytes: run.received,
            response_bytes: run.response_bytes,
        };
        record(exchange, client.as_deref(), answered);
        // Its exchange stands for one of them.
        let riders = answers - usize::from(over);
        exchange.requests_over(u32::try_from(riders).unwrap_or(u32::MAX));
        self.riders -= riders;
        if let Some(client) = client {
            client.flights.riders -= riders;
            if !std::mem::replace(&mut client.answered, true) {
                self.answered.push(run.client);
            }
        }
        if over {
            self.end_settled(&run);
        }
    }

    /// All requests of the exchange are answered.
    fn end_settled(&mut self, run: &Settling) {
        if let Some(server) = self.servers.get_mut(run.server) {
            server.over(run.attempt, self.now);
        }
        self.unlist(run.exchange);
        let Some(exchange) = self.exchanges.get_mut(run.exchange) else {
            return;
        };
        if let Some(client) = self.clients.get_mut(run.client)
            && let (Some(lineup), Some(turn)) = (&mut client.lineup, exchange.turn)
        {
            lineup.leave(turn, client.outbox.append(&mut self.spare));
        }
        if let Some(mut all) = exchange.run.take() {
            all.clear();
            self.spare_runs.give(all);
        }
        self.exchanges.remove(run.exchange);
    }
}
