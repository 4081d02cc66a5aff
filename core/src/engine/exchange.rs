//! A request from its arrival to its last answer: route, cluster, endpoint, attempts.

use std::{
    num::{NonZeroU32, NonZeroU64},
    rc::Rc,
    time::Duration,
};

use meltemi_codec::{
    Answers, Constraint, Edit, Frame, Memo, Outcome, Pin, Request, Session, Sharing, Status,
};
use meltemi_policy::route::{Steps, Undecided};

use super::{
    ClientKey, Engine, ExchangeKey, ServerKey,
    authorization::Access,
    deadlines::DeadlineKey,
    follow::is_ordinary,
    held::Held,
    lineup::Lineup,
    log::Draft,
    observe::Observed,
    own::{Own, Purpose},
    pin::ASTRAY,
    repeat::Repeat,
    run::Run,
    scatter::Gather,
    tables::{Candidates, Destination, HostKey, Route, Slot},
    wire_ids::AttemptKey,
};
use crate::{
    outlier,
    telemetry::{OutcomeLabel, ResponseFlag},
};

/// A request in flight. It holds its route and cluster, not the configuration that they came from.
pub(super) struct Exchange {
    /// Whose request it is; of one that the proxy makes for nobody, a client that never was.
    pub(super) client: ClientKey,
    /// Where the answer goes, if not to the client.
    pub(super) own: Option<Box<Own>>,
    /// The client's id.
    pub(super) id: u64,
    /// Its place among the client's flights.
    pub(super) place: u32,
    /// Its turn, where answers are in order.
    pub(super) turn: Option<NonZeroU64>,
    pub(super) memo: Memo,
    pub(super) answers: Answers,
    pub(super) pin: Pin,
    pub(super) constraint: Constraint,
    pub(super) session: Option<Session>,
    /// As [`Request::waits`].
    pub(super) waits: bool,
    pub(super) idempotent: bool,
    pub(super) exclusive: bool,
    /// The endpoint that it has to ask next.
    pub(super) aim: Option<HostKey>,
    /// It is asked as one that follows another.
    pub(super) replica: bool,
    pub(super) repeat: Option<Box<Repeat>>,
    pub(super) gather: Option<Box<Gather>>,
    /// What its route changes in its answers.
    pub(super) answer_edits: Option<Rc<Vec<Edit>>>,
    /// What is kept of it before it is served.
    pub(super) held: Option<Box<Held>>,
    /// Its place among those that may be under way.
    pub(super) slot: Option<Box<Slot>>,
    pub(super) route: Option<Rc<Route>>,
    pub(super) to: Option<Rc<Destination>>,
    /// Of what its destination hashes, where that is not the protocol's key.
    pub(super) hash: Option<u64>,
    pub(super) candidates: Option<Box<Candidates>>,
    /// Endpoints that were chosen so far.
    pub(super) chosen: u8,
    /// One of them is there, if slow or busy: only those are asked that have a part of the load.
    pub(super) within_load: bool,
    pub(super) attempt: Option<Sent>,
    /// As [`Engine::elapsed`].
    pub(super) started: u64,
    pub(super) deadline: Option<DeadlineKey>,
    /// The deadline that its message says, in milliseconds from its arrival.
    pub(super) stated: Option<NonZeroU32>,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) answered: bool,
    pub(super) log: Option<Box<Draft>>,
    pub(super) observed: Option<Box<Observed>>,
    /// The request said nothing that would have to be looked at, nor how long it may take.
    pub(super) ordinary: bool,
    /// It counts towards the bound of its route.
    pub(super) counted: bool,
    /// Its attempt counts no more towards the bound of its cluster.
    pub(super) encoded: bool,
    /// It stands for several requests.
    pub(super) run: Option<Box<Run>>,
}

/// Where an exchange's current attempt is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) server: ServerKey,
    pub(super) attempt: AttemptKey,
    pub(super) host: HostKey,
    /// When, as [`Engine::elapsed`].
    pub(super) at: u64,
}

