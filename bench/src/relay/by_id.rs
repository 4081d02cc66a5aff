//! Ids of the relay's own: which client's request travels under which.

use slab::Slab;

use super::{Client, Matching};
use crate::wire::Dubbo;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Origin {
    client: Client,
    id: u64,
}

/// Requests in flight; an id upstream is the index of its slot.
#[derive(Debug, Default)]
pub(super) struct ById {
    in_flight: Slab<Origin>,
}

impl Matching for ById {
    type Wire = Dubbo;

    const KEEPS_ORDER: bool = false;

    fn forward(&mut self, out: &mut Vec<u8>, request: &[u8], _: usize, client: Client) {
        let id = Dubbo::id(request);
        let slot = self.in_flight.insert(Origin { client, id });
        Dubbo::append_with_id(out, request, slot as u64);
    }

    fn settle(&mut self, answer: &[u8], _: usize) -> Option<(Client, u64)> {
        let slot = usize::try_from(Dubbo::id(answer)).ok()?;
        let Origin { client, id } = self.in_flight.try_remove(slot)?;
        Some((client, id))
    }

    fn deliver(out: &mut Vec<u8>, answer: &[u8], id: u64) {
        Dubbo::append_with_id(out, answer, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Request, Wire};

    fn client(key: usize) -> Client {
        Client {
            key,
            serial: key as u64,
        }
    }

    /// Forwards request `id` of a client, and gives the answer to what went upstream.
    fn forwarded(matching: &mut ById, key: usize, id: u64) -> Vec<u8> {
        let mut request = Vec::new();
        let exchange = Request::Dubbo { argument: 128 }.exchange();
        exchange.append_request(&mut request, 0, id);
        let (mut sent, mut answer) = (Vec::new(), Vec::new());
        matching.forward(&mut sent, &request, 0, client(key));
        Dubbo::append_answer(&mut answer, &sent).unwrap();
        answer
    }

    #[test]
    fn equal_ids_of_two_clients_travel_apart() {
        let mut matching = ById::default();
        let first = forwarded(&mut matching, 1, 7);
        let second = forwarded(&mut matching, 2, 7);
        assert_ne!(Dubbo::id(&first), Dubbo::id(&second));
        assert_eq!(matching.settle(&second, 0), Some((client(2), 7)));
        assert_eq!(matching.settle(&first, 0), Some((client(1), 7)));
        let mut delivered = Vec::new();
        ById::deliver(&mut delivered, &second, 7);
        assert_eq!(Dubbo::id(&delivered), 7);
    }

    #[test]
    fn an_id_answers_once_and_is_free_again() {
        let mut matching = ById::default();
        let first = forwarded(&mut matching, 1, u64::MAX);
        assert_eq!(matching.settle(&first, 0), Some((client(1), u64::MAX)));
        assert_eq!(matching.settle(&first, 0), None);
        let second = forwarded(&mut matching, 2, 5);
        assert_eq!(Dubbo::id(&first), Dubbo::id(&second));
        assert_eq!(matching.settle(&second, 0), Some((client(2), 5)));
    }
}
