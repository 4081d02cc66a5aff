//! How many connections each address has at listeners that bound that, counted over all workers: when one comes and when
//! it goes, and only there.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of all sources.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: HashMap<(Arc<str>, IpAddr), u32>,
    /// By listener, how many connections were refused.
    limited: BTreeMap<Arc<str>, u64>,
}

/// A connection's place among those of its source, which it gives back in the end.
#[derive(Debug)]
pub(super) struct Place {
    sources: Arc<Sources>,
    key: (Arc<str>, IpAddr),
}

impl Sources {
    /// `None`: the source has as many connections to the listener as it may have.
    pub(super) fn take(
        self: &Arc<Self>,
        listener: &Arc<str>,
        client: IpAddr,
        most: NonZeroU32,
    ) -> Option<Place> {
        let key = (Arc::clone(listener), source(client));
        let mut counts = self.lock();
        let open = counts.open.entry(key.clone()).or_default();
        if *open >= most.get() {
            *counts.limited.entry(Arc::clone(listener)).or_default() += 1;
            return None;
        }
        *open += 1;
        drop(counts);
        let sources = Arc::clone(self);
        Some(Place { sources, key })
    }

    /// By listener, how many connections were refused so far.
    pub(crate) fn limited(&self) -> BTreeMap<Arc<str>, u64> {
        self.lock().limited.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.sources.lock();
        if let Some(open) = counts.open.get_mut(&self.key) {
            *open -= 1;
            if *open == 0 {
                counts.open.remove(&self.key);
            }
        }
    }
}

/// Of IPv6 the network, of which a client has all addresses (RFC 4291, section 2.5.4: its interfaces have the other 64 bits).
fn source(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(network.into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_places_at_each_listener() {
        let sources = Arc::<Sources>::default();
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let two = NonZeroU32::new(2).unwrap();
        let take = |listener, client: &str| sources.take(listener, client.parse().unwrap(), two);
        let held = [take(&one, "10.0.0.1"), take(&one, "::ffff:10.0.0.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(take(&one, "10.0.0.1").is_none());
        assert!(take(&one, "10.0.0.2").is_some());
        assert!(take(&other, "10.0.0.1").is_some());
        let _network = [take(&one, "2001:db8::1"), take(&one, "2001:db8::ffff:1")];
        assert!(take(&one, "2001:db8::2").is_none());
        assert!(take(&one, "2001:db8:0:1::2").is_some());
        assert_eq!(sources.limited().get(&*one), Some(&2));
        assert_eq!(sources.limited().get(&*other), None);
        drop(held);
        assert!(take(&one, "10.0.0.1").is_some());
    }

    #[test]
    fn nothing_is_left_of_sources_that_are_gone() {
        let sources = Arc::<Sources>::default();
        let listener: Arc<str> = "one".into();
        let most = NonZeroU32::MIN;
        for i in 0..100 {
            let client = IpAddr::from([10, 0, 0, i]);
            assert!(sources.take(&listener, client, most).is_some());
        }
        assert!(sources.lock().open.is_empty());
    }
}
