//! A connection to a server.

use std::{
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use meltemi_codec::{Correlation, Expected, Limits, Memo, Opening, Pin, Session, Traits, Upstream};

use super::{
    Action, ClientKey, ConnectionId, Engine, Exchange, ExchangeKey, ServerKey, Timer,
    exchange::End,
    outbox::Outbox,
    tables::{Dialect, HostKey},
    timers::TimerKey,
    wire_ids::{AttemptKey, Attempts},
};
use crate::{
    circuit::{Further, Permit},
    telemetry::{ClusterMetrics, OutcomeLabel, ResponseFlag},
};
use slotmap::SlotMap;

/// A connection to a server and the requests that are on it.
pub(super) struct Server {
    pub(super) codec: Box<dyn Upstream>,
    /// What is spoken on it, and in which state: requests share it only where both are theirs.
    pub(super) line: Line,
    pub(super) traits: Traits,
    pub(super) in_order: bool,
    pub(super) host: HostKey,
    pub(super) metrics: ClusterMetrics,
    pub(super) permit: Permit,
    /// Where it is not the first shared connection of its worker to the endpoint.
    pub(super) further: Option<Further>,
    /// Requests that it was given, where there is a bound to them.
    pub(super) carried: u32,
    pub(super) connected: bool,
    /// While its codec's handshake is under way: where that ends in what is to be sent. Nothing
    /// behind it leaves.
    pub(super) handshake: Option<u64>,
    pub(super) inbox: Vec<u8>,
    pub(super) need: usize,
    pub(super) incoming: Incoming,
    /// What there is of such a message.
    pub(super) push: Vec<u8>,
    pub(super) outbox: Outbox,
    /// A large request is being written to it: what this leg itself has to say waits in `held`.
    pub(super) streaming: bool,
    pub(super) held: Vec<u8>,
    pub(super) attempts: Attempts,
    /// Attempts that end when their last byte has left.
    pub(super) one_way: VecDeque<AttemptKey>,
    /// The one client that it serves for now.
    pub(super) owner: Option<ClientKey>,
    /// It takes no new requests.
    pub(super) retiring: bool,
    pub(super) reading: bool,
    pub(super) last_read: Instant,
    pub(super) last_used: Instant,
    pub(super) stall: Option<TimerKey>,
    /// Set while requests are gathered.
    pub(super) gathering: Option<TimerKey>,
    /// Set while the oldest request of an in-order connection is unanswered.
    pub(super) head: Option<TimerKey>,
}

/// What the next bytes of a server are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A message.
    Message,
    /// The rest of a large answer; `None` where its size is not known.
    Body {
        exchange: ExchangeKey,
        attempt: AttemptKey,
        left: Option<u64>,
        end: End,
        /// No other answer follows.
        over: bool,
        /// Its client is to hear of it.
        is_heard: bool,
    },
    /// The rest of a large message for nobody.
    Skip { left: Option<u64> },
    /// The rest of a large message of the server's own for its client.
    Push { left: Option<u64> },
}

/// What is spoken on a connection to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) dialect: Rc<Dialect>,
    pub(super) session: Option<Session>,
    /// The server is asked as one that follows another.
    pub(super) replica: bool,
}

impl Incoming {
    /// The same, with so much left of it; `None`: it is complete.
    pub(super) fn with_left(self, rest: Option<Option<u64>>) -> Self {
        let Some(rest) = rest else {
            return Self::Message;
        };
        let mut next = self;
        match &mut next {
            Self::Message => {}
            Self::Body { left, .. } | Self::Skip { left } | Self::Push { left } => *left = rest,
        }
        next
    }
}

impl Line {
    /// What has to be spoken on a connection that carries this request.
    pub(super) fn of(exchange: &Exchange) -> Option<Self> {
        Some(Self {
            dialect: Rc::clone(&exchange.to.as_ref()?.dialect),
            session: exchange.session.clone(),
            replica: exchange.replica,
        })
    }

    /// What has to be spoken for a request in this session, of a primary.
    pub(super) fn new(dialect: &Rc<Dialect>, session: Option<Session>) -> Self {
        Self {
            dialect: Rc::clone(dialect),
            session,
            replica: false,
        }
    }

