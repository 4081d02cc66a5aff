//! A client's connection.

use std::{
    cell::Cell,
    net::SocketAddr,
    num::NonZeroU64,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use meltemi_codec::{Alike, Downstream, Order, OwnRequest, Request, Traits};
use slotmap::{SlotMap, new_key_type};

use super::{
    ExchangeKey, ServerKey,
    authorization::Access,
    lineup::Lineup,
    outbox::Outbox,
    source::Source,
    tables::{Chosen, Destination, ServiceKey},
    timers::TimerKey,
};
use crate::telemetry::{Series, ServiceMetrics};

new_key_type! {
    /// A request that a server made of this client.
    pub(super) struct CallKey;
}

/// A client's connection and what it is owed.
pub(super) struct Client {
    pub(super) codec: Box<dyn Downstream>,
    pub(super) traits: Traits,
    pub(super) listener: Arc<str>,
    pub(super) service: ServiceKey,
    pub(super) metrics: ServiceMetrics,
    /// Of its requests that have no route yet. It outlives the service in the configuration.
    pub(super) unrouted: Series,
    pub(super) peer: Option<SocketAddr>,
    pub(super) source: Source,
    /// Where it was going, if that is known.
    pub(super) dialled: Option<SocketAddr>,
    /// The route of its newest request, and of those behind that have the same attributes.
    pub(super) chosen: Cell<Option<Chosen>>,
    /// What it may do.
    pub(super) access: Access,
    /// Bytes that are not a whole message yet.
    pub(super) inbox: Vec<u8>,
    /// Bytes that the inbox must hold before decoding is worth a try.
    pub(super) need: usize,
    pub(super) incoming: Incoming,
    pub(super) outbox: Outbox,
    pub(super) flights: Flights,
    /// The answers' turns, where the protocol is in order.
    pub(super) lineup: Option<Lineup>,
    /// The newest turn that may have been overtaken by a request that is no longer here: one that was owed
    /// no answer, or whose hash led it elsewhere.
    pub(super) outrun: Option<NonZeroU64>,
    /// A large answer is being written: those of other requests wait in `held`.
    pub(super) writing: Option<ExchangeKey>,
    pub(super) held: Vec<Held>,
    /// Large answers that are under way. What answers nobody waits for them in `held`, where answers
    /// are in order.
    pub(super) large: Vec<ExchangeKey>,
    /// A request that waits until the client is owed nothing: it goes to another connection, and
    /// must not overtake.
    pub(super) parked: Option<Box<Parked>>,
    /// What its codec asks once it is owed nothing.
    pub(super) question: Option<Box<OwnRequest>>,
    /// Nothing more is decoded until it is owed nothing.
    pub(super) waiting: bool,
    /// A rate limit service did not decide in time; what was sent meanwhile is not asked about.
    pub(super) waited_in_vain: bool,
    /// The connection that all its requests go to.
    pub(super) pin: Option<ServerKey>,
    /// Where the pinned connection leads.
    pub(super) pinned_to: Option<Rc<Destination>>,
    pub(super) calls: SlotMap<CallKey, Call>,
    pub(super) phase: Phase,
    pub(super) reading: bool,
    pub(super) last_read: Instant,
    /// When it was last told something that it did not ask for, or found to have been answered.
    pub(super) last_told: Instant,
    /// It was owed something when it was last looked at.
    pub(super) owed: bool,
    pub(super) stall: Option<TimerKey>,
    /// It was asked to leave.
    pub(super) leaving: bool,
    /// How long it may be connected, and when that is over.
    pub(super) age: Option<(Duration, TimerKey)>,
    pub(super) opened: Instant,
    /// From then on it is closed between two of its requests, however little it is silent.
    pub(super) last_call: Option<Instant>,
    /// It was answered in this turn.
    pub(super) answered: bool,
}

/// What the next bytes of a client are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A message.
    Message,
    /// The first of all, which may not be of the protocol: then they are passed on.
    First,
    /// The request that is parked; nothing behind it is looked at.
    Parked,
    /// The rest of a refused one.
    Skip(u64),
    /// The rest of a large one; `None` where its size is not known.
    Body {
        exchange: ExchangeKey,
        left: Option<u64>,
    },
}

