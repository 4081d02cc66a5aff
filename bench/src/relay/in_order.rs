//! Answers in the order of the requests: a queue of clients for each upstream connection.

use std::collections::VecDeque;
use std::marker::PhantomData;

use super::{Client, Matching};
use crate::wire::Wire;

/// Whose the requests in flight are, the oldest first, by upstream connection.
#[derive(Debug)]
pub(super) struct InOrder<W> {
    in_flight: Vec<VecDeque<Client>>,
    wire: PhantomData<W>,
}

impl<W> Default for InOrder<W> {
    fn default() -> Self {
        Self {
            in_flight: Vec::new(),
            wire: PhantomData,
        }
    }
}

impl<W: Wire> Matching for InOrder<W> {
    type Wire = W;

    const KEEPS_ORDER: bool = true;

    fn forward(&mut self, out: &mut Vec<u8>, request: &[u8], upstream: usize, client: Client) {
        if self.in_flight.len() <= upstream {
            self.in_flight.resize_with(upstream + 1, VecDeque::new);
        }
        if let Some(queue) = self.in_flight.get_mut(upstream) {
            queue.push_back(client);
        }
        out.extend_from_slice(request);
    }

    fn settle(&mut self, _: &[u8], upstream: usize) -> Option<(Client, u64)> {
        let client = self.in_flight.get_mut(upstream)?.pop_front()?;
        Some((client, 0))
    }

    fn deliver(out: &mut Vec<u8>, answer: &[u8], _: u64) {
        out.extend_from_slice(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Redis;

    #[test]
    fn each_connection_answers_its_own_requests_in_their_order() {
        let client = |key| Client { key, serial: 0 };
        let mut matching = InOrder::<Redis>::default();
        let mut out = Vec::new();
        for (key, upstream) in [(1, 0), (2, 1), (3, 0)] {
            matching.forward(&mut out, b"*0\r\n", upstream, client(key));
        }
        assert_eq!(out, b"*0\r\n*0\r\n*0\r\n");
        let mut next = |upstream| matching.settle(b"", upstream).map(|(client, _)| client.key);
        assert_eq!([next(0), next(0), next(0)], [Some(1), Some(3), None]);
        assert_eq!([next(1), next(1), next(7)], [Some(2), None, None]);
    }
}