    /// Whether it is that.
    #[inline(always)]
    pub(super) fn is(&self, dialect: &Dialect, session: Option<&Session>) -> bool {
        *self.dialect == *dialect && self.session.as_ref() == session && !self.replica
    }

    /// Whether a request may go on this connection.
    pub(super) fn carries(&self, exchange: &Exchange) -> bool {
        let to = exchange.to.as_ref();
        to.is_some_and(|to| to.dialect == self.dialect)
            && self.session == exchange.session
            && self.replica == exchange.replica
    }
}

impl Server {
    pub(super) fn new(
        line: Line,
        whole: usize,
        (host, metrics, permit): (HostKey, ClusterMetrics, Permit),
        now: Instant,
    ) -> Self {
        let Dialect {
            protocol, traits, ..
        } = &*line.dialect;
        let limits = Limits {
            whole,
            frame: traits.frame_limit,
        };
        let opening = Opening {
            session: line.session.as_ref(),
            replica: line.replica,
        };
        let (codec, traits) = (protocol.upstream(limits, &opening), *traits);
        Self {
            codec,
            line,
            traits,
            in_order: !matches!(traits.correlation, Correlation::ById { .. }),
            host,
            metrics,
            permit,
            further: None,
            carried: 0,
            connected: false,
            handshake: None,
            inbox: Vec::new(),
            need: 0,
            incoming: Incoming::Message,
            push: Vec::new(),
            outbox: Outbox::default(),
            streaming: false,
            held: Vec::new(),
            attempts: Attempts::new(traits.correlation),
            one_way: VecDeque::new(),
            owner: None,
            retiring: false,
            reading: true,
            last_read: now,
            last_used: now,
            stall: None,
            gathering: None,
            head: None,
        }
    }

    /// Whether requests leave as they come.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.connected && self.handshake.is_none()
    }

    /// What may be sent now.
    #[inline]
    pub(super) fn sendable(&self) -> &[u8] {
        let unsent = match self.connected {
            true => self.outbox.unsent(),
            false => &[],
        };
        let most = self.handshake.map(|end| end - self.outbox.sent());
        match most.and_then(|most| usize::try_from(most).ok()) {
            Some(most) => unsent.get(..most).unwrap_or(unsent),
            None => unsent,
        }
    }

    /// It is done with an attempt.
    #[inline(always)]
    pub(super) fn over(&mut self, attempt: AttemptKey, now: Instant) {
        self.attempts.remove(attempt);
        self.last_used = now;
    }

    /// Bytes that it holds.
    pub(super) fn buffered(&self) -> usize {
        self.outbox.len() + self.held.len() + self.inbox.len() + self.push.len()
    }

    /// Whether one more client's request may join those that are on it.
    pub(super) fn takes_more(&self, depth: usize, unsent: usize) -> bool {
        self.owner.is_none()
            && !self.retiring
            && self.attempts.len() < depth
            && self.outbox.len() < unsent
    }

    /// Whether nobody uses it.
    pub(super) fn is_free(&self) -> bool {
        self.owner.is_none()
            && !self.retiring
            && self.attempts.is_empty()
            && self.outbox.is_empty()
            && self.incoming == Incoming::Message
    }
}

/// The unanswered requests of an in-order connection, for its codec.
pub(super) struct Waiting<'a> {
    pub(super) attempts: &'a Attempts,
    pub(super) exchanges: &'a SlotMap<ExchangeKey, Exchange>,
}

impl Expected for Waiting<'_> {
    fn memo(&self, n: usize) -> Option<&Memo> {
        let (attempt, id) = self.attempts.behind_oldest(n)?;
        match self.exchanges.get(attempt.exchange) {
            Some(exchange) => match &exchange.run {
                Some(run) => run.memo(usize::try_from(id - attempt.id).ok()?),
                None => Some(&exchange.memo),
            },
            None => attempt.memo.as_deref(),
        }
    }

    fn id(&self, n: usize) -> Option<u64> {
        let (_, id) = self.attempts.behind_oldest(n)?;
        Some(id)
    }
}

