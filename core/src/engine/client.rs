//! A client's connection.

use std::{net::SocketAddr, num::NonZeroU64, rc::Rc, sync::Arc, time::Instant};

use meltemi_codec::{Downstream, Order, OwnRequest, Request, Traits};
use slotmap::{SlotMap, new_key_type};

use super::{
    ExchangeKey, ServerKey,
    numbered::Numbered,
    outbox::Outbox,
    tables::{Destination, ServiceKey},
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
    pub(super) over_limit: bool,
    /// Bytes that are not a whole message yet.
    pub(super) inbox: Vec<u8>,
    /// Bytes that the inbox must hold before decoding is worth a try.
    pub(super) need: usize,
    pub(super) incoming: Incoming,
    pub(super) outbox: Outbox,
    pub(super) flights: Flights,
    /// The answers' turns, where the protocol is in order.
    pub(super) lineup: Option<Lineup>,
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
    /// The connection that all its requests go to.
    pub(super) pin: Option<ServerKey>,
    /// Where the pinned connection leads.
    pub(super) pinned_to: Option<Rc<Destination>>,
    pub(super) calls: SlotMap<CallKey, Call>,
    pub(super) phase: Phase,
    pub(super) reading: bool,
    pub(super) last_read: Instant,
    pub(super) stall: Option<TimerKey>,
    /// It was asked to leave.
    pub(super) leaving: bool,
    /// It was answered in this turn.
    pub(super) answered: bool,
}

/// What the next bytes of a client are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A message.
    Message,
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
    /// Requests beyond the first of each run.
    pub(super) riders: usize,
}

