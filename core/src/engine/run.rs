//! A run: requests of one client that arrived together, go to one server, and are alike in all but
//! their bytes. One exchange stands for all of them, and one deadline. Where answers come in order they
//! go one behind the other, and have one attempt and one turn; where answers come in any order each has
//! an attempt of its own (`run/any_order.rs`). What is looked at of each is its route, its key if keys
//! are counted, and its bytes.
//!
//! A run is for what is ordinary. Whatever is not takes a request out of it first ([`Engine::peel`]),
//! so that nothing else has to know of runs.

mod any_order;
mod peel;

use std::rc::Rc;

use meltemi_codec::{Memo, Request};
use rand::Rng;

use super::{
    ClientKey, Engine, ExchangeKey, ServerKey,
    boxes::Boxes,
    exchange::Exchange,
    follow::{is_ordinary, whole},
    lineup::Lineup,
    server::Server,
    tables::{Metered, Route},
    wire_ids::AttemptKey,
};
pub(super) use any_order::{Party, Runs};

/// More requests are not in the bytes of one read.
const LONGEST: usize = 16_384;

/// The requests of a run that are unanswered.
#[derive(Default)]
pub(super) struct Run {
    riders: Vec<Rider>,
    /// How many of these were answered, or are no longer part of it.
    gone: usize,
    /// Those before this place are among them.
    first: usize,
}

/// A request in a run: what others of it do not have.
#[derive(Default)]
pub(super) struct Rider {
    pub(super) id: u64,
    pub(super) memo: Memo,
    /// Bytes of it, as its client sent them.
    pub(super) received: u32,
    /// Bytes of it, as its server was sent them.
    pub(super) sent: u32,
    ride: Ride,
}

/// Where a request of a run is.
#[derive(Clone, Copy, Default)]
enum Ride {
    /// Between those before it and those behind it: answers come in order.
    #[default]
    InLine,
    /// On its own: answers come in any order.
    Apart(AttemptKey),
    /// It was answered, or is no longer part of the run.
    Over,
}

/// A run that the next request of the same read may join.
pub(super) struct Joining {
    exchange: ExchangeKey,
    server: ServerKey,
    joined: u32,
    received: u64,
    /// Something bounds its requests.
    bounded: bool,
}

impl Run {
    /// Room for as many requests is kept for the next run.
    const KEPT: usize = 256;

    #[inline(always)]
    fn add(&mut self, (id, memo): (u64, Memo), (received, sent): (u64, u64), ride: Ride) {
        // Whole messages are far smaller.
        let bytes = |n| u32::try_from(n).unwrap_or(u32::MAX);
        self.riders.push(Rider {
            id,
            memo,
            received: bytes(received),
            sent: bytes(sent),
            ride,
        });
    }

    pub(super) fn left(&self) -> usize {
        self.riders.len() - self.gone
    }

    /// The oldest one, where answers come in order.
    #[inline(always)]
    pub(super) fn front(&self) -> Option<&Rider> {
        self.riders.get(self.first)
    }

    /// The oldest one is answered, where answers come in order.
    #[inline(always)]
    pub(super) fn front_over(&mut self) {
        self.first += 1;
        self.gone += 1;
    }

    /// What is kept of the request that is `n` places behind the oldest, where answers come in order.
    #[inline(always)]
    pub(super) fn memo(&self, n: usize) -> Option<&Memo> {
        self.riders.get(self.first + n).map(|rider| &rider.memo)
    }

    /// The oldest one is no longer part of it.
    fn leave(&mut self) -> Option<Rider> {
        let is_over = |it: &Rider| matches!(it.ride, Ride::Over);
        while self.riders.get(self.first).is_some_and(is_over) {
            self.first += 1;
        }
        let rider = self.leave_from(self.first)?;
        self.first += 1;
        Some(rider)
    }

