//! An attempt: a request is sent to an endpoint, on a connection that may carry it.

use std::rc::Rc;

use meltemi_codec::{Answers, Constraint, Frame, Pin, Status};
use rand::Rng;

use super::{
    Engine, ExchangeKey, ServerKey,
    exchange::{Exchange, Sent},
    pool::Checkout,
    shards::Owner,
    tables::{Budget, Candidates, Destination, HostKey},
};
use crate::config::RetryOn;

/// Where a request goes next.
pub(super) enum Next {
    Host(HostKey),
    /// Nobody is left to ask.
    Nobody,
    /// The owner of its key is not known yet.
    Unknown,
}

impl Engine {
    /// Sends the request to the next endpoint that takes it. `bytes` is all that has arrived of it,
    /// under whatever id.
    pub(super) fn attempt(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) {
        let mut status = Status::NoHealthyUpstream;
        self.look_up_shard(key, bytes, whole);
        loop {
            let Some(exchange) = self.exchanges.get(key) else {
                return;
            };
            if exchange.chosen > self.settings.further_candidates {
                if status != Status::Overloaded && self.falls_back(key, bytes, whole) {
                    continue;
                }
                break;
            }
            let behind = self.pinned(exchange);
            if let Some(server) = behind.or_else(|| self.followed(key, exchange)) {
                return self.send_within(key, server, bytes, whole);
            }
            let host = match self.next_host(key) {
                Next::Host(host) => host,
                Next::Nobody
                    if status != Status::Overloaded && self.falls_back(key, bytes, whole) =>
                {
                    continue;
                }
                Next::Nobody => break,
                Next::Unknown if self.try_again_later(key) => return,
                Next::Unknown => break,
            };
            if let Some(server) = self.followed_to(key, host) {
                return self.send_within(key, server, bytes, whole);
            }
            match self.checkout(host, key) {
                Checkout::Use(server) => return self.send_within(key, server, bytes, whole),
                Checkout::Refused(limit) => return self.refuse(key, limit),
                Checkout::Full => {
                    status = Status::Overloaded;
                    self.stay_within_load(key);
                }
            }
        }
        let exchange = self.exchanges.get(key);
        if exchange.is_some_and(|exchange| exchange.chosen > 0) && status != Status::Overloaded {
            status = Status::ConnectFailure;
            if self.is_retried(key, RetryOn::ConnectFailure) {
                return;
            }
        }
        let message = self.reason(key, status);
        self.answer(key, status, &message);
    }

    /// Whether another cluster is asked, since no endpoint of this one can be.
    fn falls_back(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> bool {
        let Some(exchange) = self.exchanges.get_mut(key).filter(|it| !it.is_probe()) else {
            return false;
        };
        let Some(to) = &exchange.to else {
            return false;
        };
        let Some(next) = to.fallback.clone() else {
            return false;
        };
        // A repetition counts where it is under way.
        if exchange.repeat.as_ref().is_some_and(|it| it.counted) {
            to.cluster.budget.iter().for_each(Budget::end);
            next.cluster.budget.iter().for_each(Budget::begin_anyway);
        }
        let hashes_alike = to.hash == next.hash;
        exchange.to = Some(next);
        exchange.chosen = 0;
        exchange.within_load = false;
        if let Some(candidates) = exchange.candidates.take() {
            self.spare_candidates.give(candidates);
        }
        if !hashes_alike {
            exchange.hash = None;
            self.note_hash(key, bytes, whole);
        }
        self.look_up_shard(key, bytes, whole);
        true
    }

    /// An endpoint that is there is too slow, or has too much to do: that alone moves nothing to a tier
    /// that has no part of the load.
    ///
    /// Source of the rule: a retry of Envoy's is balanced by the same priority load, unless a
    /// `retry_priority` says otherwise.
    pub(super) fn stay_within_load(&mut self, key: ExchangeKey) {
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.within_load = true;
        }
    }

