use std::collections::VecDeque;

use proptest::prelude::*;

use super::Side::{Downstream, Upstream};
use super::*;

fn tunnel() -> (Tunnel, Instant) {
    let now = Instant::now();
    (Tunnel::new(now), now)
}

fn connected() -> (Tunnel, Instant) {
    let (mut tunnel, now) = tunnel();
    assert_eq!(tunnel.connected(now), None);
    (tunnel, now)
}

#[test]
fn what_comes_before_the_endpoint_waits_for_it() {
    let (mut tunnel, now) = tunnel();
    assert!(tunnel.wants_read(Downstream) && !tunnel.passes(Downstream));
    assert_eq!(tunnel.received(Downstream, (b"hello", 0), now), None);
    assert!(!tunnel.wants_read(Downstream));
    assert_eq!(tunnel.unsent(Upstream), b"");
    assert_eq!(tunnel.end_of_file(Downstream), None);
    assert_eq!(tunnel.connected(now), Some(Step::Flush(Upstream)));
    assert_eq!(tunnel.unsent(Upstream), b"hello");
    assert_eq!(tunnel.sent(Upstream, 2, now), None);
    assert_eq!(tunnel.unsent(Upstream), b"llo");
    assert_eq!(
        tunnel.sent(Upstream, 3, now),
        Some(Step::Shutdown(Upstream))
    );
}

#[test]
fn a_client_that_ends_before_the_endpoint_is_there_ends_behind_it() {
    let (mut tunnel, now) = tunnel();
    assert_eq!(tunnel.end_of_file(Downstream), None);
    assert_eq!(tunnel.connected(now), Some(Step::Shutdown(Upstream)));
    assert!(!tunnel.is_over());
}

#[test]
fn what_the_other_side_takes_at_once_is_not_kept() {
    let (mut tunnel, now) = connected();
    for from in [Downstream, Upstream] {
        assert!(tunnel.passes(from));
        assert_eq!(tunnel.received(from, (b"hello", 5), now), None);
        assert!(tunnel.passes(from));
        let step = tunnel.received(from, (b"hello", 2), now);
        assert_eq!(step, Some(Step::Flush(from.other())));
        assert!(!tunnel.passes(from) && !tunnel.wants_read(from));
        assert_eq!(tunnel.unsent(from.other()), b"llo");
        assert_eq!(tunnel.buffered(), 3);
        let step = tunnel.sent(from.other(), 3, now);
        assert_eq!(step, Some(Step::Resume(from)));
        assert_eq!((tunnel.came(from), tunnel.took(from.other())), (10, 10));
    }
    assert_eq!(tunnel.buffered(), 0);
}

#[test]
fn each_side_ends_for_itself() {
    for first in [Downstream, Upstream] {
        let (mut tunnel, now) = connected();
        let (told, other) = (Step::Shutdown(first.other()), first.other());
        assert_eq!(tunnel.end_of_file(first), Some(told));
        assert!(!tunnel.wants_read(first) && tunnel.wants_read(other));
        assert!(!tunnel.is_over());
        tunnel.received(other, (b"more", 0), now);
        assert_eq!(tunnel.end_of_file(other), None);
        assert_eq!(tunnel.sent(first, 4, now), Some(Step::Shutdown(first)));
        assert!(tunnel.is_over());
    }
}

#[test]
fn a_side_that_broke_leaves_only_what_it_had_ended() {
    for side in [Downstream, Upstream] {
        let (mut tunnel, now) = connected();
        tunnel.received(side, (b"lost", 0), now);
        assert!(!tunnel.lost(side), "who breaks off in the middle is reset");

        let (mut tunnel, now) = connected();
        tunnel.received(side, (b"last", 0), now);
        assert_eq!(tunnel.end_of_file(side), None);
        tunnel.received(side.other(), (b"for nobody", 0), now);
        assert!(tunnel.lost(side), "its last bytes are still owed");
        assert!(!tunnel.wants_read(side.other()) && !tunnel.is_over());
        assert_eq!(tunnel.unsent(side), b"");
        let step = tunnel.sent(side.other(), 4, now);
        assert_eq!(step, Some(Step::Shutdown(side.other())));
        assert!(tunnel.is_over());
    }
}