impl Flights {
    /// How many requests there are.
    pub(super) fn len(&self) -> usize {
        self.exchanges.len() + self.riders
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    pub(super) fn find(&self, id: u64) -> Option<ExchangeKey> {
        let place = self.ids.iter().position(|known| *known == id)?;
        self.exchanges.get(place).copied()
    }

    /// Returns the entry's place.
    #[inline]
    pub(super) fn add(&mut self, id: u64, exchange: ExchangeKey) -> u32 {
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

/// The answers' turns of an in-order connection.
#[derive(Debug)]
pub(super) struct Lineup {
    turns: Numbered<Turn>,
    /// Bytes of answers that wait for their turn.
    waiting: usize,
}

#[derive(Debug, Default)]
struct Turn {
    bytes: Vec<u8>,
    done: bool,
}

impl Default for Lineup {
    fn default() -> Self {
        Self {
            turns: Numbered::from(1),
            waiting: 0,
        }
    }
}

impl Lineup {
    /// The number of a new last turn, from one.
    #[inline]
    pub(super) fn join(&mut self) -> NonZeroU64 {
        let turn = self.turns.push(Turn::default());
        NonZeroU64::new(turn).unwrap_or(NonZeroU64::MIN)
    }

    /// The number of the last turn.
    pub(super) fn last(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.turns.last()?)
    }

    /// The last turn is that of so many more requests.
    pub(super) fn extend(&mut self, requests: usize) {
        self.turns.extend(requests as u64);
    }

    /// A turn of several requests, of which all but the last `left` and the one before these are
    /// answered, becomes one for that one, and one for those that are left.
    pub(super) fn set_apart(
        &mut self,
        turn: NonZeroU64,
        left: usize,
    ) -> (Option<NonZeroU64>, Option<NonZeroU64>) {
        let left = left as u64;
        let mut own = turn.get();
        let answered = self.turns.get_mut(own).filter(|it| !it.bytes.is_empty());
        if let Some(answered) = answered {
            // Whatever becomes of this one, those answers stand.
            answered.done = true;
            own = self
                .turns
                .split(own, left + 1, Turn::default())
                .unwrap_or(own);
        }
        let rest = match left {
            0 => None,
            left => self.turns.split(own, left, Turn::default()),
        };
        (NonZeroU64::new(own), rest.and_then(NonZeroU64::new))
    }

    /// Where to write the answer whose turn this is; `None`: to the connection. What is written is
    /// to be told ([`Lineup::waits`]).
    #[inline]
    pub(super) fn place(&mut self, turn: NonZeroU64) -> Option<&mut Vec<u8>> {
        if self.is_front(turn) {
            return None;
        }
        self.turns.get_mut(turn.get()).map(|turn| &mut turn.bytes)
    }

    /// So many bytes were written of an answer with this turn.
    #[inline]
    pub(super) fn waits(&mut self, turn: NonZeroU64, bytes: usize) {
        if !self.is_front(turn) {
            self.waiting += bytes;
        }
    }

    /// Whether what is written of this answer leaves at once.
    #[inline]
    pub(super) fn is_front(&self, turn: NonZeroU64) -> bool {
        self.turns.is_front(turn.get())
    }

    /// Forgets what waits of an answer, and says how much that was. `None`: it has its turn now, and
    /// what was written has left.
    pub(super) fn forget(&mut self, turn: NonZeroU64) -> Option<usize> {
        let bytes = self.place(turn)?;
        let forgotten = bytes.len();
        bytes.clear();
        self.waiting -= forgotten;
        Some(forgotten)
    }

    /// The turn is over: whatever may follow now goes to `out`.
    #[inline(always)]
    pub(super) fn leave(&mut self, turn: NonZeroU64, out: &mut Vec<u8>) {
        if let Some(turn) = self.turns.get_mut(turn.get()) {
            turn.done = true;
        }
        while self.turns.front().is_some_and(|turn| turn.done) {
            self.turns.pop_front();
            if let Some(next) = self.turns.front_mut()
                && !next.bytes.is_empty()
            {
                self.waiting -= next.bytes.len();
                out.append(&mut next.bytes);
            }
        }
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
            peer: home.peer,
            over_limit: home.over_limit,
            inbox: Vec::new(),
            need: 0,
            incoming: Incoming::Message,
            outbox: Outbox::default(),
            flights: Flights::default(),
            lineup: home.answers_in_order.then(Lineup::default),
            writing: None,
            held: Vec::new(),
            large: Vec::new(),
            parked: None,
            question: None,
            waiting: false,
            pin: None,
            pinned_to: None,
            calls: SlotMap::with_key(),
            phase: Phase::Open,
            reading: true,
            last_read: now,
            stall: None,
            leaving: false,
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
        let waiting = self.lineup.as_ref().map_or(0, |lineup| lineup.waiting);
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

    pub(super) fn keeps_order(&self) -> bool {
        self.traits.order == Order::PerClient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_in_the_order_of_their_requests() {
        let mut lineup = Lineup::default();
        let mut out = Vec::new();
        let (first, second, third) = (lineup.join(), lineup.join(), lineup.join());
        lineup.place(third).unwrap().extend_from_slice(b"3");
        lineup.waits(third, 1);
        lineup.leave(third, &mut out);
        lineup.place(second).unwrap().extend_from_slice(b"2");
        lineup.waits(second, 1);
        lineup.waits(first, 7);
        assert_eq!((out.as_slice(), lineup.waiting), (&b""[..], 2));
        assert!(
            lineup.place(first).is_none(),
            "the front writes to the connection"
        );
        out.extend_from_slice(b"1");
        lineup.leave(first, &mut out);
        assert_eq!(out, b"12", "what the second has so far follows at once");
        assert!(lineup.place(second).is_none());
        out.extend_from_slice(b"b");
        lineup.leave(second, &mut out);
        assert_eq!(out, b"12b3");
        assert_eq!((lineup.join().get(), lineup.waiting), (4, 0));
    }

    #[test]
    fn a_turn_of_several_requests_is_divided_without_losing_what_waits() {
        let mut lineup = Lineup::default();
        let mut out = Vec::new();
        let (first, run) = (lineup.join(), lineup.join());
        lineup.extend(3);
        let behind = lineup.join();
        let mut write = |lineup: &mut Lineup, turn, bytes: &[u8]| {
            lineup.place(turn).unwrap().extend_from_slice(bytes);
            lineup.waits(turn, bytes.len());
        };
        write(&mut lineup, run, b"a");
        // One of four is answered; the second is set apart, and fails in the middle of its answer.
        let (own, rest) = lineup.set_apart(run, 2);
        let (own, rest) = (own.unwrap(), rest.unwrap());
        write(&mut lineup, own, b"half");
        assert_eq!(lineup.forget(own), Some(4));
        write(&mut lineup, own, b"b");
        write(&mut lineup, rest, b"c");
        write(&mut lineup, behind, b"e");
        for turn in [behind, own] {
            lineup.leave(turn, &mut out);
        }
        // The last one of what is left gets a turn of its own too.
        let (last, nobody) = lineup.set_apart(rest, 0);
        assert_eq!(nobody, None);
        write(&mut lineup, last.unwrap(), b"d");
        lineup.leave(last.unwrap(), &mut out);
        assert_eq!((out.as_slice(), lineup.waiting), (&b""[..], 5));
        lineup.leave(first, &mut out);
        assert_eq!((out.as_slice(), lineup.waiting), (&b"abcde"[..], 0));
    }

    #[test]
    fn a_removed_flight_names_the_one_that_moved() {
        let mut flights = Flights::default();
        let mut keys = SlotMap::<ExchangeKey, ()>::with_key();
        let (a, b, c) = (keys.insert(()), keys.insert(()), keys.insert(()));
        flights.add(7, a);
        flights.add(8, b);
        flights.add(9, c);
        assert_eq!(flights.find(8), Some(b));
        assert_eq!(flights.remove(0), Some(c));
        assert_eq!(flights.find(9), Some(c));
        assert_eq!(flights.find(7), None);
        assert_eq!(flights.remove(1), None);
        assert_eq!(flights.len(), 1);
    }
}
