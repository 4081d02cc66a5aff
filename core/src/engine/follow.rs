//! The short way of a request about which nothing is out of the ordinary: behind its client's newest,
//! of the same session and to the same destination, or, where it need not keep behind any, to whichever
//! endpoint is next.
//!
//! It does what `exchange` and `attempt` do, with one look at each of those concerned.

use std::rc::Rc;

use meltemi_codec::{Answers, Constraint, Frame, Memo, Pin, Request, Sharing};
use rand::Rng;

use super::{
    ClientKey, Engine, ServerKey,
    authorization::Access,
    client::Client,
    exchange::{Exchange, Sent, stated},
    lineup::Lineup,
    run::Party,
    server::Line,
    tables::{Candidates, Destination, HostKey, Metered, Route},
};

/// Where a request goes.
pub(super) struct Way {
    server: ServerKey,
    route: Rc<Route>,
    to: Rc<Destination>,
    /// Of the endpoints; `None` where it follows another request.
    candidates: Option<Box<Candidates>>,
    /// The run of this read that it may join.
    party: Option<usize>,
}

impl Engine {
    /// Where a request goes that nothing keeps from going a short way.
    #[inline(always)]
    pub(super) fn short_way(
        &mut self,
        key: ClientKey,
        (request, bytes): (&Request, &[u8]),
        parties: &[Party],
    ) -> Option<Way> {
        let client = self.clients.get(key).filter(|_| is_ordinary(request))?;
        match client.keeps_order() && !client.flights.is_empty() {
            true => self.way_of_newest(key, request, bytes),
            false => self.way_of_first(key, (request, bytes), parties),
        }
    }

    /// Where its client's newest one went.
    fn way_of_newest(&mut self, key: ClientKey, request: &Request, bytes: &[u8]) -> Option<Way> {
        let client = self.clients.get(key)?;
        let newest = self.exchanges.get(*client.flights.iter().next_back()?)?;
        let sent = self.leads_behind(client, newest, request)?;
        let to = newest.to.as_ref()?;
        let route = self.plain_route(client, request, bytes)?;
        if !Rc::ptr_eq(route.next_destination()?, to) {
            return None;
        }
        let to = Rc::clone(to);
        let bucket = route.bucket(client, whole(bytes, &request.memo));
        if bucket.is_some_and(|bucket| !bucket.take(self.elapsed)) {
            return None;
        }
        let admitted = self.admits((&route, &to), sent.server, key);
        Metered::settle(bucket, admitted);
        admitted.then_some(Way {
            server: sent.server,
            to,
            route,
            candidates: None,
            party: None,
        })
    }

    /// A connection to the endpoint that is next. A draw of the balancer is lost only where no
    /// connection can be had.
    fn way_of_first(
        &mut self,
        key: ClientKey,
        (request, bytes): (&Request, &[u8]),
        parties: &[Party],
    ) -> Option<Way> {
        let random = self.random.random();
        let client = self.clients.get(key).filter(|it| self.is_unhindered(it))?;
        let is_twice = client.lineup.is_none() && self.is_flying(client, request.id);
        let is_newest = client.flights.lacks(request.id);
        let route = self
            .plain_route(client, request, bytes)
            .filter(|_| !is_twice)?;
        let to = Rc::clone(route.next_destination().filter(|to| to.is_plain())?);
        let sharing = to.dialect.traits.sharing;
        if [sharing, client.traits.sharing].contains(&Sharing::Exclusive) {
            return None;
        }
        let bucket = route.bucket(client, whole(bytes, &request.memo));
        if bucket.is_some_and(|bucket| !bucket.take(self.elapsed)) {
            return None;
        }
        let line = self.line_of_first(key, request, (&to, random));
        let line = line.filter(|(server, _)| self.admits((&route, &to), *server, key));
        Metered::settle(bucket, line.is_some());
        let (server, candidates) = line?;
        let party = match parties {
            [] => None,
            _ if !is_newest || request.memo.data.is_some() || route.keeps(bytes.len()) => None,
            _ => self.party_of(parties, server, (&route, &to), request),
        };
        Some(Way {
            server,
            to,
            candidates: Some(candidates),
            route,
            party,
        })
    }

    /// A connection to the destination's next endpoint.
    #[inline(always)]
    fn line_of_first(
        &mut self,
        key: ClientKey,
        request: &Request,
        (to, random): (&Rc<Destination>, u64),
    ) -> Option<(ServerKey, Box<Candidates>)> {
        let drawn = to.cluster.candidates(random)?;
        let mut candidates = self.spare_candidates.put(drawn);
        candidates.doubt();
        let hosts = &self.tables.hosts;
        let host = to.cluster.next(&mut candidates, hosts, self.elapsed);
        match host.and_then(|host| self.line_to(host, key, request, to)) {
            Some(server) => Some((server, candidates)),
            None => {
                self.spare_candidates.give(candidates);
                None
            }
        }
    }