/// A peer and its socket, which takes and gives as it likes.
#[derive(Debug, Default)]
struct Peer {
    to_send: VecDeque<u8>,
    has_ended: bool,
    got: Vec<u8>,
    got_end: bool,
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The endpoint is there.
    Connected,
    /// So much of a side is there to be read, and the other one takes so much of it at once.
    Readable(Side, usize, usize),
    /// The socket of a side takes so much.
    Writable(Side, usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let side = prop_oneof![Just(Downstream), Just(Upstream)];
    let event =
        (side, 0_usize..40, 0_usize..40, 0_u8..9).prop_map(|(side, n, m, kind)| match kind {
            0 => Event::Connected,
            1..5 => Event::Readable(side, n, m),
            _ => Event::Writable(side, n),
        });
    prop::collection::vec(event, 0..200)
}

/// A tunnel between two peers.
struct World {
    tunnel: Tunnel,
    now: Instant,
    down: Peer,
    up: Peer,
}

impl World {
    fn new(lengths: (usize, usize)) -> Self {
        let peer = |length: usize, first: u8| Peer {
            to_send: (0..length).map(|n| (n % 251) as u8 ^ first).collect(),
            ..Peer::default()
        };
        let (tunnel, now) = tunnel();
        Self {
            tunnel,
            now,
            down: peer(lengths.0, 0),
            up: peer(lengths.1, 0x5a),
        }
    }

    fn peer(&mut self, side: Side) -> &mut Peer {
        match side {
            Downstream => &mut self.down,
            Upstream => &mut self.up,
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Connected if !self.tunnel.is_connected() => {
                let step = self.tunnel.connected(self.now);
                self.does(step);
            }
            Event::Connected => {}
            Event::Readable(side, n, gone) => self.read(side, n, gone),
            Event::Writable(side, n) => self.write(side, n),
        }
    }

    fn read(&mut self, side: Side, n: usize, gone: usize) {
        let is_there = side == Downstream || self.tunnel.is_connected();
        if !is_there || !self.tunnel.wants_read(side) {
            return;
        }
        let peer = self.peer(side);
        let n = n.min(peer.to_send.len());
        let bytes: Vec<u8> = peer.to_send.drain(..n).collect();
        if bytes.is_empty() {
            if peer.to_send.is_empty() && !std::mem::replace(&mut peer.has_ended, true) {
                let step = self.tunnel.end_of_file(side);
                self.does(step);
            }
            return;
        }
        let gone = match self.tunnel.passes(side) {
            true => gone.min(n),
            false => 0,
        };
        self.peer(side.other()).got.extend(&bytes[..gone]);
        let step = self.tunnel.received(side, (&bytes, gone), self.now);
        self.does(step);
    }

    fn write(&mut self, side: Side, n: usize) {
        let unsent = self.tunnel.unsent(side);
        let taken = unsent[..n.min(unsent.len())].to_vec();
        if taken.is_empty() {
            return;
        }
        self.peer(side).got.extend(&taken);
        let step = self.tunnel.sent(side, taken.len(), self.now);
        self.does(step);
    }

    fn does(&mut self, step: Option<Step>) {
        match step {
            Some(Step::Shutdown(side)) => {
                let told_before = std::mem::replace(&mut self.peer(side).got_end, true);
                assert!(!told_before, "an end is told once");
            }
            Some(Step::Flush(side)) => assert!(!self.tunnel.unsent(side).is_empty()),
            Some(Step::Resume(side)) => assert!(self.tunnel.wants_read(side)),
            None => {}
        }
    }
}

proptest! {
    #[test]
    fn no_byte_is_lost_repeated_or_overtaken(
        lengths in (0_usize..600, 0_usize..600),
        events in events(),
    ) {
        let mut world = World::new(lengths);
        let sent = (world.down.to_send.clone(), world.up.to_send.clone());
        for event in events {
            world.happens(event);
            prop_assert!(world.tunnel.buffered() <= 2 * 40, "more than one read waits");
            let early = |peer: &Peer, all: &VecDeque<u8>| peer.got_end && peer.got.len() < all.len();
            prop_assert!(!early(&world.up, &sent.0) && !early(&world.down, &sent.1));
        }
        // What is left goes through once everything moves.
        world.happens(Event::Connected);
        for _ in 0..100 {
            for side in [Downstream, Upstream] {
                world.happens(Event::Readable(side, 33, 7));
                world.happens(Event::Writable(side, 40));
            }
        }
        prop_assert!(world.up.got.iter().eq(&sent.0));
        prop_assert!(world.down.got.iter().eq(&sent.1));
        prop_assert!(world.tunnel.is_over());
        prop_assert_eq!(world.tunnel.buffered(), 0);
        let lengths = [lengths.0 as u64, lengths.1 as u64];
        prop_assert_eq!([Downstream, Upstream].map(|side| world.tunnel.came(side)), lengths);
        prop_assert_eq!([Upstream, Downstream].map(|side| world.tunnel.took(side)), lengths);
    }
}
