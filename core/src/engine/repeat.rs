//! Requests that are sent again: to where an answer points, or later.

use std::{num::NonZeroU64, rc::Rc, time::Duration};

use meltemi_codec::{Constraint, LocalReply, Node, Outcome, Status};
use rand::Rng;

use super::{
    Engine, ExchangeKey, ServerKey, Timer,
    exchange::{Exchange, Sent},
    own::Purpose,
    pin::ASTRAY,
    tables::{Destination, HostKey},
    timers::TimerKey,
    wire_ids::AttemptKey,
};

/// What is kept of an exchange whose request may have to be sent again.
pub(super) struct Repeat {
    /// Of a run those of all its requests, one behind the other.
    pub(super) request: Vec<u8>,
    /// So many bytes at its front are of requests that are no longer part of the run.
    pub(super) gone: usize,
    redirects: u8,
    waits: u8,
    /// Only this request, and not what it is about.
    pub(super) once: bool,
    /// It is the one that its client's connection is pinned since.
    pub(super) pinned: bool,
    /// How often its route had it sent again.
    pub(super) retries: u32,
    /// When its next try begins.
    pub(super) pause: Option<TimerKey>,
    /// It is sent again behind those of its client that are before it.
    pub(super) in_turn: bool,
    /// Its cluster counts it among its repetitions.
    pub(super) counted: bool,
    /// When its current attempt has taken too long.
    pub(super) limit: Option<TimerKey>,
    /// When another endpoint is asked as well.
    pub(super) hedge: Option<TimerKey>,
    /// Another endpoint was asked as well.
    pub(super) hedged: bool,
    /// Of two attempts that are under way the first.
    pub(super) rival: Option<Sent>,
}

impl Repeat {
    pub(super) fn of(request: Vec<u8>) -> Self {
        Self {
            request,
            gone: 0,
            redirects: 0,
            waits: 0,
            once: false,
            pinned: false,
            retries: 0,
            pause: None,
            in_turn: false,
            counted: false,
            limit: None,
            hedge: None,
            hedged: false,
            rival: None,
        }
    }

    /// Whether its request was sent once, and is merely kept.
    pub(super) fn is_only_kept(&self) -> bool {
        let again = self.redirects > 0 || self.waits > 0 || self.retries > 0;
        !(again || self.once || self.pinned || self.hedged)
    }

    /// Of a run: the bytes of the oldest request, which leaves it.
    pub(super) fn leaves(&mut self, len: usize) -> &[u8] {
        let start = self.gone;
        self.gone += len;
        self.request.get(start..self.gone).unwrap_or_default()
    }

    /// The last request of a run is left.
    pub(super) fn is_last(&mut self) -> usize {
        let gone = std::mem::take(&mut self.gone);
        self.request.drain(..gone.min(self.request.len()));
        gone
    }

    /// Bytes that it keeps.
    pub(super) fn len(&self) -> usize {
        self.request.len()
    }
}

/// Redirects that a request follows without a pause: each is a change that the proxy had not heard
/// of.
const REDIRECTS: u8 = 5;
/// Pauses of a request that is to be tried later: they double from the first.
const WAITS: u8 = 8;
const FIRST_WAIT: Duration = Duration::from_millis(10);