/// How far a client's connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// It sends no more, and closes after its last answer.
    Finishing,
    /// It closes once what is in the outbox has left.
    Closing,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) request: Request,
    /// All of it, or the head of a large one.
    pub(super) bytes: Vec<u8>,
    /// Of a large one, how much is still to come, where that is known.
    pub(super) rest: Option<Option<u64>>,
}

/// An answer, or a part of one, that waits until a large one is complete.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) exchange: ExchangeKey,
    pub(super) bytes: Vec<u8>,
    pub(super) done: bool,
}

/// A request that a server made of this client on a pinned connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) server: ServerKey,
    pub(super) id: u64,
}

/// The unanswered requests of a client.
#[derive(Debug, Default)]
pub(super) struct Flights {
    ids: Vec<u64>,
    exchanges: Vec<ExchangeKey>,
    /// No id is greater.
    greatest: u64,
    /// Requests beyond the first of each run.
    pub(super) riders: usize,
    /// There was a run among them, of requests that are answered in any order, since there was none.
    pub(super) has_ridden: bool,
}

impl Flights {
    /// How many requests there are.
    pub(super) fn len(&self) -> usize {
        self.exchanges.len() + self.riders
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// Whether a request of this id is none of them for sure: most clients count.
    #[inline(always)]
    pub(super) fn lacks(&self, id: u64) -> bool {
        self.exchanges.is_empty() || id > self.greatest
    }

    /// The exchange that was added under an id. Those of a run have the id of the first of its requests.
    pub(super) fn find(&self, id: u64) -> impl Iterator<Item = ExchangeKey> {
        let places = self.ids.iter().zip(&self.exchanges);
        places.filter_map(move |(known, key)| (*known == id).then_some(*key))
    }

    /// One more request of a run. It has an id above all others.
    #[inline(always)]
    pub(super) fn ride(&mut self, id: u64) {
        self.greatest = id;
        self.has_ridden = true;
        self.riders += 1;
    }

    /// The request of a run that is left has another id than the first had.
    pub(super) fn rename(&mut self, place: u32, id: u64) {
        if let Some(known) = self.ids.get_mut(place as usize) {
            *known = id;
        }
    }

    /// Returns the entry's place.
    #[inline]
    pub(super) fn add(&mut self, id: u64, exchange: ExchangeKey) -> u32 {
        match self.ids.is_empty() {
            true => (self.greatest, self.has_ridden) = (id, false),
            false => self.greatest = id.max(self.greatest),
        }
        self.ids.push(id);
        self.exchanges.push(exchange);
        u32::try_from(self.exchanges.len() - 1).unwrap_or(u32::MAX)
    }

    /// Returns the exchange that has moved to this place, if one has.
    #[inline]
    pub(super) fn remove(&mut self, place: u32) -> Option<ExchangeKey> {
        let place = place as usize;
        if place < self.exchanges.len() {
            self.ids.swap_remove(place);
            self.exchanges.swap_remove(place);
        }
        self.exchanges.get(place).copied()
    }

    pub(super) fn all(&self) -> Vec<ExchangeKey> {
        self.exchanges.clone()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, ExchangeKey> {
        self.exchanges.iter()
    }
}

/// Where a client came in.
pub(super) struct Home {
    pub(super) listener: Arc<str>,
    pub(super) service: ServiceKey,
    pub(super) metrics: ServiceMetrics,
    pub(super) unrouted: Series,
    pub(super) peer: Option<SocketAddr>,
    /// There are too many clients: it is told so instead of served.
    pub(super) over_limit: bool,
    /// It reads its answers in the order of its requests.
    pub(super) answers_in_order: bool,
}

impl Client {
    pub(super) fn new(
        codec: Box<dyn Downstream>,
        traits: Traits,
        home: Home,
        now: Instant,
    ) -> Self {
        Self {
            codec,
            traits,
            listener: home.listener,
            service: home.service,
            metrics: home.metrics,
            unrouted: home.unrouted,
            source: Source::of(home.peer),
            dialled: None,
            chosen: Cell::new(None),
            peer: home.peer,
            access: match home.over_limit {
                true => Access::Full,
                false => Access::Free,
            },
            inbox: Vec::new(),
            need: 0,
            incoming: Incoming::Message,
            outbox: Outbox::default(),
            flights: Flights::default(),
            lineup: home.answers_in_order.then(Lineup::default),
            outrun: None,
            writing: None,
            held: Vec::new(),
            large: Vec::new(),
            parked: None,
            question: None,
            waiting: false,
            waited_in_vain: false,
            pin: None,
            pinned_to: None,
            calls: SlotMap::with_key(),
            phase: Phase::Open,
            reading: true,
            last_read: now,
            last_told: now,
            owed: false,
            stall: None,
            leaving: false,
            age: None,
            opened: now,
            last_call: None,
            answered: false,
        }
    }

    /// Bytes that wait behind a large answer.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.iter().map(|held| held.bytes.len()).sum()
    }

    /// Bytes of answers that have not left.
    #[inline]
    pub(super) fn unsent_bytes(&self) -> usize {
        let waiting = self.lineup.as_ref().map_or(0, Lineup::waiting);
        self.outbox.len() + self.held_bytes() + waiting
    }

    /// Passes over as much of what is left to skip as is there; returns how much that is.
    pub(super) fn skip(&mut self, left: u64, there: usize) -> usize {
        let taken = left.min(there as u64);
        self.incoming = match left - taken {
            0 => Incoming::Message,
            left => Incoming::Skip(left),
        };
        usize::try_from(taken).unwrap_or(there)
    }

    /// Whether it is owed something, or something of what it sent was not looked at yet.
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        !self.flights.is_empty() || self.parked.is_some() || self.waiting
    }

