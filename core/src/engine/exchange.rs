//! A request from its arrival to its last answer: route, cluster, endpoint, attempts.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use meltemi_codec::{Answers, Frame, LocalReply, Memo, Outcome, Pin, Request, Sharing, Status};
use rand::Rng;

use super::{
    ClientKey, Engine, ExchangeKey, ServerKey, Timer,
    log::Draft,
    pool::Checkout,
    tables::{Candidates, Cluster, HostKey, Route},
    timers::TimerKey,
    wire_ids::AttemptKey,
};
use crate::telemetry::{Answered, OutcomeLabel, ResponseFlag, Series};

/// A request in flight. It holds its route and cluster, not the configuration that they came from.
pub(super) struct Exchange {
    pub(super) client: ClientKey,
    /// The client's id.
    pub(super) id: u64,
    /// Its place among the client's flights.
    pub(super) place: u32,
    /// Its turn, where answers are in order.
    pub(super) turn: Option<u64>,
    pub(super) memo: Memo,
    pub(super) answers: Answers,
    pub(super) pin: Pin,
    pub(super) exclusive: bool,
    pub(super) series: Series,
    pub(super) route: Option<Rc<Route>>,
    pub(super) cluster: Option<Rc<Cluster>>,
    pub(super) candidates: Option<Candidates>,
    /// Endpoints that were chosen so far.
    pub(super) chosen: u8,
    pub(super) attempt: Option<Sent>,
    pub(super) started: Instant,
    pub(super) deadline: Option<TimerKey>,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) answered: bool,
    pub(super) log: Option<Box<Draft>>,
}

/// Where an exchange's current attempt is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) server: ServerKey,
    pub(super) attempt: AttemptKey,
    pub(super) host: HostKey,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) outcome: OutcomeLabel,
    pub(super) code: u32,
    pub(super) flag: ResponseFlag,
}

impl End {
    pub(super) fn local(flag: ResponseFlag) -> Self {
        Self {
            outcome: OutcomeLabel::Local,
            code: 0,
            flag,
        }
    }

    pub(super) fn of(outcome: &Outcome) -> Self {
        Self {
            outcome: OutcomeLabel::from(outcome),
            code: outcome.code(),
            flag: ResponseFlag::None,
        }
    }
}

impl Engine {
    /// A request has arrived: decides where it goes, and sends it there.
    pub(super) fn start(
        &mut self,
        client: ClientKey,
        request: Request,
        bytes: &[u8],
        whole: bool,
    ) -> Option<ExchangeKey> {
        let deadline = request.deadline;
        let key = self.admit(client, request, bytes.len())?;
        self.open_log(key, bytes, whole);
        if self.buffered > self.settings.buffered || self.exchanges.len() > self.settings.in_flight
        {
            self.answer(key, Status::Overloaded, "the proxy is at its limit");
            return Some(key);
        }
        if self
            .clients
            .get(client)
            .is_some_and(|client| client.over_limit)
        {
            self.answer(
                key,
                Status::Overloaded,
                "the proxy has as many clients as it may",
            );
            self.close_after_flush(client);
            return Some(key);
        }
        if let Err(status) = self.route(key, bytes, whole) {
            self.fail(key, status);
            return Some(key);
        }
        self.set_deadline(key, deadline);
        self.attempt(key, bytes, whole);
        Some(key)
    }