impl Engine {
    /// Keeps the request where its protocol's answers may send it elsewhere.
    pub(super) fn keep_for_repetition(&mut self, key: ExchangeKey, bytes: &[u8]) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let mut request = self.spare.take();
        request.extend_from_slice(bytes);
        self.buffered += request.len();
        exchange.repeat = Some(self.spare_repeats.put(Repeat::of(request)));
    }

    /// Keeps a request that has just been sent, and watches how long it takes.
    pub(super) fn keep_sent(&mut self, key: ExchangeKey, bytes: &[u8]) {
        self.keep_for_repetition(key, bytes);
        self.watch_try(key);
    }

    /// Whether an answer means that the request is sent again instead of being answered with it.
    pub(super) fn is_repeated(
        &mut self,
        key: ExchangeKey,
        (server, attempt): (ServerKey, AttemptKey),
        outcome: &Outcome,
    ) -> bool {
        let to = match outcome {
            Outcome::Redirect { to, once } => Some((to, *once)),
            Outcome::TryLater { .. } => None,
            _ => return false,
        };
        let Some(exchange) = self.exchanges.get(key).filter(|it| it.may_be_redirected()) else {
            return false;
        };
        let pinned = self
            .clients
            .get(exchange.client)
            .and_then(|client| client.pin);
        let bound = pinned == Some(server) && !self.may_be_unpinned(exchange, server, to);
        if to.is_none() {
            self.suspect_of(server);
        }
        let Some(exchange) = self.exchanges.get(key) else {
            return false;
        };
        if bound || exchange.answered || exchange.repeat.is_none() {
            if let Some((to, false)) = to {
                self.note_redirect(key, server, to);
            }
            return false;
        }
        match to {
            Some((to, once)) => self.follow(key, (server, attempt), to, once),
            None => {
                let again = self.may_wait(key) && !self.is_followed(key);
                if again {
                    self.unpin(key, server);
                    self.detach_answered(key, server, attempt);
                    self.try_again_later(key);
                }
                again
            }
        }
    }

    /// What a redirect says of the cluster. Returns the endpoint that it names.
    fn note_redirect(&mut self, key: ExchangeKey, server: ServerKey, to: &Node) -> Option<HostKey> {
        let exchange = self.exchanges.get(key)?;
        let cluster = Rc::clone(&exchange.to.as_ref()?.cluster);
        let from = self.servers.get(server)?.host;
        let constraint = exchange.constraint.clone();
        let host = self.tables.redirect_target(&cluster, to, from)?;
        if let Constraint::Shard { slot, .. } = constraint {
            if cluster.moved(slot, host) {
                self.hold_clients_of(&cluster);
            }
            self.topology_redirected(&cluster, slot, to);
        }
        Some(host)
    }

    fn follow(
        &mut self,
        key: ExchangeKey,
        (server, attempt): (ServerKey, AttemptKey),
        to: &Node,
        once: bool,
    ) -> bool {
        let host = match once {
            false => self.note_redirect(key, server, to),
            true => self.redirect_target(key, server, to),
        };
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return false;
        };
        let (Some(host), Some(repeat)) = (host, &mut exchange.repeat) else {
            return false;
        };
        if repeat.redirects >= REDIRECTS {
            return false;
        }
        repeat.redirects += 1;
        repeat.once = once;
        exchange.aim = Some(host);
        exchange.chosen = 0;
        self.unpin(key, server);
        self.detach_answered(key, server, attempt);
        self.send_again(key);
        true
    }

    /// Whether its cluster's endpoints are no concern of clients.
    pub(super) fn is_of_learned(&self, key: ExchangeKey) -> bool {
        let exchange = self.exchanges.get(key).filter(|e| e.own.is_none());
        let to = exchange.and_then(|exchange| exchange.to.as_ref());
        to.is_some_and(|to| to.cluster.topology().is_some())
    }

    /// A redirect that is not followed: the request is too large to be sent again, what its client
    /// did before is on that connection, or it was sent to and fro. To the client all endpoints are
    /// one server, so it is not told of another.
    pub(super) fn refuse_redirect(&mut self, key: ExchangeKey, by: ServerKey, once: bool) {
        let exchange = self.exchanges.get(key);
        let client = exchange.and_then(|exchange| self.clients.get(exchange.client));
        let is_astray = !once && client.is_some_and(|client| client.pin == Some(by));
        self.deliver(key, |codec, request, out| {
            let reply = match is_astray {
                true => LocalReply {
                    status: Status::Unsupported,
                    message: ASTRAY,
                },
                false => LocalReply {
                    status: Status::Overloaded,
                    message: "its key is moving to another server; try again",
                },
            };
            codec.local_reply(request.id, request.memo, reply, out);
        });
    }

    fn redirect_target(
        &mut self,
        key: ExchangeKey,
        server: ServerKey,
        to: &Node,
    ) -> Option<HostKey> {
        let exchange = self.exchanges.get(key)?;
        let cluster = Rc::clone(&exchange.to.as_ref()?.cluster);
        let from = self.servers.get(server)?.host;
        self.tables.redirect_target(&cluster, to, from)
    }

    /// Whether the connection that this request pinned may be let go again: nothing of its client
    /// has followed it there. (Where the request goes for once, what follows would not.)
    fn may_be_unpinned(
        &self,
        exchange: &Exchange,
        server: ServerKey,
        to: Option<(&Node, bool)>,
    ) -> bool {
        let alone = || {
            let server = self.servers.get(server);
            server.is_some_and(|server| server.attempts.len() == 1)
        };
        let pinned = exchange.repeat.as_ref().is_some_and(|it| it.pinned);
        pinned && !matches!(to, Some((_, true))) && alone()
    }

    fn unpin(&mut self, key: ExchangeKey, server: ServerKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if let Some(repeat) = &mut exchange.repeat
            && std::mem::take(&mut repeat.pinned)
            && let Some(client) = self.clients.get_mut(exchange.client)
            && client.pin == Some(server)
        {
            client.pin = None;
        }
    }

    fn suspect_of(&mut self, server: ServerKey) {
        if let Some(server) = self.servers.get(server) {
            self.suspect(server.host);
        }
    }

    /// Whether a later request of the same client may have been sent that this one, sent again,
    /// would be behind of.
    pub(super) fn is_followed(&self, key: ExchangeKey) -> bool {
        self.is_followed_by(key, |_| true)
    }

    /// The same, where those that are sent again in turn come behind it.
    pub(super) fn is_followed_out_of_turn(&self, key: ExchangeKey) -> bool {
        self.is_followed_by(key, |other| !other.is_in_turn())
    }

    fn is_followed_by(&self, key: ExchangeKey, counts: impl Fn(&Exchange) -> bool) -> bool {
        let Some(exchange) = self.exchanges.get(key) else {
            return false;
        };
        let Some(client) = self.clients.get(exchange.client) else {
            return false;
        };
        let turn = self.turn(exchange);
        let follows = |other: &ExchangeKey| {
            let other = self.exchanges.get(*other).filter(|_| *other != key);
            other.is_some_and(|other| {
                other.gather.is_none()
                    && counts(other)
                    && self.turn(other) > turn
                    && may_concern_the_same(&exchange.constraint, &other.constraint)
            })
        };
        client.keeps_order()
            && (client.outrun.is_some_and(|outrun| Some(outrun) >= turn)
                || client.flights.iter().any(follows))
    }

    /// The turn of a request, or of the one that it is a part of.
    pub(super) fn turn(&self, exchange: &Exchange) -> Option<NonZeroU64> {
        match exchange.own.as_ref().map(|own| own.purpose) {
            Some(Purpose::Part { of, .. }) => self.exchanges.get(of)?.turn,
            _ => exchange.turn,
        }
    }

    /// The server has answered, but not the client.
    pub(super) fn detach_answered(
        &mut self,
        key: ExchangeKey,
        server: ServerKey,
        attempt: AttemptKey,
    ) {
        self.attempt_over(server, attempt);
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if let Some(sent) = exchange.attempt.take() {
            exchange.attempt_over();
            if let Some(host) = self.tables.hosts.get_mut(sent.host) {
                host.active = host.active.saturating_sub(1);
                host.metrics.attempts_finished(1);
            }
        }
        self.let_nothing_follow(key);
        self.server_settled(server);
    }

    fn may_wait(&self, key: ExchangeKey) -> bool {
        let repeat = self.exchanges.get(key).and_then(|e| e.repeat.as_ref());
        repeat.is_some_and(|repeat| repeat.waits < WAITS)
    }

    /// Lets the request wait for better times. False: it has waited often enough.
    pub(super) fn try_again_later(&mut self, key: ExchangeKey) -> bool {
        let jitter = self.random.random_range(0.5..1.0);
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return false;
        };
        let Some(repeat) = exchange.repeat.as_mut().filter(|r| r.waits < WAITS) else {
            return false;
        };
        let pause = FIRST_WAIT * (1 << repeat.waits);
        repeat.waits += 1;
        repeat.redirects = 0;
        exchange.chosen = 0;
        let due = self.now + pause.mul_f64(jitter);
        repeat.pause = Some(self.timers.set(due, Timer::Again(key)));
        self.let_nothing_follow(key);
        true
    }

    /// Sends what was kept, unless its exchange has ended.
    pub(super) fn send_again(&mut self, key: ExchangeKey) {
        let Some(repeat) = self
            .exchanges
            .get_mut(key)
            .filter(|exchange| exchange.attempt.is_none())
            .and_then(|exchange| exchange.repeat.as_mut())
        else {
            return;
        };
        let request = std::mem::take(&mut repeat.request);
        self.attempt(key, &request, true);
        self.give_back_kept(key, request);
    }

    /// A request that was kept has been sent: it is kept on, unless its exchange has ended.
    pub(super) fn give_back_kept(&mut self, key: ExchangeKey, request: Vec<u8>) {
        if let Some(repeat) = self.exchanges.get_mut(key).and_then(|e| e.repeat.as_mut()) {
            repeat.request = request;
        } else {
            self.buffered = self.buffered.saturating_sub(request.len());
            self.spare.give(request);
        }
    }

    /// The exchange is over: its request is not sent again.
    pub(super) fn drop_kept(&mut self, mut repeat: Box<Repeat>, to: Option<&Destination>) {
        let timers = [
            repeat.limit.take(),
            repeat.hedge.take(),
            repeat.pause.take(),
        ];
        for timer in timers.into_iter().flatten() {
            self.timers.cancel(timer);
        }
        let budget = to.and_then(|to| to.cluster.budget.as_ref());
        if let Some(budget) = budget.filter(|_| repeat.counted) {
            budget.end();
        }
        let request = std::mem::take(&mut repeat.request);
        self.buffered = self.buffered.saturating_sub(request.len());
        self.spare.give(request);
        self.spare_repeats.give(repeat);
    }
}

impl Exchange {
    /// Whether its cluster's answers may send it elsewhere, or ask for it again.
    fn may_be_redirected(&self) -> bool {
        self.to.as_ref().is_some_and(|to| to.dialect.redirects)
    }
}

/// Whether the order of two requests may matter.
fn may_concern_the_same(one: &Constraint, other: &Constraint) -> bool {
    match (one, other) {
        (Constraint::Shard { slot: one, .. }, Constraint::Shard { slot: other, .. }) => {
            one == other
        }
        _ => true,
    }
}
