//! The short way of a request that follows another one of its client: of the same session, to the
//! same destination, with nothing about either that is out of the ordinary.
//!
//! It does what `exchange` and `attempt` do, with one look at each of those concerned: the request
//! before it went the long way, or followed one that did, and this one goes where that one went.

use std::rc::Rc;

use meltemi_codec::{Answers, Constraint, Frame, Memo, Pin, Request};
use rand::Rng;

use super::{
    ClientKey, Engine, ServerKey, Timer,
    client::Client,
    exchange::{Exchange, Sent},
    lineup::Lineup,
    tables::{Destination, Route},
};

/// Where a request goes that follows another one.
pub(super) struct Way {
    server: ServerKey,
    route: Rc<Route>,
    to: Rc<Destination>,
}

impl Engine {
    /// Where a request goes that may follow its client's newest one. `None`: it has to go the long
    /// way.
    pub(super) fn way_of_newest(
        &self,
        key: ClientKey,
        request: &Request,
        bytes: &[u8],
    ) -> Option<Way> {
        if !is_ordinary(request) {
            return None;
        }
        let client = self.clients.get(key)?;
        let newest = self.exchanges.get(*client.flights.iter().next_back()?)?;
        let sent = self.leads_behind(client, newest, request)?;
        let to = newest.to.as_ref()?;
        let service = self.tables.service(client.service)?;
        let frame = whole(bytes, &request.memo);
        let route = service.select(|attribute| client.codec.attribute(frame, attribute))?;
        let leads_there = Rc::ptr_eq(route.next_destination()?, to);
        (route.changes_nothing() && leads_there).then(|| Way {
            server: sent.server,
            to: Rc::clone(to),
            route,
        })
    }

    /// Where a client's newest request went, if nothing but another route would lead the next one
    /// elsewhere.
    #[inline(always)]
    pub(super) fn leads_behind(
        &self,
        client: &Client,
        newest: &Exchange,
        request: &Request,
    ) -> Option<Sent> {
        let sent = newest.attempt?;
        let to = newest.to.as_ref()?;
        let is_alike = newest.own.is_none()
            && newest.pin == Pin::None
            && newest.session == request.session
            && !newest.exclusive
            && !newest.replica;
        let is_plain = !to.cluster.is_divided() && !to.dialect.redirects && to.buffering.is_none();
        let is_in_order = client.keeps_order() && client.lineup.is_some();
        let is_free = client.pin.is_none() && !client.over_limit;
        let has_room =
            self.buffered <= self.settings.buffered && self.in_flight() <= self.settings.in_flight;
        let is_recorded =
            self.telemetry.access_log().is_some() || self.observer.keeps(client.service);
        if !(is_alike && is_plain && is_in_order && is_free && has_room) || is_recorded {
            return None;
        }
        let service = self.tables.service(client.service)?;
        service.faults.is_empty().then_some(sent)
    }

    /// Sends a request on such a way.
    pub(super) fn go(&mut self, way: Way, key: ClientKey, request: Request, bytes: &[u8]) {
        let (Some(client), Some(server)) =
            (self.clients.get_mut(key), self.servers.get_mut(way.server))
        else {
            return;
        };
        client.metrics.requests_started(1);
        let turn = client.lineup.as_mut().map(Lineup::join);
        let asked = (&*client, whole(bytes, &request.memo));
        let random = &mut self.random;
        self.observer.sample(asked, self.now, || random.random());
        way.route.destination();
        let (timeout, host, server_key) = (way.route.timeout, server.host, way.server);
        let id = request.id;
        let exchange_key = self.exchanges.insert(Exchange {
            turn,
            route: Some(way.route),
            to: Some(way.to),
            request_bytes: bytes.len() as u64,
            ..Exchange::new(key, request, self.elapsed)
        });
        let Some(exchange) = self.exchanges.get_mut(exchange_key) else {
            return;
        };
        exchange.place = client.flights.add(id, exchange_key);
        let start = server.outbox.end();
        let (attempt, id) = server.attempts.add(exchange_key, Answers::One, start);
        let out = server.outbox.append(&mut self.spare);
        server.codec.forward(id, whole(bytes, &exchange.memo), out);
        if let Some(attempt) = server.attempts.get_mut(attempt) {
            attempt.end = server.outbox.end();
        }
        exchange.attempt = Some(Sent {
            server: server_key,
            attempt,
            host,
        });
        if let Some(limit) = timeout {
            let due = self.now + limit;
            exchange.deadline = Some(self.timers.set(due, Timer::Deadline(exchange_key)));
        }
        let written = server.outbox.end() - start;
        self.buffered += usize::try_from(written).unwrap_or(usize::MAX);
        let is_watched = server.head.is_some() || !server.in_order;
        if let Some(host) = self.tables.hosts.get_mut(host) {
            host.active += 1;
            host.metrics.attempts_started(1);
        }
        if !is_watched {
            self.watch_head(server_key);
        }
        self.flush_server(server_key);
    }
}

#[inline(always)]
pub(super) fn whole<'a>(bytes: &'a [u8], memo: &'a Memo) -> Frame<'a> {
    let whole = true;
    Frame { bytes, whole, memo }
}

/// Whether a request says nothing that would have to be looked at.
#[inline(always)]
pub(super) fn is_ordinary(request: &Request) -> bool {
    request.answers == Answers::One
        && request.pin == Pin::None
        && request.deadline.is_none()
        && !request.waits
        && matches!(
            request.constraint,
            Constraint::None | Constraint::Key | Constraint::Shard { .. }
        )
}
