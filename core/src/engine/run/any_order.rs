//! Runs where answers come in any order. Of the requests of one read, those that the balancer leads to
//! the same connection by the same route, with the same deadline, share an exchange; each has an attempt
//! of its own, by which its answer is found. Where each goes is asked for each.

use std::{num::NonZeroU32, rc::Rc, time::Duration};

use meltemi_codec::{Answers, Request};
use rand::Rng;

use super::super::{
    ClientKey, Engine, ExchangeKey, ServerKey,
    client::Client,
    exchange::{Exchange, stated},
    follow::whole,
    tables::{Destination, Route},
};
use super::{Joining, Ride, Rider, Run, begun};

/// Where endpoints are many a read has few requests for each: no more than the newest runs are looked at.
const RECENT: usize = 16;

/// A run that further requests of the same read may join.
pub(in crate::engine) struct Party {
    exchange: ExchangeKey,
    server: ServerKey,
    deadline: Option<Duration>,
    joined: u32,
    received: u64,
}

/// The runs that the next request of the same read may join.
#[derive(Default)]
pub(in crate::engine) struct Runs {
    /// Where its client's newest request is one.
    pub(in crate::engine) newest: Option<Joining>,
    pub(in crate::engine) parties: Vec<Party>,
}

impl Party {
    pub(in crate::engine) fn of(
        exchange: ExchangeKey,
        server: ServerKey,
        deadline: Option<Duration>,
    ) -> Self {
        Self {
            exchange,
            server,
            deadline,
            joined: 0,
            received: 0,
        }
    }
}

impl Rider {
    fn waits(&self) -> bool {
        matches!(self.ride, Ride::Apart(_))
    }
}

impl Run {
    /// The request at this place, if it is unanswered.
    #[inline(always)]
    pub(in crate::engine) fn waiting(&self, place: u32) -> Option<&Rider> {
        self.riders.get(place as usize).filter(|it| it.waits())
    }

    /// The request at this place is answered.
    #[inline(always)]
    pub(in crate::engine) fn answered(&mut self, place: u32) {
        if let Some(rider) = self.riders.get_mut(place as usize) {
            rider.ride = Ride::Over;
            self.gone += 1;
        }
    }

    /// The place of the unanswered request of this id.
    fn place_of(&self, id: u64) -> Option<u32> {
        let mut all = self.riders.iter();
        let place = all.position(|rider| rider.waits() && rider.id == id)?;
        u32::try_from(place).ok()
    }
}

impl Exchange {
    /// How long it may take.
    pub(super) fn limit(&self) -> Option<Duration> {
        let stated = self.stated.map(millis);
        // On the ways that lead to a run a route allows what a message says.
        stated.or(self.route.as_ref()?.timeout)
    }
}

fn millis(stated: NonZeroU32) -> Duration {
    Duration::from_millis(stated.get().into())
}

impl Client {
    /// Whether its requests may go and be answered in any order.
    #[inline(always)]
    pub(in crate::engine) fn is_in_any_order(&self) -> bool {
        self.lineup.is_none() && !self.keeps_order()
    }
}

impl Engine {
    /// An unanswered request of a client, by its id: its exchange, and its place if that is a run.
    fn flight(&self, client: &Client, id: u64) -> Option<(ExchangeKey, Option<u32>)> {
        if client.flights.lacks(id) {
            return None;
        }
        let run = |key: ExchangeKey| self.exchanges.get(key)?.run.as_deref();
        let mut found = client.flights.find(id);
        if !client.flights.has_ridden {
            return found.next().map(|key| (key, None));
        }
        if let Some(alone) = found.find(|key| run(*key).is_none()) {
            return Some((alone, None));
        }
        let mut all = client.flights.iter();
        all.find_map(|key| Some((*key, Some(run(*key)?.place_of(id)?))))
    }

    /// Whether a client has an unanswered request of this id.
    #[inline(always)]
    pub(in crate::engine) fn is_flying(&self, client: &Client, id: u64) -> bool {
        !client.flights.lacks(id) && self.flight(client, id).is_some()
    }