    /// A connection to an endpoint.
    #[inline(always)]
    fn line_to(
        &mut self,
        host: HostKey,
        key: ClientKey,
        request: &Request,
        to: &Rc<Destination>,
    ) -> Option<ServerKey> {
        let sharing = to.dialect.traits.sharing;
        let own = sharing == Sharing::PerClient;
        let carries = |line: &Line| line.is(&to.dialect, request.session.as_ref());
        let server = match self.ready(host, (own, sharing), carries) {
            Some(server) => server,
            None if to
                .cluster
                .limits
                .as_ref()
                .is_some_and(|it| it.refuses_new().is_some()) =>
            {
                return None;
            }
            // What overflows is counted where the request is looked at again.
            None => {
                let line = Line::new(&to.dialect, request.session.clone());
                self.open(host, own, line).ok()?
            }
        };
        if own {
            self.give_to(server, key);
        }
        Some(server)
    }

    /// The route of a request, if it changes nothing and nothing of its service does.
    #[inline(always)]
    fn plain_route(&self, client: &Client, request: &Request, bytes: &[u8]) -> Option<Rc<Route>> {
        let service = self.tables.service(client.service)?;
        let frame = whole(bytes, &request.memo);
        let route = self.tables.route(service, client, frame)?;
        let is_plain = route.changes_nothing() && route.allows(request.deadline);
        (service.faults.is_empty() && is_plain).then_some(route)
    }

    /// Whether nothing is kept of the client's requests, nothing binds them, and there is room.
    #[inline(always)]
    fn is_unhindered(&self, client: &Client) -> bool {
        client.pin.is_none()
            && client.access == Access::Free
            && self.buffered <= self.settings.buffered
            && self.in_flight() < self.settings.in_flight
            && !self.logged.takes_next()
            && !self.observer.keeps(client.service)
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
        let is_in_order = client.keeps_order() && client.lineup.is_some();
        if !(is_alike && is_in_order && to.is_plain() && self.is_unhindered(client)) {
            return None;
        }
        let service = self.tables.service(client.service)?;
        service.faults.is_empty().then_some(sent)
    }

    /// Sends a request on such a way.
    pub(super) fn go(
        &mut self,
        way: Way,
        key: ClientKey,
        (request, bytes): (Request, &[u8]),
        parties: &mut Vec<Party>,
    ) {
        if let Some(party) = way.party.and_then(|party| parties.get_mut(party)) {
            way.route.destination();
            if let Some(drawn) = way.candidates {
                self.spare_candidates.give(drawn);
            }
            return self.join_party(party, request, bytes);
        }
        parties.extend(self.begin(way, key, request, bytes));
    }

    /// The same where it goes alone: the run that others of this read may make of it.
    #[inline(always)]
    fn begin(&mut self, way: Way, key: ClientKey, request: Request, bytes: &[u8]) -> Option<Party> {
        let (Some(client), Some(server)) =
            (self.clients.get_mut(key), self.servers.get_mut(way.server))
        else {
            return None;
        };
        client.metrics.requests_started(1);
        let turn = client.lineup.as_mut().map(Lineup::join);
        let asked = (&*client, whole(bytes, &request.memo));
        let random = &mut self.random;
        self.observer.sample(asked, self.now, || random.random());
        way.route.destination();
        let chosen = u8::from(way.candidates.is_some());
        let limit = request.deadline.or(way.route.timeout);
        let (host, server_key) = (server.host, way.server);
        let (counted, keeps) = (way.route.limit.is_some(), way.route.keeps(bytes.len()));
        let leads = client.is_in_any_order() && !server.in_order && !keeps;
        let deadline = request.deadline;
        let exchange_key = self.exchanges.insert(Exchange {
            turn,
            counted,
            stated: stated(request.deadline),
            route: Some(way.route),
            to: Some(way.to),
            candidates: way.candidates,
            chosen,
            request_bytes: bytes.len() as u64,
            ..Exchange::new(key, request, self.elapsed)
        });
        let exchange = self.exchanges.get_mut(exchange_key)?;
        exchange.place = client.flights.add(exchange.id, exchange_key);
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
            at: self.elapsed,
        });
        let due = limit.map(|limit| self.now + limit);
        let set = |due| self.deadlines.set(&mut self.timers, due, exchange_key);
        exchange.deadline = due.map(set);
        let written = server.outbox.end() - start;
        self.buffered += usize::try_from(written).unwrap_or(usize::MAX);
        let is_watched = server.head.is_some() || !server.in_order;
        self.tables.attempt_starts(host);
        if !is_watched {
            self.watch_head(server_key);
        }
        if keeps {
            self.keep_sent(exchange_key, bytes);
        }
        self.flush_server(server_key);
        leads.then(|| Party::of(exchange_key, server_key, deadline))
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
        && !request.waits
        && matches!(
            request.constraint,
            Constraint::None | Constraint::Key | Constraint::Shard { .. }
        )
}