impl Engine {
    #[inline]
    pub(super) fn flush_server(&mut self, key: ServerKey) {
        if let Some(server) = self.servers.get_mut(key)
            && !server.outbox.flushing
            && !server.sendable().is_empty()
        {
            server.outbox.flushing = true;
            self.actions
                .push_back(Action::Flush(ConnectionId::Server(key)));
        }
    }

    /// Lets a request leave: at once, or where it is to be gathered with others, when there are
    /// enough of them or the first has waited long enough.
    pub(super) fn flush_request(&mut self, exchange: ExchangeKey, key: ServerKey) {
        let buffering = self.exchanges.get(exchange).and_then(|exchange| {
            let gathered = exchange.own.is_none() && exchange.pin == Pin::None;
            exchange.to.as_ref().filter(|_| gathered)?.buffering
        });
        let (Some(buffering), Some(server)) = (buffering, self.servers.get_mut(key)) else {
            return self.flush_server(key);
        };
        if server.outbox.len() >= usize::try_from(buffering.bytes).unwrap_or(usize::MAX) {
            return self.flush_server(key);
        }
        if server.gathering.is_none() {
            let due = self.now + buffering.timeout;
            server.gathering = Some(self.timers.set(due, Timer::ServerFlush(key)));
        }
    }

    pub(super) fn server_flush_timer(&mut self, key: ServerKey) {
        if let Some(server) = self.servers.get_mut(key) {
            server.gathering = None;
        }
        self.flush_server(key);
    }

