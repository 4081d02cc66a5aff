//! Circuit breaking: what is in use of what a cluster, or a route, allows at a time.
//!
//! Workers share these counts, and little else: an atomic for each bound, which only what it bounds
//! touches; and, locked only when such a connection opens or closes, how many connections to an endpoint workers
//! share among requests beyond the first that each may have. They are kept by name, outside of the configuration, and survive its updates; the bounds
//! themselves are the configuration's.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Address;

/// Names that nobody uses any more are forgotten when there are so many.
const MOST_UNUSED: usize = 4096;

/// The counts of all clusters and routes.
#[derive(Debug, Default)]
pub struct Circuits {
    clusters: Mutex<HashMap<Arc<str>, Arc<Usage>>>,
    routes: Mutex<HashMap<Arc<str>, Arc<Count>>>,
}

impl Circuits {
    /// The counts of a cluster.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Arc<Usage> {
        resolve(&self.clusters, name.into())
    }

    /// How many requests of the routes that count under this name are unanswered.
    #[must_use]
    pub fn route(&self, name: &str) -> Arc<Count> {
        resolve(&self.routes, name.into())
    }
}

fn resolve<K: Hash + Eq, V: Default>(known: &Mutex<HashMap<K, Arc<V>>>, name: K) -> Arc<V> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= MOST_UNUSED {
        known.retain(|_, value| Arc::strong_count(value) > 1);
    }
    Arc::clone(known.entry(name).or_default())
}

/// What all workers together use of a cluster.
#[derive(Debug, Default)]
pub struct Usage {
    /// Connections to its endpoints, those too that are being made.
    pub connections: Count,
    /// Requests that wait for such a connection.
    pub pending: Count,
    /// Requests on their way, where there is a bound to them.
    pub requests: Count,
    /// Requests that were sent again, where there is a bound to them.
    pub retries: Count,
    /// Shared connections to an endpoint that are not the first of their worker: only endpoints that have
    /// such connections are here.
    further: Mutex<HashMap<Address, u32>>,
}

impl Usage {
    fn further(&self) -> MutexGuard<'_, HashMap<Address, u32>> {
        self.further.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many shared connections to all endpoints are not the first of their worker.
    #[must_use]
    pub fn further_in_use(&self) -> u32 {
        self.further().values().sum()
    }
}

/// How much of one thing is in use.
#[derive(Debug, Default)]
pub struct Count(AtomicU32);

impl Count {
    /// How much that is.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes one more of so many. False: all are in use.
    #[inline]
    pub(crate) fn take(&self, most: u32) -> bool {
        let one_more = |n| (n < most).then(|| n + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.0.fetch_update(set, fetch, one_more).is_ok()
    }

    /// Takes one more, however many are in use.
    pub(crate) fn take_anyway(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives so many back.
    #[inline]
    pub(crate) fn give_back(&self, n: u32) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }
}

/// The place of a shared connection to an endpoint that its worker has one to already, so that connections
/// do not multiply with workers. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Further {
    usage: Arc<Usage>,
    address: Address,
}

impl Further {
    /// `most` are those of all workers to this endpoint that there may be.
    pub(crate) fn take(usage: &Arc<Usage>, address: &Address, most: u32) -> Option<Self> {
        let mut further = usage.further();
        let in_use = further.get(address).copied().unwrap_or_default();
        if in_use >= most {
            return None;
        }
        further.insert(address.clone(), in_use + 1);
        Some(Self {
            usage: Arc::clone(usage),
            address: address.clone(),
        })
    }
}

impl Drop for Further {
    fn drop(&mut self) {
        let mut further = self.usage.further();
        if let Some(in_use) = further.get_mut(&self.address) {
            *in_use -= 1;
            if *in_use == 0 {
                further.remove(&self.address);
            }
        }
    }
}

/// A connection's place among those of its cluster, with the requests that wait for it. Given back when
/// it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    usage: Arc<Usage>,
    waiting: u32,
}

