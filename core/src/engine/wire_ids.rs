//! The ids of the attempts on one upstream connection.

use std::collections::HashMap;

use meltemi_codec::{Answers, Correlation, Memo};
use slotmap::{Key, KeyData, SlotMap, new_key_type};

use super::ExchangeKey;

new_key_type! {
    /// One sending of a request on one connection.
    pub(super) struct AttemptKey;
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
    /// The id on the wire.
    pub(super) id: u64,
    /// What is still to come for it.
    pub(super) answers: Answers,
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
    table: SlotMap<AttemptKey, Attempt>,
    narrow: Option<Narrow>,
}

#[derive(Debug)]
struct Narrow {
    mask: u64,
    reserved: &'static [u64],
    next: u64,
    used: HashMap<u64, AttemptKey>,
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
        Self {
            table: SlotMap::with_key(),
            narrow,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Enters an attempt whose bytes will start at `start`; its id is in the entry.
    pub(super) fn add(
        &mut self,
        exchange: ExchangeKey,
        answers: Answers,
        start: u64,
    ) -> (AttemptKey, u64) {
        let mut id = 0;
        let key = self.table.insert_with_key(|key| {
            id = match &mut self.narrow {
                None => key.data().as_ffi(),
                Some(narrow) => narrow.take(key),
            };
            Attempt {
                exchange,
                start,
                end: start,
                id,
                answers,
                memo: None,
            }
        });
        (key, id)
    }

    pub(super) fn find(&self, id: u64) -> Option<AttemptKey> {
        match &self.narrow {
            None => Some(AttemptKey::from(KeyData::from_ffi(id)))
                .filter(|key| key.data().as_ffi() == id && self.table.contains_key(*key)),
            Some(narrow) => narrow.used.get(&id).copied(),
        }
    }

    pub(super) fn get(&self, key: AttemptKey) -> Option<&Attempt> {
        self.table.get(key)
    }

    pub(super) fn get_mut(&mut self, key: AttemptKey) -> Option<&mut Attempt> {
        self.table.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: AttemptKey) -> Option<Attempt> {
        let attempt = self.table.remove(key)?;
        if let Some(narrow) = &mut self.narrow {
            narrow.used.remove(&attempt.id);
        }
        Some(attempt)
    }

    /// Whether an attempt may be forgotten before it is answered: its id never comes back.
    pub(super) fn forgets(&self) -> bool {
        self.narrow.is_none()
    }

    /// The exchanges that they are of, over or not.
    pub(super) fn exchanges(&self) -> impl Iterator<Item = ExchangeKey> {
        self.table.values().map(|attempt| attempt.exchange)
    }

    /// All of them, in the order in which they were written.
    pub(super) fn in_order(&self) -> Vec<(AttemptKey, Attempt)> {
        let mut all: Vec<_> = self
            .table
            .iter()
            .map(|(key, attempt)| (key, attempt.clone()))
            .collect();
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
        assert_eq!(attempts.find(id), None);
        assert_eq!(attempts.find(u64::MAX), None);
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
}