    /// The exchange of a client's unanswered request, which stands for it alone.
    pub(in crate::engine) fn flight_alone(
        &mut self,
        client: ClientKey,
        id: u64,
    ) -> Option<ExchangeKey> {
        match self.flight(self.clients.get(client)?, id)? {
            (key, None) => Some(key),
            (key, Some(place)) => self.peel_from(key, place),
        }
    }

    /// A run of this read that a request which goes to this connection may join. Where the answers of its
    /// endpoint are looked at one by one, nothing would be gained.
    #[inline(always)]
    pub(in crate::engine) fn party_of(
        &self,
        parties: &[Party],
        server: ServerKey,
        (route, to): (&Rc<Route>, &Rc<Destination>),
        request: &Request,
    ) -> Option<usize> {
        let host = self.tables.hosts.get(self.servers.get(server)?.host)?;
        let own = stated(request.deadline);
        if !host.attention.is_none() || own.map(millis) != request.deadline {
            return None;
        }
        let same = |party: &Party| {
            let goes_there = party.server == server && party.deadline == request.deadline;
            let exchange = self.exchanges.get(party.exchange).filter(|_| goes_there);
            exchange.is_some_and(|it| {
                it.memo.data.is_none()
                    && it.is_like(request, self.elapsed)
                    && it.route.as_ref().is_some_and(|it| Rc::ptr_eq(it, route))
                    && it.to.as_ref().is_some_and(|it| Rc::ptr_eq(it, to))
            })
        };
        let start = parties.len().saturating_sub(RECENT);
        let recent = parties.get(start..)?;
        Some(start + recent.iter().rposition(same)?)
    }

    /// Sends a request as one of a run.
    #[inline(always)]
    pub(in crate::engine) fn join_party(
        &mut self,
        party: &mut Party,
        request: Request,
        bytes: &[u8],
    ) {
        let (Some(exchange), Some(server)) = (
            self.exchanges.get_mut(party.exchange),
            self.servers.get_mut(party.server),
        ) else {
            return;
        };
        let Some(client) = self.clients.get_mut(exchange.client) else {
            return;
        };
        let frame = whole(bytes, &request.memo);
        let random = &mut self.random;
        self.observer
            .sample((client, frame), self.now, || random.random());
        let all = begun(exchange, server, &mut self.spare_runs);
        let start = server.outbox.end();
        let (attempt, id) = server.attempts.add(party.exchange, Answers::One, start);
        let out = server.outbox.append(&mut self.spare);
        let before = out.len();
        server.codec.forward(id, frame, out);
        let sent = out.len() - before;
        if let Some(entry) = server.attempts.get_mut(attempt) {
            entry.end = start + sent as u64;
            entry.rider = u32::try_from(all.riders.len()).unwrap_or(u32::MAX);
        }
        let lengths = (bytes.len() as u64, sent as u64);
        client.flights.ride(request.id);
        all.add((request.id, request.memo), lengths, Ride::Apart(attempt));
        exchange.idempotent &= request.idempotent;
        if let Some(host) = self.tables.hosts.get_mut(server.host) {
            host.active += 1;
        }
        self.buffered += sent;
        self.riders += 1;
        party.joined += 1;
        party.received += bytes.len() as u64;
    }

    /// No more join: enters what has joined wherever a request is counted.
    #[inline]
    pub(in crate::engine) fn end_parties(&mut self, parties: &mut Vec<Party>) {
        for party in parties.drain(..).filter(|party| party.joined > 0) {
            let Some(exchange) = self.exchanges.get_mut(party.exchange) else {
                continue;
            };
            exchange.request_bytes += party.received;
            if let Some(client) = self.clients.get(exchange.client) {
                client.metrics.requests_started(u64::from(party.joined));
            }
            let server = self.servers.get(party.server);
            if let Some(host) = server.and_then(|it| self.tables.hosts.get(it.host)) {
                host.metrics.attempts_started(u64::from(party.joined));
            }
            self.flush_server(party.server);
        }
    }

    /// No more join any run.
    #[inline(always)]
    pub(in crate::engine) fn end_runs(&mut self, runs: &mut Runs) {
        self.end_joining(runs.newest.take());
        self.end_parties(&mut runs.parties);
    }
}