    /// Whether a large request of its, or a large answer to it, is under way.
    #[inline]
    pub(super) fn has_large(&self) -> bool {
        !self.large.is_empty() || matches!(self.incoming, Incoming::Body { .. })
    }

    /// Whether what is in its outbox is still to be flushed, which is then up to the caller.
    #[inline]
    pub(super) fn take_flush(&mut self) -> bool {
        !self.outbox.is_empty() && !std::mem::replace(&mut self.outbox.flushing, true)
    }

    /// A request comes: whether the route of the one before is its, too.
    #[inline(always)]
    pub(super) fn keep_choice(&self, alike: Alike) {
        let chosen = self.chosen.get();
        let holds = |chosen: &Chosen| match alike {
            Alike::No => false,
            Alike::Named => chosen.by_named,
            Alike::All => true,
        };
        self.chosen.set(chosen.filter(holds));
    }

    /// Whether anything has come of it, so that who it is was known.
    pub(super) fn was_heard(&self) -> bool {
        self.last_read > self.opened || self.is_busy() || self.pin.is_some()
    }

    pub(super) fn keeps_order(&self) -> bool {
        self.traits.order == Order::PerClient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_flight_names_the_one_that_moved() {
        let mut flights = Flights::default();
        let mut keys = SlotMap::<ExchangeKey, ()>::with_key();
        let (a, b, c) = (keys.insert(()), keys.insert(()), keys.insert(()));
        flights.add(7, a);
        flights.add(8, b);
        flights.add(9, c);
        assert_eq!(flights.find(8).next(), Some(b));
        assert_eq!(flights.find(9).next(), Some(c));
        assert!(flights.lacks(10) && !flights.lacks(9));
        assert_eq!(flights.remove(0), Some(c));
        assert_eq!(flights.find(9).next(), Some(c));
        assert_eq!(flights.find(7).next(), None);
        assert_eq!(flights.remove(1), None);
        assert_eq!(flights.len(), 1);
    }
}