    /// The one at this place is no longer part of it.
    fn leave_from(&mut self, place: usize) -> Option<Rider> {
        let over = Rider {
            ride: Ride::Over,
            ..Rider::default()
        };
        let rider = self.riders.get_mut(place)?;
        let rider = std::mem::replace(rider, over);
        if matches!(rider.ride, Ride::Over) {
            return None;
        }
        self.gone += 1;
        Some(rider)
    }

    pub(super) fn clear(&mut self) {
        self.riders.clear();
        self.riders.shrink_to(Self::KEPT);
        (self.gone, self.first) = (0, 0);
    }
}

impl Exchange {
    /// Whether a request that arrives now may be one of a run with it.
    #[inline(always)]
    fn is_like(&self, request: &Request, now: u64) -> bool {
        self.started == now
            && request.memo.data.is_none()
            && self.session == request.session
            && self.constraint == request.constraint
    }

    /// Keeps another request of its run, if it keeps any. Returns how many bytes that are.
    #[inline(always)]
    fn keep_another(&mut self, bytes: &[u8]) -> usize {
        match &mut self.repeat {
            Some(kept) => {
                kept.request.extend_from_slice(bytes);
                bytes.len()
            }
            None => 0,
        }
    }

    /// Whether nothing is kept of it that others of its run would not have.
    fn is_bare(&self) -> bool {
        self.ordinary
            && self.log.is_none()
            && self.observed.is_none()
            && self.repeat.as_ref().is_none_or(|it| it.is_only_kept())
            && self.aim.is_none()
            && self.memo.data.is_none()
            && !self.answered
            && !self.is_entangled()
    }
}

impl Engine {
    /// Lets a whole request join the run that its client's newest request is, or begins. False: it is
    /// not like that one, and nothing was done.
    #[inline(always)]
    pub(super) fn join(
        &mut self,
        run: &mut Option<Joining>,
        key: ClientKey,
        request: &Request,
        bytes: &[u8],
    ) -> bool {
        // All of a run have one deadline, here their route's.
        let is_alike = is_ordinary(request) && request.deadline.is_none();
        if !is_alike || self.logged.takes_next() {
            return false;
        }
        if run.is_none() {
            *run = self.joinable(key, request);
        }
        run.as_mut()
            .is_some_and(|run| self.joins(run, key, request, bytes))
    }

    /// The client's newest request, where the next one may be one of a run with it.
    fn joinable(&self, key: ClientKey, request: &Request) -> Option<Joining> {
        // Those who join are counted in the end: so many must have room.
        if self.in_flight() + LONGEST > self.settings.in_flight {
            return None;
        }
        let client = self.clients.get(key)?;
        let newest_key = *client.flights.iter().next_back()?;
        let newest = self.exchanges.get(newest_key)?;
        if !newest.is_like(request, self.elapsed) || !newest.is_bare() {
            return None;
        }
        let sent = self.leads_behind(client, newest, request)?;
        let route = newest.route.as_ref().filter(|it| it.changes_nothing())?;
        let server = self.servers.get(sent.server)?;
        let attempt = server.attempts.get(sent.attempt)?;
        let is_last_in_turn = client.lineup.as_ref().and_then(Lineup::last) == newest.turn;
        let is_last_sent = server.attempts.last() == Some(sent.attempt)
            && attempt.end == server.outbox.end()
            && !server.streaming;
        let is_timed = route.timeout.is_some() == newest.deadline.is_some();
        (server.in_order && is_last_in_turn && is_last_sent && is_timed).then_some(Joining {
            exchange: newest_key,
            server: sent.server,
            joined: 0,
            received: 0,
            bounded: newest.is_bounded(),
        })
    }