    pub(super) fn server_sent(&mut self, key: ServerKey, n: usize) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        let n = n.min(server.outbox.len());
        server.outbox.consume(n, &mut self.spare);
        self.buffered = self.buffered.saturating_sub(n);
        server.last_used = self.now;
        if let Some(timer) = server.stall.take() {
            self.timers.cancel(timer);
        }
        if server.sendable().is_empty() {
            server.outbox.flushing = false;
            // What comes next is gathered for as long as this was.
            if let Some(timer) = server.gathering.take() {
                self.timers.cancel(timer);
            }
        } else {
            let due = self.now + self.settings.stall;
            server.stall = Some(self.timers.set(due, Timer::ServerStall(key)));
        }
        self.one_ways_sent(key);
        if let Some(owner) = self.servers.get(key).and_then(|server| server.owner) {
            self.reconsider_client(owner);
        }
        self.server_settled(key);
    }

    /// One-way exchanges end with their last byte.
    fn one_ways_sent(&mut self, key: ServerKey) {
        while let Some(server) = self.servers.get_mut(key) {
            let sent = server.outbox.sent();
            let Some(front) = server.one_way.front().copied() else {
                return;
            };
            let (over, exchange) = match server.attempts.get(front) {
                Some(attempt) => (attempt.end <= sent, attempt.exchange),
                None => (true, ExchangeKey::default()),
            };
            if !over || server_body_of(&self.clients, &self.exchanges, exchange) {
                return;
            }
            server.one_way.pop_front();
            server.attempts.remove(front);
            self.finish(
                exchange,
                End {
                    outcome: OutcomeLabel::Ok,
                    code: 0,
                    flag: ResponseFlag::None,
                },
            );
        }
    }

    /// An exchange no longer waits for this unanswered attempt.
    pub(super) fn forget_attempt(&mut self, key: ServerKey, attempt: AttemptKey) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        if server.attempts.forgets() && !server.in_order && !server.one_way.contains(&attempt) {
            server.attempts.remove(attempt);
        }
        self.server_settled(key);
    }

    /// A connection without requests may go back to its pool, or close.
    pub(super) fn server_settled(&mut self, key: ServerKey) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        if !server.attempts.is_empty() || !server.outbox.is_empty() {
            return;
        }
        if server.incoming != Incoming::Message {
            return;
        }
        let pinned = server
            .owner
            .and_then(|owner| self.clients.get(owner))
            .is_some_and(|client| client.pin == Some(key));
        if pinned {
            return;
        }
        server.reading = true;
        let released = server.owner.take().is_some();
        if server.retiring {
            return self.close_server(key);
        }
        if released
            && let Some(host) = self.tables.hosts.get_mut(server.host)
            && !host.shared.contains(&key)
        {
            host.shared.push(key);
        }
    }

    /// Starts to watch the oldest unanswered request of an in-order connection.
    pub(super) fn watch_head(&mut self, key: ServerKey) {
        if let Some(server) = self.servers.get_mut(key)
            && server.head.is_none()
        {
            let due = self.now + self.settings.stall;
            server.head = Some(self.timers.set(due, Timer::ServerHead(key)));
        }
    }

    /// An in-order connection on which nothing was read for the stall time, though answers are due,
    /// is of no further use: no later answer can pass the oldest.
    pub(super) fn server_head_timer(&mut self, key: ServerKey) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        server.head = None;
        if server.attempts.oldest().is_none() || !server.connected {
            return;
        }
        let silent = self.now.saturating_duration_since(server.last_read) >= self.settings.stall;
        if silent && !self.is_waited_on(key) {
            return self.server_lost(key, super::lost::Loss::Reset);
        }
        self.watch_head(key);
    }

    /// Whether the oldest unanswered request waits for what happens elsewhere, so that nothing
    /// follows from the server's silence.
    fn is_waited_on(&self, key: ServerKey) -> bool {
        let server = self.servers.get(key);
        server
            .and_then(|server| server.attempts.oldest())
            .and_then(|(_, attempt)| self.exchanges.get(attempt.exchange))
            .is_some_and(|exchange| exchange.waits)
    }

    /// How long a connection is kept that has no requests.
    fn server_idle(&self, key: ServerKey) -> Duration {
        let server = self.servers.get(key);
        let host = server.and_then(|server| self.tables.hosts.get(server.host));
        let idle = host.and_then(|host| host.dial.idle);
        idle.unwrap_or(self.settings.server_idle)
    }

    /// How long a silent connection is left alone.
    pub(super) fn server_period(&self, key: ServerKey) -> Duration {
        let idle = self.server_idle(key);
        let heartbeat = self
            .servers
            .get(key)
            .and_then(|server| server.traits.heartbeat);
        heartbeat.map_or(idle, |heartbeat| heartbeat.min(idle))
    }

    /// Closes what is idle for long, gives up what is dead, beats where it is silent.
    pub(super) fn server_timer(&mut self, key: ServerKey) {
        let period = self.server_period(key);
        let idle_limit = self.server_idle(key);
        let now = self.now;
        let Some(server) = self.servers.get(key) else {
            return;
        };
        let silent = now.saturating_duration_since(server.last_read);
        let unused = now.saturating_duration_since(server.last_used);
        let pinned = server.owner.is_some();
        if server.attempts.is_empty() && !pinned && unused >= idle_limit {
            return self.close_server(key);
        }
        let mut due = server.last_read + period;
        if let Some(heartbeat) = server.traits.heartbeat {
            if silent >= heartbeat * 3 && !self.is_waited_on(key) {
                return self.server_lost(key, super::lost::Loss::Reset);
            }
            // In order, the next answers would be taken for the codec's own.
            let may_beat = server.attempts.oldest().is_none();
            if silent >= heartbeat && may_beat {
                self.say_to_server(key, |codec, out| {
                    // No attempt has this id: it is the largest, and slots count up from the smallest.
                    codec.heartbeat(u64::MAX >> 1, out);
                });
            }
        }
        if due <= now {
            due = now + period;
        }
        self.timers.set(due, Timer::Server(key));
    }

    /// What this leg itself has to say: it waits while a large request is being written.
    pub(super) fn say_to_server(
        &mut self,
        key: ServerKey,
        write: impl FnOnce(&mut dyn Upstream, &mut Vec<u8>),
    ) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        let out = match server.streaming {
            true => &mut server.held,
            false => server.outbox.append(&mut self.spare),
        };
        let before = out.len();
        write(server.codec.as_mut(), out);
        self.buffered += out.len() - before;
        self.flush_server(key);
    }
}

/// Whether more of this exchange's request is still to come.
fn server_body_of(
    clients: &SlotMap<ClientKey, super::Client>,
    exchanges: &SlotMap<ExchangeKey, Exchange>,
    key: ExchangeKey,
) -> bool {
    exchanges
        .get(key)
        .and_then(|exchange| clients.get(exchange.client))
        .is_some_and(|client| {
            matches!(client.incoming, super::client::Incoming::Body { exchange, .. } if exchange == key)
        })
}
