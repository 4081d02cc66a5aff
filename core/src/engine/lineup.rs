//! The turns of a client's answers, where they leave in the order of the requests.

use std::num::NonZeroU64;

use super::numbered::Numbered;

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
    /// Bytes of answers that wait for their turn.
    #[inline]
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The number of a new last turn, from one.
    #[inline]
    pub(super) fn join(&mut self) -> NonZeroU64 {
        let turn = self.turns.push(Turn::default());
        NonZeroU64::new(turn).unwrap_or(NonZeroU64::MIN)
    }

    /// The number of the newest request: the last one of the last turn.
    pub(super) fn newest(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.turns.next() - 1)
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
        let write = |lineup: &mut Lineup, turn, bytes: &[u8]| {
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
}