    /// False: it is not like the others.
    #[inline(always)]
    fn joins(
        &mut self,
        run: &mut Joining,
        key: ClientKey,
        request: &Request,
        bytes: &[u8],
    ) -> bool {
        let (Some(exchange), Some(client), Some(server)) = (
            self.exchanges.get_mut(run.exchange),
            self.clients.get(key),
            self.servers.get_mut(run.server),
        ) else {
            return false;
        };
        let Some(service) = self.tables.service(client.service) else {
            return false;
        };
        if !exchange.is_like(request, self.elapsed) {
            return false;
        }
        let frame = whole(bytes, &request.memo);
        let route = self.tables.route(service, client, frame);
        let leads_there = |route: &Rc<_>| {
            exchange
                .route
                .as_ref()
                .is_some_and(|it| Rc::ptr_eq(it, route))
        };
        let is_kept = exchange.repeat.is_some();
        let is_alike =
            |route: &Rc<Route>| leads_there(route) && route.keeps(bytes.len()) == is_kept;
        let Some(route) = route.filter(is_alike) else {
            return false;
        };
        let goes_there = |to| exchange.to.as_ref().is_some_and(|it| Rc::ptr_eq(it, to));
        if !route.next_destination().is_some_and(goes_there) {
            return false;
        }
        let bucket = route.bucket(client, frame);
        if bucket.is_some_and(|bucket| !bucket.take(self.elapsed)) {
            return false;
        }
        if run.bounded && !exchange.takes_another(server) {
            Metered::settle(bucket, false);
            return false;
        }
        Metered::settle(bucket, true);
        route.destination();
        let random = &mut self.random;
        self.observer
            .sample((client, frame), self.now, || random.random());
        let out = server.outbox.append(&mut self.spare);
        let start = out.len();
        server.codec.forward(server.attempts.extend(), frame, out);
        let sent = out.len() - start;
        let all = begun(exchange, server, &mut self.spare_runs);
        let memo = request.memo.clone();
        let lengths = (bytes.len() as u64, sent as u64);
        all.add((request.id, memo), lengths, Ride::InLine);
        exchange.idempotent &= request.idempotent;
        self.buffered += sent;
        self.buffered += exchange.keep_another(bytes);
        run.joined += 1;
        run.received += bytes.len() as u64;
        true
    }

    /// No more join: enters what has joined wherever a request is counted.
    #[inline]
    pub(super) fn end_joining(&mut self, run: Option<Joining>) {
        let Some(run) = run.filter(|run| run.joined > 0) else {
            return;
        };
        let (Some(exchange), Some(server)) = (
            self.exchanges.get_mut(run.exchange),
            self.servers.get_mut(run.server),
        ) else {
            return;
        };
        exchange.request_bytes += run.received;
        let joined = run.joined as usize;
        self.riders += joined;
        if let Some(client) = self.clients.get_mut(exchange.client) {
            client.metrics.requests_started(u64::from(run.joined));
            client.flights.riders += joined;
            if let Some(lineup) = &mut client.lineup {
                lineup.extend(joined);
            }
        }
        if let Some(sent) = exchange.attempt {
            let end = server.outbox.end();
            server.attempts.grow(sent.attempt, run.joined, end);
        }
        if let Some(host) = self.tables.hosts.get_mut(server.host) {
            host.active += run.joined;
            host.metrics.attempts_started(u64::from(run.joined));
        }
        self.flush_server(run.server);
    }
}

/// The run of an exchange, which begins with its one request.
#[inline(always)]
fn begun<'a>(exchange: &'a mut Exchange, server: &Server, spare: &mut Boxes<Run>) -> &'a mut Run {
    match &mut exchange.run {
        Some(run) => run,
        none => {
            let mut fresh = spare.used().unwrap_or_default();
            let sent = exchange.attempt.map(|sent| sent.attempt);
            let first = sent.and_then(|it| Some((it, server.attempts.get(it)?)));
            if let Some((key, first)) = first {
                let memo = std::mem::take(&mut exchange.memo);
                let lengths = (exchange.request_bytes, first.end - first.start);
                let ride = match server.in_order {
                    true => Ride::InLine,
                    false => Ride::Apart(key),
                };
                fresh.add((exchange.id, memo), lengths, ride);
            }
            none.insert(fresh)
        }
    }
}
