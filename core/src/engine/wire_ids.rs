//! The ids of the attempts on one upstream connection.

use std::collections::HashMap;

use meltemi_codec::{Answers, Correlation, Memo};
use slotmap::{Key, KeyData, SlotMap, new_key_type};

use super::{ExchangeKey, numbered::Numbered};

/// One sending of a request on one connection. The connection has no other of this key, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttemptKey(u64);

new_key_type! {
    struct SlotKey;
}

/// A request that was written to a connection and is not over there.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Stale once the exchange ended without it: then it swallows its answer.
    pub(super) exchange: ExchangeKey,
    /// Where its bytes start in the connection's stream.
    pub(super) start: u64,
    /// Where they end.
    pub(super) end: u64,
    /// The id on the wire, of the first of its requests.
    pub(super) id: u64,
    /// What is still to come for it.
    pub(super) answers: Answers,
    /// Requests that it is of, all unanswered: those behind the first have the ids behind its own.
    /// Where answers come in any order it is of one.
    pub(super) requests: u32,
    /// The place of its request among those of a run, where answers come in any order.
    pub(super) rider: u32,
    /// What its answer is read with, once the exchange has ended without it.
    pub(super) memo: Option<Box<Memo>>,
}

impl Attempt {
    /// An answer is there; `last` is what its codec says of it. True: no other follows.
    pub(super) fn answered(&mut self, last: bool) -> bool {
        match &mut self.answers {
            Answers::Counted(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            Answers::UntilEnd => last,
            Answers::None | Answers::One => true,
        }
    }
}

/// Which attempt an id on the wire means.
///
/// Sixty-four bits carry slot and generation, so that an id is never used twice. Narrower ids
/// count up, and skip what is reserved or still unanswered.
#[derive(Debug)]
pub(super) struct Attempts {
    table: Table,
    narrow: Option<Narrow>,
}

#[derive(Debug)]
enum Table {
    /// Answers come in any order.
    AnyOrder(SlotMap<SlotKey, Attempt>),
    /// Answers come one after the other, so that what was sent first is over first.
    InOrder(Line),
}

/// Attempts by the number of their sending, from the oldest that is not over on.
#[derive(Debug)]
struct Line {
    attempts: Numbered<Option<Attempt>>,
    /// Requests of those of them that are not over.
    left: usize,
}

#[derive(Debug)]
struct Narrow {
    mask: u64,
    reserved: &'static [u64],
    next: u64,
    used: HashMap<u64, AttemptKey>,
}

impl AttemptKey {
    fn slot(self) -> SlotKey {
        SlotKey::from(KeyData::from_ffi(self.0))
    }
}

impl Line {
    #[inline(always)]
    fn remove(&mut self, key: AttemptKey) {
        let removed = self.attempts.get_mut(key.0).and_then(Option::take);
        self.left -= removed.map_or(0, |removed| removed.requests as usize);
        while let Some(None) = self.attempts.front() {
            self.attempts.pop_front();
        }
    }