impl Permit {
    /// `most` are the connections that there may be. `is_first`: the worker has none to the endpoint,
    /// and may have one whatever there is.
    ///
    /// Source of the rule: an Envoy worker whose pool of a host is empty opens a connection past
    /// `max_connections` too.
    pub(crate) fn take(usage: &Arc<Usage>, most: Option<u32>, is_first: bool) -> Option<Self> {
        let taken = match most {
            Some(most) => usage.connections.take(most),
            None => false,
        };
        if !taken {
            if most.is_some() && !is_first {
                return None;
            }
            usage.connections.take_anyway();
        }
        Some(Self {
            usage: Arc::clone(usage),
            waiting: 0,
        })
    }

    /// One more request waits for the connection, of so many that may wait for any of the cluster.
    pub(crate) fn wait(&mut self, most: u32) -> bool {
        let waits = self.usage.pending.take(most);
        self.waiting += u32::from(waits);
        waits
    }

    /// Nothing waits for it any more.
    pub(crate) fn ready(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting > 0 {
            self.usage.pending.give_back(waiting);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.ready();
        self.usage.connections.give_back(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_gives_no_more_than_there_is() {
        let count = Count::default();
        assert_eq!([2, 2, 2].map(|most| count.take(most)), [true, true, false]);
        assert!(count.take(3), "the bound may change");
        assert!(!count.take(1), "whatever is in use stays so");
        count.give_back(3);
        assert_eq!((count.in_use(), count.take(0)), (0, false));
    }

    #[test]
    fn a_worker_may_have_one_connection_to_an_endpoint() {
        // The bound, whether it is the worker's first to the endpoint, and what becomes of it.
        let rows = [
            (Some(1), false, true),
            (Some(1), false, false),
            (Some(1), true, true),
            (Some(0), true, true),
            (Some(0), false, false),
            (None, false, true),
        ];
        let usage = Arc::default();
        let mut held = vec![];
        for (most, is_first, expected) in rows {
            let permit = Permit::take(&usage, most, is_first);
            assert_eq!(permit.is_some(), expected, "{most:?}, first: {is_first}");
            held.extend(permit);
        }
        assert_eq!(usage.connections.in_use(), 4);
        drop(held);
        assert_eq!(usage.connections.in_use(), 0);
    }

    #[test]
    fn connections_beyond_the_first_are_counted_for_each_endpoint() {
        let usage = Arc::default();
        let [one, other] = [1, 2].map(|port| Address::Tcp(([127, 0, 0, 1], port).into()));
        let held = [&one, &one, &other].map(|to| Further::take(&usage, to, 2));
        assert!(held.iter().all(Option::is_some));
        assert!(Further::take(&usage, &one, 2).is_none());
        assert!(
            Further::take(&usage, &other, 2).is_some(),
            "given back at once"
        );
        assert_eq!(usage.further_in_use(), 3);
        drop(held);
        assert!(usage.further().is_empty(), "nothing is kept of an endpoint");
    }

    #[test]
    fn what_waits_for_a_connection_goes_with_it() {
        let usage = Arc::default();
        let mut one = Permit::take(&usage, None, true).unwrap();
        let mut other = Permit::take(&usage, None, true).unwrap();
        assert!(one.wait(3) && one.wait(3) && other.wait(3));
        assert!(!other.wait(3));
        one.ready();
        assert_eq!(usage.pending.in_use(), 1);
        drop(other);
        assert_eq!(usage.pending.in_use(), 0);
    }

    #[test]
    fn workers_that_take_at_once_take_no_more_than_there_is() {
        let count = Count::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if count.take(3) {
                            assert!(count.in_use() <= 3);
                            count.give_back(1);
                        }
                    }
                });
            }
        });
        assert_eq!(count.in_use(), 0);
    }

    #[test]
    fn counts_outlive_whoever_asks_for_them() {
        let circuits = Circuits::default();
        circuits.cluster("a").requests.take_anyway();
        assert_eq!(circuits.cluster("a").requests.in_use(), 1);
        assert_eq!(circuits.cluster("b").requests.in_use(), 0);
    }
}