impl Sent {
    pub(super) fn is(self, server: ServerKey, attempt: AttemptKey) -> bool {
        self.server == server && self.attempt == attempt
    }
}

/// What routing has found out besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Routed {
    /// Its service or its route may keep it: for a fault, or to ask a rate limit service.
    may_be_kept: bool,
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

impl Exchange {
    #[inline(always)]
    pub(super) fn new(client: ClientKey, request: Request, started: u64) -> Self {
        Self {
            ordinary: is_ordinary(&request) && request.deadline.is_none(),
            client,
            own: None,
            id: request.id,
            place: 0,
            turn: None,
            memo: request.memo,
            answers: request.answers,
            pin: request.pin,
            constraint: request.constraint,
            session: request.session,
            waits: request.waits,
            idempotent: request.idempotent,
            exclusive: false,
            aim: None,
            replica: false,
            repeat: None,
            gather: None,
            answer_edits: None,
            held: None,
            slot: None,
            route: None,
            to: None,
            hash: None,
            candidates: None,
            chosen: 0,
            within_load: false,
            attempt: None,
            started,
            deadline: None,
            stated: None,
            request_bytes: 0,
            response_bytes: 0,
            answered: false,
            log: None,
            observed: None,
            counted: false,
            encoded: false,
            run: None,
        }
    }

    /// Whether something hangs on it that its answer or its end has to see to.
    pub(super) fn is_entangled(&self) -> bool {
        self.gather.is_some()
            || self.held.is_some()
            || self.slot.is_some()
            || self.pin == Pin::Release
            || self.answer_edits.is_some()
            || self.is_hedged()
    }

    /// Whether it goes on a connection that serves its client alone.
    pub(super) fn needs_its_own(&self) -> bool {
        self.exclusive || !matches!(self.pin, Pin::None | Pin::Aside)
    }

    /// Whether what its destination hashes decides who is asked.
    pub(super) fn is_hashed(&self) -> bool {
        let to = self.to.as_ref();
        let hashes = to.is_some_and(|to| !to.hash.is_empty() && to.cluster.is_hashed());
        hashes && !matches!(self.constraint, Constraint::Endpoint(_))
    }

    pub(super) fn is_probe(&self) -> bool {
        let own = self.own.as_ref();
        own.is_some_and(|own| matches!(own.purpose, Purpose::Probe(_)))
    }
}