    /// Those that are answered one after the other, the oldest first.
    #[inline(always)]
    fn waiting(&self) -> impl Iterator<Item = (AttemptKey, &Attempt)> {
        let all = self.attempts.iter();
        let left =
            all.filter_map(|(number, attempt)| Some((AttemptKey(number), attempt.as_ref()?)));
        left.filter(|(_, attempt)| attempt.answers != Answers::None)
    }
}

impl Attempts {
    pub(super) fn new(correlation: Correlation) -> Self {
        let narrow = match correlation {
            Correlation::ById { bits, reserved } if bits < 64 => Some(Narrow {
                mask: (1_u64 << bits) - 1,
                reserved,
                next: 1,
                used: HashMap::new(),
            }),
            _ => None,
        };
        let table = match correlation {
            Correlation::ById { .. } => Table::AnyOrder(SlotMap::with_key()),
            _ => Table::InOrder(Line {
                attempts: Numbered::from(0),
                left: 0,
            }),
        };
        Self { table, narrow }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match &self.table {
            Table::AnyOrder(table) => table.len(),
            Table::InOrder(line) => line.left,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Enters an attempt whose bytes will start at `start`; its id is in the entry.
    #[inline(always)]
    pub(super) fn add(
        &mut self,
        exchange: ExchangeKey,
        answers: Answers,
        start: u64,
    ) -> (AttemptKey, u64) {
        let entry = |id| Attempt {
            exchange,
            start,
            end: start,
            id,
            answers,
            requests: 1,
            rider: 0,
            memo: None,
        };
        match &mut self.table {
            Table::InOrder(line) => {
                let id = line.attempts.next();
                line.left += 1;
                (AttemptKey(line.attempts.push(Some(entry(id)))), id)
            }
            Table::AnyOrder(table) => {
                let mut id = 0;
                let slot = table.insert_with_key(|slot| {
                    let key = AttemptKey(slot.data().as_ffi());
                    id = match &mut self.narrow {
                        None => key.0,
                        Some(narrow) => narrow.take(key),
                    };
                    entry(id)
                });
                (AttemptKey(slot.data().as_ffi()), id)
            }
        }
    }

    /// The attempt that an id means.
    #[inline(always)]
    pub(super) fn find(&self, id: u64) -> Option<(AttemptKey, &Attempt)> {
        let key = match &self.narrow {
            None => Some(AttemptKey(id)).filter(|key| key.slot().data().as_ffi() == id)?,
            Some(narrow) => *narrow.used.get(&id)?,
        };
        Some((key, self.get(key)?))
    }

    #[inline(always)]
    pub(super) fn get(&self, key: AttemptKey) -> Option<&Attempt> {
        match &self.table {
            Table::AnyOrder(table) => table.get(key.slot()),
            Table::InOrder(line) => line.attempts.get(key.0)?.as_ref(),
        }
    }

    #[inline(always)]
    pub(super) fn get_mut(&mut self, key: AttemptKey) -> Option<&mut Attempt> {
        match &mut self.table {
            Table::AnyOrder(table) => table.get_mut(key.slot()),
            Table::InOrder(line) => line.attempts.get_mut(key.0)?.as_mut(),
        }
    }

    #[inline(always)]
    pub(super) fn remove(&mut self, key: AttemptKey) {
        match &mut self.table {
            Table::AnyOrder(table) => {
                let removed = table.remove(key.slot());
                if let (Some(narrow), Some(removed)) = (&mut self.narrow, removed) {
                    narrow.used.remove(&removed.id);
                }
            }
            Table::InOrder(line) => line.remove(key),
        }
    }

    /// The one that was added last, where answers come in order.
    pub(super) fn last(&self) -> Option<AttemptKey> {
        match &self.table {
            Table::AnyOrder(_) => None,
            Table::InOrder(line) => line.attempts.last().map(AttemptKey),
        }
    }

    /// The id of one more request of the last attempt, where answers come in order. [`Attempts::grow`]
    /// has to tell of it.
    #[inline(always)]
    pub(super) fn extend(&mut self) -> u64 {
        match &mut self.table {
            Table::AnyOrder(_) => 0,
            Table::InOrder(line) => line.attempts.extend(1),
        }
    }

    /// An attempt is of `n` more requests, and ends here now.
    pub(super) fn grow(&mut self, key: AttemptKey, n: u32, end: u64) {
        if let Table::InOrder(line) = &mut self.table
            && let Some(Some(attempt)) = line.attempts.get_mut(key.0)
        {
            attempt.requests += n;
            attempt.end = end;
            line.left += n as usize;
        }
    }

    /// The first request of an attempt is answered. Returns how many it still has.
    #[inline(always)]
    pub(super) fn answered(&mut self, key: AttemptKey) -> u32 {
        if let Table::InOrder(line) = &mut self.table
            && let Some(Some(attempt)) = line.attempts.get_mut(key.0)
        {
            attempt.requests -= 1;
            attempt.id += 1;
            line.left -= 1;
            return attempt.requests;
        }
        0
    }

    /// The first request of an attempt, which takes `size` bytes of it, is `exchange`'s from now on.
    /// Returns the attempt of the others.
    pub(super) fn split(
        &mut self,
        key: AttemptKey,
        exchange: ExchangeKey,
        size: u64,
    ) -> Option<AttemptKey> {
        let Table::InOrder(line) = &mut self.table else {
            return None;
        };
        let first = line.attempts.get_mut(key.0)?.as_mut()?;
        let rest = Attempt {
            start: first.start + size,
            id: first.id + 1,
            requests: first.requests - 1,
            ..first.clone()
        };
        first.exchange = exchange;
        first.end = rest.start;
        first.requests = 1;
        let left = u64::from(rest.requests);
        line.attempts.split(key.0, left, Some(rest)).map(AttemptKey)
    }

    /// The one whose answer comes next, where answers come in order.
    #[inline(always)]
    pub(super) fn oldest(&self) -> Option<(AttemptKey, &Attempt)> {
        match &self.table {
            Table::AnyOrder(_) => None,
            Table::InOrder(line) => line.waiting().next(),
        }
    }

    /// The request that is `n` places behind the one whose answer comes next: its attempt, its id.
    #[inline(always)]
    pub(super) fn behind_oldest(&self, n: usize) -> Option<(&Attempt, u64)> {
        let Table::InOrder(line) = &self.table else {
            return None;
        };
        let mut n = n;
        line.waiting().find_map(|(_, attempt)| {
            let requests = attempt.requests as usize;
            if n < requests {
                return Some((attempt, attempt.id + n as u64));
            }
            n -= requests;
            None
        })
    }

    /// Whether an attempt may be forgotten before it is answered: its id never comes back.
    pub(super) fn forgets(&self) -> bool {
        self.narrow.is_none()
    }

    /// The exchanges that they are of, over or not.
    pub(super) fn exchanges(&self) -> impl Iterator<Item = ExchangeKey> {
        let (any, line) = match &self.table {
            Table::AnyOrder(table) => (Some(table.values()), None),
            Table::InOrder(line) => (None, Some(line.attempts.iter())),
        };
        let line = line.into_iter().flatten();
        let line = line.filter_map(|(_, attempt)| attempt.as_ref());
        let all = any.into_iter().flatten().chain(line);
        all.map(|attempt| attempt.exchange)
    }

    /// All of them, in the order in which they were written.
    pub(super) fn in_order(&self) -> Vec<(AttemptKey, Attempt)> {
        let mut all: Vec<_> = match &self.table {
            Table::AnyOrder(table) => table
                .iter()
                .map(|(slot, attempt)| (AttemptKey(slot.data().as_ffi()), attempt.clone()))
                .collect(),
            Table::InOrder(line) => {
                let all = line.attempts.iter();
                all.filter_map(|(number, attempt)| Some((AttemptKey(number), attempt.clone()?)))
                    .collect()
            }
        };
        all.sort_by_key(|(_, attempt)| attempt.start);
        all
    }
}

impl Narrow {
    fn take(&mut self, key: AttemptKey) -> u64 {
        // The caller's limit on attempts is far below the number of ids of the narrowest protocol.
        loop {
            let id = self.next & self.mask;
            self.next = self.next.wrapping_add(1);
            if !self.reserved.contains(&id) && !self.used.contains_key(&id) {
                self.used.insert(id, key);
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_id_is_never_used_twice() {
        let mut attempts = Attempts::new(Correlation::ById {
            bits: 64,
            reserved: &[],
        });
        let (first, id) = attempts.add(ExchangeKey::default(), Answers::One, 0);
        attempts.remove(first);
        let (_, again) = attempts.add(ExchangeKey::default(), Answers::One, 0);
        assert_ne!(id, again);
        assert!(attempts.find(id).is_none());
        assert!(attempts.find(u64::MAX).is_none());
    }

    #[test]
    fn a_narrow_id_skips_what_is_reserved_or_unanswered() {
        let mut attempts = Attempts::new(Correlation::ById {
            bits: 2,
            reserved: &[2],
        });
        let (first, one) = attempts.add(ExchangeKey::default(), Answers::One, 0);
        let (_, three) = attempts.add(ExchangeKey::default(), Answers::One, 1);
        attempts.remove(first);
        let (_, zero) = attempts.add(ExchangeKey::default(), Answers::One, 2);
        let (_, one_again) = attempts.add(ExchangeKey::default(), Answers::One, 3);
        assert_eq!([one, three, zero, one_again], [1, 3, 0, 1]);
    }

    #[test]
    fn an_attempt_of_several_requests_has_an_id_for_each() {
        let mut attempts = Attempts::new(Correlation::InOrder);
        let (run, id) = attempts.add(ExchangeKey::default(), Answers::One, 10);
        assert_eq!([attempts.extend(), attempts.extend()], [id + 1, id + 2]);
        attempts.grow(run, 2, 40);
        let (_, next) = attempts.add(ExchangeKey::default(), Answers::One, 40);
        assert_eq!((next, attempts.len()), (id + 3, 4));
        assert_eq!(attempts.answered(run), 2);
        let ids: Vec<_> = (0..4)
            .filter_map(|n| Some(attempts.behind_oldest(n)?.1))
            .collect();
        assert_eq!(ids, [id + 1, id + 2, id + 3]);
        // The next one is somebody else's from now on, and begins where the first ended.
        attempts.get_mut(run).unwrap().start = 20;
        let rest = attempts.split(run, ExchangeKey::default(), 7).unwrap();
        let bounds = |key| {
            attempts
                .get(key)
                .map(|it| (it.start, it.end, it.id, it.requests))
        };
        assert_eq!(bounds(run), Some((20, 27, id + 1, 1)));
        assert_eq!(bounds(rest), Some((27, 40, id + 2, 1)));
        assert_eq!(
            (attempts.len(), attempts.last()),
            (3, Some(AttemptKey(next)))
        );
        attempts.remove(run);
        assert_eq!(attempts.oldest().map(|(key, _)| key), Some(rest));
    }

    #[test]
    fn what_is_over_in_the_middle_of_a_line_leaves_with_those_before_it() {
        let mut attempts = Attempts::new(Correlation::InOrder);
        let mut add = |start| attempts.add(ExchangeKey::default(), Answers::One, start).0;
        let (first, second, third) = (add(0), add(1), add(2));
        attempts.remove(second);
        attempts.remove(second);
        assert!(attempts.get(second).is_none());
        assert_eq!((attempts.len(), attempts.in_order().len()), (2, 2));
        attempts.remove(first);
        assert_eq!(attempts.get(third).map(|it| it.start), Some(2));
        attempts.remove(third);
        assert!(attempts.is_empty());
        let (fourth, id) = attempts.add(ExchangeKey::default(), Answers::One, 3);
        assert!(fourth != third && attempts.get_mut(fourth).is_some_and(|it| it.id == id));
    }
}