    /// Where the request's key matters now, finds out whose it is.
    #[inline(always)]
    fn look_up_shard(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if exchange.constraint != Constraint::Key {
            return;
        }
        let to = exchange.to.as_ref();
        let divided = to.is_some_and(|to| to.cluster.is_divided());
        let client = self.clients.get(exchange.client).filter(|_| divided);
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        if let Some(constraint) = client.and_then(|client| client.codec.constraint(frame)) {
            exchange.constraint = constraint;
        }
    }

    /// The connection that all requests of its client go to, if there is one.
    #[inline(always)]
    fn pinned(&self, exchange: &Exchange) -> Option<ServerKey> {
        let key = self.clients.get(exchange.client)?.pin?;
        let pinned = self.servers.get(key)?;
        // A request from before the pin, which is repeated, cannot go into the middle of another.
        (exchange.pin != Pin::Aside && !pinned.streaming).then_some(key)
    }

    /// The connection of the client's newest unanswered request to the cluster, or of the same hash there:
    /// what follows it must not overtake it.
    #[inline(always)]
    pub(super) fn followed(&self, key: ExchangeKey, exchange: &Exchange) -> Option<ServerKey> {
        let to = exchange.to.as_ref()?;
        let hashed = exchange.is_hashed();
        if to.cluster.is_divided() && !hashed {
            return None;
        }
        self.newest_flight((key, exchange), |_, other| {
            let same = |other: &Rc<Destination>| {
                Rc::ptr_eq(other, to)
                    || other.cluster.name == to.cluster.name && other.dialect == to.dialect
            };
            other.to.as_ref().is_some_and(same) && (!hashed || other.hash == exchange.hash)
        })
    }

    /// The same, where an endpoint owns the request's key: only requests to that endpoint count.
    fn followed_to(&self, key: ExchangeKey, host: HostKey) -> Option<ServerKey> {
        let exchange = self.exchanges.get(key)?;
        let to = exchange.to.as_ref()?;
        if !to.cluster.is_divided() {
            return None;
        }
        self.newest_flight((key, exchange), |sent, _| sent.host == host)
    }

    #[inline(always)]
    fn newest_flight(
        &self,
        (key, exchange): (ExchangeKey, &Exchange),
        same: impl Fn(Sent, &Exchange) -> bool,
    ) -> Option<ServerKey> {
        let client = self.clients.get(exchange.client)?;
        if !client.keeps_order() {
            return None;
        }
        client.flights.iter().rev().find_map(|other| {
            let other = self.exchanges.get(*other).filter(|_| *other != key)?;
            let sent = other.attempt?;
            if Some(sent.server) == client.pin || !same(sent, other) {
                return None;
            }
            let server = self.servers.get(sent.server)?;
            // What leaves something on a connection never goes to one that others use.
            let is_its_own = server.owner == Some(exchange.client);
            let goes = is_its_own || !exchange.needs_its_own();
            (goes && server.line.carries(exchange)).then_some(sent.server)
        })
    }