/// A deadline that a message says, in the milliseconds in which it is passed on.
#[inline(always)]
pub(super) fn stated(deadline: Option<Duration>) -> Option<NonZeroU32> {
    let millis = deadline.and_then(|own| u32::try_from(own.as_millis()).ok());
    millis.and_then(NonZeroU32::new)
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
        let is_planned = request.constraint == Constraint::Planned;
        let key = self.admit(client, request, bytes.len())?;
        self.open_log(key, bytes, whole);
        self.observe(key, bytes, whole);
        if self.buffered > self.settings.buffered || self.in_flight() > self.settings.in_flight {
            if let Some(client) = self.clients.get(client) {
                client.metrics.overloaded();
            }
            self.answer(key, Status::Overloaded, "the proxy is at its limit");
            return Some(key);
        }
        let (access, has_pin) = self
            .clients
            .get(client)
            .map_or((Access::Free, false), |it| (it.access, it.pin.is_some()));
        if access == Access::Full {
            self.answer(
                key,
                Status::Overloaded,
                "the proxy has as many clients as it may",
            );
            self.close_after_flush(client);
            return Some(key);
        }
        if access != Access::Free && !self.authorized(key, bytes, whole) {
            return Some(key);
        }
        let may_be_kept = match self.route(key, bytes, whole) {
            Ok(routed) => routed.may_be_kept,
            Err(status) => {
                self.fail(key, status);
                return Some(key);
            }
        };
        if has_pin && self.is_astray(key, bytes, whole) {
            self.answer(key, Status::Unsupported, ASTRAY);
            return Some(key);
        }
        if self.limited(key, bytes, whole) || !self.admitted_by_route(key) {
            return Some(key);
        }
        self.set_deadline(key, deadline);
        if may_be_kept && self.kept_back(key, bytes, whole) {
            return Some(key);
        }
        match is_planned {
            true => self.serve(key, bytes, whole),
            false => self.dispatch(key, bytes, whole),
        }
        Some(key)
    }

    /// Whether something keeps a request from being served now; or it was answered.
    fn kept_back(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> bool {
        self.questioned(key, bytes, whole) || self.kept_at_last(key, bytes, whole)
    }

    /// The same where no rate limit service has to be asked any more.
    pub(super) fn kept_at_last(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> bool {
        self.crowded(key) || self.faulted(key, bytes, whole)
    }

    /// Serves a request that has its route: in one place, or in parts.
    #[inline(always)]
    pub(super) fn serve(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) {
        if !self.scattered(key, bytes, whole) {
            self.dispatch(key, bytes, whole);
        }
    }

    /// Sends a request, or a part of one, as its route wants it.
    #[inline(always)]
    pub(super) fn dispatch(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let (edits, mirrors) = exchange.route.as_ref().map_or((false, false), |route| {
            (route.changes_messages(), !route.mirrors.is_empty())
        });
        let (redirects, hashes) = exchange.to.as_ref().map_or((false, false), |to| {
            (to.dialect.redirects, !to.hash.is_empty())
        });
        if hashes {
            self.note_hash(key, bytes, whole);
        }
        let edited = if edits {
            self.edited(key, bytes, whole)
        } else {
            None
        };
        let bytes = edited.as_deref().unwrap_or(bytes);
        if mirrors {
            self.mirror(key, bytes, whole);
        }
        let retries = self
            .exchanges
            .get(key)
            .is_some_and(|exchange| exchange.may_be_retried(bytes.len()));
        if (redirects || retries) && whole {
            self.keep_for_repetition(key, bytes);
        }
        self.attempt(key, bytes, whole);
        if let Some(edited) = edited {
            self.spare.give(edited);
        }
    }

    /// Enters the request among what its client is owed.
    #[inline(always)]
    pub(super) fn admit(
        &mut self,
        client_key: ClientKey,
        request: Request,
        bytes: usize,
    ) -> Option<ExchangeKey> {
        let client = self.clients.get(client_key)?;
        let twice = client.lineup.is_none()
            && request.answers != Answers::None
            && self.is_flying(client, request.id);
        if twice {
            self.client_malformed(client_key, "the id of an unanswered request was used again");
            return None;
        }
        let client = self.clients.get_mut(client_key)?;
        client.metrics.requests_started(1);
        let owed = request.answers != Answers::None;
        if !owed {
            client.outrun = client
                .lineup
                .as_ref()
                .and_then(Lineup::newest)
                .max(client.outrun);
        }
        let lineup = client.lineup.as_mut().filter(|_| owed);
        let turn = lineup.map(Lineup::join);
        let (id, started) = (request.id, self.elapsed);
        Some(self.exchanges.insert_with_key(|key| Exchange {
            place: client.flights.add(id, key),
            turn,
            request_bytes: bytes as u64,
            ..Exchange::new(client_key, request, started)
        }))
    }

    /// Gives an exchange its key, and its place among what its client is owed.
    #[inline(always)]
    pub(super) fn enter(&mut self, exchange: Exchange) -> ExchangeKey {
        let (client, id) = (exchange.client, exchange.id);
        let key = self.exchanges.insert(exchange);
        if let Some(client) = self.clients.get_mut(client)
            && let Some(exchange) = self.exchanges.get_mut(key)
        {
            exchange.place = client.flights.add(id, key);
        }
        key
    }

    /// Finds the request's route and its cluster.
    #[inline(always)]
    pub(super) fn route(
        &mut self,
        key: ExchangeKey,
        bytes: &[u8],
        whole: bool,
    ) -> Result<Routed, Status> {
        let exchange = self.exchanges.get_mut(key).ok_or(Status::NoRoute)?;
        let client = self.clients.get(exchange.client).ok_or(Status::NoRoute)?;
        let service = self.tables.service(client.service).ok_or(Status::NoRoute)?;
        let mut routed = Routed {
            may_be_kept: !service.faults.is_empty(),
        };
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        let codec = client.codec.as_ref();
        let route = service.select(&client.source, &mut Steps::default(), |attribute| {
            codec.attribute(frame, attribute)
        });
        let route = route.map_err(|Undecided| {
            client.metrics.route_undecided();
            Status::TooLarge
        })?;
        let Some(route) = route else {
            // What a pinned connection needs to be released has no key to be routed by.
            let pinned = client.pin.is_some() && exchange.pin != Pin::Aside;
            exchange.to = client.pinned_to.clone().filter(|_| pinned);
            return exchange.to.as_ref().map(|_| routed).ok_or(Status::NoRoute);
        };
        let destination = route.destination().ok_or(Status::NoRoute)?;
        exchange.to = Some(Rc::clone(destination));
        routed.may_be_kept |= route.may_keep();
        exchange.route = Some(route);
        exchange.exclusive = !whole || client.traits.sharing == Sharing::Exclusive;
        Ok(routed)
    }

    #[inline(always)]
    pub(super) fn set_deadline(&mut self, key: ExchangeKey, own: Option<Duration>) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let route = exchange.route.as_ref().filter(|_| !exchange.waits);
        let route = route.and_then(|route| route.timeout);
        let limit = match (own, route) {
            (Some(own), Some(route)) => Some(own.min(route)),
            (own, route) => own.or(route),
        };
        exchange.stated = stated(own);
        if let Some(limit) = limit.filter(|_| exchange.answers != Answers::None) {
            let due = self.now + limit;
            exchange.deadline = Some(self.deadlines.set(&mut self.timers, due, key));
        }
    }

    /// Why a request cannot be served, with the names of what is concerned.
    pub(super) fn reason(&self, key: ExchangeKey, status: Status) -> String {
        let exchange = self.exchanges.get(key);
        let cluster = exchange
            .and_then(|exchange| exchange.to.as_ref())
            .map_or("", |to| to.cluster.name.as_ref());
        let service = exchange
            .and_then(|exchange| self.clients.get(exchange.client))
            .and_then(|client| self.tables.service(client.service))
            .map_or("", |service| service.name.as_ref());
        match status {
            Status::NoRoute if service.is_empty() => "the service is withdrawn".to_owned(),
            Status::NoRoute => format!("no route of {service} matches the request"),
            Status::TooLarge => format!(
                "a value is too long for the regular expressions of the routes of {service}"
            ),
            Status::NoHealthyUpstream => format!("no healthy endpoint in {cluster}"),
            Status::ConnectFailure => format!("no endpoint of {cluster} can be reached"),
            Status::UpstreamReset => {
                format!("the endpoint of {cluster} closed the connection before it answered")
            }
            Status::UpstreamMalformed => {
                format!("the endpoint of {cluster} broke the protocol")
            }
            Status::Timeout => format!("no answer of {cluster} within the deadline"),
            _ => format!(
                "all connections to {cluster} are at their limit: its `maxConnections`, or {} to one \
                 endpoint that serve one client each",
                self.settings.own_connections_per_endpoint
            ),
        }
    }

    pub(super) fn deadline_passed(&mut self, key: DeadlineKey) {
        let mut late = self.deadlines.fired(&mut self.timers, key);
        for exchange in late.drain(..) {
            let has_it = self.exchanges.get(exchange);
            if has_it.is_some_and(|it| it.deadline == Some(key)) {
                self.exchange_timed_out(exchange);
            }
        }
        self.deadlines.give(late);
    }

    pub(super) fn exchange_timed_out(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        exchange.deadline = None;
        for sent in exchange.under_way() {
            self.report(sent.host, outlier::Outcome::Timeout);
            self.measure(sent);
            self.suspect(sent.host);
        }
        self.hold_client_of(key);
        self.fail(key, Status::Timeout);
    }

    /// Ends an exchange whose upstream connection is of no further use.
    pub(super) fn fail(&mut self, key: ExchangeKey, status: Status) {
        let message = self.reason(key, status);
        self.answer(key, status, &message);
    }
}