    /// Enters the request among what its client is owed.
    pub(super) fn admit(
        &mut self,
        client_key: ClientKey,
        request: Request,
        bytes: usize,
    ) -> Option<ExchangeKey> {
        let client = self.clients.get_mut(client_key)?;
        let twice = client.lineup.is_none()
            && request.answers != Answers::None
            && client.flights.find(request.id).is_some();
        if twice {
            self.client_malformed(client_key, "the id of an unanswered request was used again");
            return None;
        }
        let client = self.clients.get_mut(client_key)?;
        let owed = request.answers != Answers::None;
        let turn = client
            .lineup
            .as_mut()
            .filter(|_| owed)
            .map(super::client::Lineup::join);
        let key = self.exchanges.insert(Exchange {
            client: client_key,
            id: request.id,
            place: 0,
            turn,
            memo: request.memo,
            answers: request.answers,
            pin: request.pin,
            exclusive: false,
            series: client.unrouted.clone(),
            route: None,
            cluster: None,
            candidates: None,
            chosen: 0,
            attempt: None,
            started: self.now,
            deadline: None,
            request_bytes: bytes as u64,
            response_bytes: 0,
            answered: false,
            log: None,
        });
        let place = client.flights.add(request.id, key);
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.place = place;
        }
        client.metrics.request_started();
        Some(key)
    }

    /// Finds the request's route and its cluster.
    fn route(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> Result<(), Status> {
        let exchange = self.exchanges.get_mut(key).ok_or(Status::NoRoute)?;
        let client = self.clients.get(exchange.client).ok_or(Status::NoRoute)?;
        let service = self.tables.service(client.service).ok_or(Status::NoRoute)?;
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        let codec = client.codec.as_ref();
        let route = service.select(|attribute| codec.attribute(frame, attribute));
        let route = route.ok_or(Status::NoRoute)?;
        let destination = route.destination().ok_or(Status::NoRoute)?;
        exchange.series = destination.series.clone();
        exchange.cluster = Some(Rc::clone(&destination.cluster));
        exchange.route = Some(Rc::clone(&route));
        exchange.exclusive = !whole || client.traits.sharing == Sharing::Exclusive;
        Ok(())
    }

    fn set_deadline(&mut self, key: ExchangeKey, own: Option<Duration>) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let route = exchange.route.as_ref().and_then(|route| route.timeout);
        let limit = match (own, route) {
            (Some(own), Some(route)) => Some(own.min(route)),
            (own, route) => own.or(route),
        };
        if let Some(limit) = limit.filter(|_| exchange.answers != Answers::None) {
            exchange.deadline = Some(self.timers.set(self.now + limit, Timer::Deadline(key)));
        }
    }

    /// Sends the request to the next endpoint that takes it. `bytes` is all that has arrived of it,
    /// under whatever id.
    pub(super) fn attempt(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) {
        let mut status = Status::NoHealthyUpstream;
        loop {
            let Some(exchange) = self.exchanges.get(key) else {
                return;
            };
            if exchange.chosen > self.settings.further_candidates {
                break;
            }
            if let Some(server) = self.followed(key) {
                return self.send(key, server, bytes, whole);
            }
            let Some(host) = self.next_host(key) else {
                break;
            };
            match self.checkout(host, key) {
                Checkout::Use(server) => return self.send(key, server, bytes, whole),
                Checkout::Full => status = Status::Overloaded,
            }
        }
        let exchange = self.exchanges.get(key);
        if exchange.is_some_and(|exchange| exchange.chosen > 0) && status != Status::Overloaded {
            status = Status::ConnectFailure;
        }
        let message = self.reason(key, status);
        self.answer(key, status, &message);
    }

    /// The connection that this client's requests have to follow, if there is one.
    fn followed(&self, key: ExchangeKey) -> Option<ServerKey> {
        let exchange = self.exchanges.get(key)?;
        let client = self.clients.get(exchange.client)?;
        if let Some(key) = client.pin
            && let Some(pinned) = self.servers.get(key)
        {
            // A request from before the pin, which is repeated, cannot go into the middle of another.
            return (!pinned.streaming).then_some(key);
        }
        if !client.keeps_order() {
            return None;
        }
        // The client's other unanswered requests are all on one connection; the newest tells which.
        client.flights.iter().rev().find_map(|other| {
            let other = self.exchanges.get(*other).filter(|_| *other != key)?;
            let same = match (&other.cluster, &exchange.cluster) {
                (Some(a), Some(b)) => a.name == b.name,
                _ => false,
            };
            let sent = other.attempt.filter(|_| same)?;
            self.servers
                .contains_key(sent.server)
                .then_some(sent.server)
        })
    }

    fn next_host(&mut self, key: ExchangeKey) -> Option<HostKey> {
        let random = self.random.random();
        let exchange = self.exchanges.get_mut(key)?;
        let cluster = exchange.cluster.as_ref()?;
        if exchange.candidates.is_none() {
            exchange.candidates = cluster.candidates(random);
        }
        let candidates = exchange.candidates.as_mut()?;
        let host = cluster.next(candidates, &self.tables.hosts)?;
        if exchange.chosen > 0
            && let Some(host) = self.tables.hosts.get(host)
        {
            host.metrics.retried();
        }
        exchange.chosen += 1;
        Some(host)
    }

    /// Writes the request to a connection.
    fn send(&mut self, key: ExchangeKey, server_key: ServerKey, bytes: &[u8], whole: bool) {
        let (Some(exchange), Some(server)) = (
            self.exchanges.get_mut(key),
            self.servers.get_mut(server_key),
        ) else {
            return;
        };
        let before = server.outbox.len();
        let (attempt, id) = server
            .attempts
            .add(key, exchange.answers, server.outbox.end());
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        server
            .codec
            .forward(id, frame, server.outbox.append(&mut self.spare));
        let end = server.outbox.end();
        if let Some(attempt) = server.attempts.get_mut(attempt) {
            attempt.end = end;
        }
        match exchange.answers {
            Answers::None => server.one_way.push_back(attempt),
            _ if server.in_order => server.fifo.push_back(attempt),
            _ => {}
        }
        self.buffered += server.outbox.len() - before;
        server.streaming = !whole;
        exchange.attempt = Some(Sent {
            server: server_key,
            attempt,
            host: server.host,
        });
        if let Some(host) = self.tables.hosts.get_mut(server.host) {
            host.active += 1;
            host.metrics.attempt_started();
        }
        if server.in_order {
            self.watch_head(server_key);
        }
        self.log_attempt(key);
        self.bind_pin(key, server_key);
        self.flush_server(server_key);
    }

    fn bind_pin(&mut self, key: ExchangeKey, server: ServerKey) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        if matches!(exchange.pin, Pin::UntilClose | Pin::UntilRelease)
            && let Some(client) = self.clients.get_mut(exchange.client)
        {
            client.pin = Some(server);
        }
    }

    /// Why a request cannot be served, with the names of what is concerned.
    fn reason(&self, key: ExchangeKey, status: Status) -> String {
        let exchange = self.exchanges.get(key);
        let cluster = exchange
            .and_then(|exchange| exchange.cluster.as_ref())
            .map_or("", |cluster| cluster.name.as_ref());
        let service = exchange
            .and_then(|exchange| self.clients.get(exchange.client))
            .and_then(|client| self.tables.service(client.service))
            .map_or("", |service| service.name.as_ref());
        match status {
            Status::NoRoute if service.is_empty() => "the service is withdrawn".to_owned(),
            Status::NoRoute => format!("no route of {service} matches the request"),
            Status::NoHealthyUpstream => format!("no healthy endpoint in {cluster}"),
            Status::ConnectFailure => format!("no endpoint of {cluster} can be reached"),
            Status::UpstreamReset => {
                format!("the endpoint of {cluster} closed the connection before it answered")
            }
            Status::UpstreamMalformed => {
                format!("the endpoint of {cluster} broke the protocol")
            }
            Status::Timeout => format!("no answer of {cluster} within the deadline"),
            _ => format!("all connections to {cluster} are at their limit"),
        }
    }

    pub(super) fn exchange_timed_out(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        exchange.deadline = None;
        if let Some(sent) = exchange.attempt {
            self.report(sent.host, false);
        }
        self.fail(key, Status::Timeout);
    }

    /// Ends an exchange whose upstream connection is of no further use.
    pub(super) fn fail(&mut self, key: ExchangeKey, status: Status) {
        let message = self.reason(key, status);
        self.answer(key, status, &message);
    }

    /// Answers in the proxy's own words and ends the exchange. A client that is in the middle of an
    /// answer, or whose dialect has no words for it, cannot be told anything: its connection closes.
    pub(super) fn answer(&mut self, key: ExchangeKey, status: Status, message: &str) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let client = exchange.client;
        let owed = exchange.answers != Answers::None && !exchange.answered;
        let mut end = End::local(ResponseFlag::from(status));
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

    /// Forgets an exchange and settles what it held.
    pub(super) fn finish(&mut self, key: ExchangeKey, end: End) {
        self.cut_request_short(key);
        self.leave_server(key);
        let Some(exchange) = self.exchanges.remove(key) else {
            return;
        };
        if let Some(timer) = exchange.deadline {
            self.timers.cancel(timer);
        }
        let duration = self.now.saturating_duration_since(exchange.started);
        exchange.series.record(Answered {
            outcome: end.outcome,
            code: end.code,
            flag: end.flag,
            duration,
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
        });
        let client_key = exchange.client;
        if let Some(client) = self.clients.get_mut(client_key) {
            client.metrics.request_finished();
            if let Some(moved) = client.flights.remove(exchange.place)
                && let Some(moved) = self.exchanges.get_mut(moved)
            {
                moved.place = exchange.place;
            }
        }
        if exchange.log.is_some() {
            self.write_log(exchange, end);
        }
        self.client_settled(client_key);
    }

    /// The exchange no longer waits for its attempt; the attempt stays as a tombstone where its
    /// answer could not be told from another's.
    fn leave_server(&mut self, key: ExchangeKey) {
        let Some(sent) = self
            .exchanges
            .get_mut(key)
            .and_then(|exchange| exchange.attempt.take())
        else {
            return;
        };
        if let Some(host) = self.tables.hosts.get_mut(sent.host) {
            host.active = host.active.saturating_sub(1);
            host.metrics.attempt_finished();
        }
        self.forget_attempt(sent.server, sent.attempt);
    }
}