    pub(super) fn next_host(&mut self, key: ExchangeKey) -> Next {
        let random = self.random.random();
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return Next::Nobody;
        };
        let Some(cluster) = exchange.to.as_ref().map(|to| &to.cluster) else {
            return Next::Nobody;
        };
        let owner = match exchange.aim.take() {
            Some(host) => Owner::Is {
                host,
                replica: false,
            },
            None if exchange.is_probe() => Owner::Nobody,
            None if exchange.is_hashed() => match exchange.hash {
                Some(hash) => cluster.chosen(hash, exchange.chosen, &self.tables.hosts),
                None => Owner::Anybody,
            },
            None => cluster.owner(
                &exchange.constraint,
                (exchange.chosen, random),
                &self.tables.hosts,
            ),
        };
        let host = match owner {
            Owner::Is { host, replica } => {
                exchange.replica = replica;
                host
            }
            Owner::Nobody => return Next::Nobody,
            Owner::Unknown => {
                let cluster = Rc::clone(cluster);
                self.suspect_cluster(&cluster, None);
                return Next::Unknown;
            }
            Owner::Anybody => match self.next_candidate(key, random) {
                Some(host) => host,
                None => return Next::Nobody,
            },
        };
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return Next::Nobody;
        };
        if exchange.chosen > 0
            && let Some(host) = self.tables.hosts.get(host)
        {
            host.metrics.retried();
        }
        exchange.chosen += 1;
        Next::Host(host)
    }

    /// The next endpoint that the balancer offers.
    fn next_candidate(&mut self, key: ExchangeKey, random: u64) -> Option<HostKey> {
        let exchange = self.exchanges.get_mut(key)?;
        let client = self.clients.get(exchange.client);
        let is_free = client
            .is_some_and(|it| !it.keeps_order() || it.flights.iter().all(|other| *other == key));
        let cluster = &exchange.to.as_ref()?.cluster;
        let within_load = exchange.within_load;
        let next_of = |them: &mut Box<Candidates>| {
            if within_load {
                them.stay_within_load();
            }
            cluster.next(them, &self.tables.hosts, self.elapsed)
        };
        let is_first = exchange.chosen == 0 || exchange.candidates.is_none();
        let next = exchange.candidates.as_mut().and_then(next_of);
        if next.is_some() || !is_first {
            return next;
        }
        // Nobody was asked yet, or all were and a repetition may ask anybody again.
        let fresh = cluster.candidates(random);
        exchange.candidates = fresh.map(|mut fresh| {
            if is_free {
                fresh.doubt();
            }
            self.spare_candidates.put(fresh)
        });
        exchange.candidates.as_mut().and_then(next_of)
    }

    /// Sends the request on a connection, and with it what is left of its deadline.
    #[inline(always)]
    pub(super) fn send(&mut self, key: ExchangeKey, server: ServerKey, bytes: &[u8], whole: bool) {
        if self.exchanges.get(key).is_some_and(Exchange::is_hashed) {
            self.keep_order_of_hashed(key, server);
        }
        match self.with_time_left(key, bytes, whole) {
            Some(passed) => {
                self.write(key, server, &passed, whole);
                self.spare.give(passed);
            }
            None => self.write(key, server, bytes, whole),
        }
    }

    /// Writes the request to a connection.
    #[inline(always)]
    fn write(&mut self, key: ExchangeKey, server_key: ServerKey, bytes: &[u8], whole: bool) {
        let (Some(exchange), Some(server)) = (
            self.exchanges.get_mut(key),
            self.servers.get_mut(server_key),
        ) else {
            return;
        };
        let start = server.outbox.end();
        let (attempt, id) = server.attempts.add(key, exchange.answers, start);
        let memo = &exchange.memo;
        let frame = Frame { bytes, whole, memo };
        let out = server.outbox.append(&mut self.spare);
        match exchange.repeat.as_mut() {
            Some(repeat) if repeat.once => {
                repeat.once = false;
                server.codec.forward_once(id, frame, out);
            }
            _ => server.codec.forward(id, frame, out),
        }
        let end = server.outbox.end();
        if let Some(attempt) = server.attempts.get_mut(attempt) {
            attempt.end = end;
        }
        if exchange.answers == Answers::None {
            server.one_way.push_back(attempt);
        }
        self.buffered += usize::try_from(end - start).unwrap_or(usize::MAX);
        server.streaming = !whole;
        exchange.attempt = Some(Sent {
            server: server_key,
            attempt,
            host: server.host,
            at: self.elapsed,
        });
        self.tables.attempt_starts(server.host);
        let is_limited = exchange.repeat.is_some();
        let is_noted = exchange.log.is_some() || exchange.observed.is_some();
        let pins = matches!(exchange.pin, Pin::UntilClose | Pin::UntilRelease);
        let to = exchange.to.as_ref();
        let is_gathered = to.is_some_and(|to| to.buffering.is_some());
        if server.in_order && server.head.is_none() {
            self.watch_head(server_key);
        }
        if is_noted {
            self.log_attempt(key);
        }
        if is_limited {
            self.watch_try(key);
        }
        if pins {
            self.bind_pin(key, server_key);
        }
        match is_gathered {
            true => self.flush_request(key, server_key),
            false => self.flush_server(server_key),
        }
    }
}
