//! The relay's id table: which client's request travels under which id.

use slab::Slab;

/// One accepted connection. `serial` tells it from an earlier one that had the same key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Client {
    pub(super) key: usize,
    pub(super) serial: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Origin {
    pub(super) client: Client,
    pub(super) id: u64,
}

/// Requests in flight; an id upstream is the index of its slot.
#[derive(Debug, Default)]
pub(super) struct Slots {
    in_flight: Slab<Origin>,
}

impl Slots {
    /// Remembers a request and gives the id under which to send it.
    pub(super) fn insert(&mut self, origin: Origin) -> u64 {
        self.in_flight.insert(origin) as u64
    }

    /// Where the answer `id` belongs; `None` if nothing is in flight under it.
    pub(super) fn take(&mut self, id: u64) -> Option<Origin> {
        self.in_flight.try_remove(usize::try_from(id).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(key: usize, id: u64) -> Origin {
        Origin {
            client: Client {
                key,
                serial: key as u64,
            },
            id,
        }
    }

    #[test]
    fn equal_ids_of_two_clients_travel_apart() {
        let mut slots = Slots::default();
        let first = slots.insert(origin(1, 0));
        let second = slots.insert(origin(2, 0));
        assert_ne!(first, second);
        assert_eq!(slots.take(second), Some(origin(2, 0)));
        assert_eq!(slots.take(first), Some(origin(1, 0)));
    }

    #[test]
    fn an_id_answers_once() {
        let mut slots = Slots::default();
        let id = slots.insert(origin(1, u64::MAX));
        assert_eq!(slots.take(id), Some(origin(1, u64::MAX)));
        assert_eq!(slots.take(id), None);
        assert_eq!(slots.take(u64::MAX), None);
    }

    #[test]
    fn a_free_id_is_used_again() {
        let mut slots = Slots::default();
        let first = slots.insert(origin(1, 10));
        slots.take(first);
        let second = slots.insert(origin(1, 11));
        assert_eq!(first, second);
        assert_eq!(slots.take(second), Some(origin(1, 11)));
    }
}
