//! The token buckets of all workers.
//!
//! They live outside of the configuration: one that keeps its owner, its requests and its numbers
//! keeps its tokens through every update.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use meltemi_policy::{Alternative, TokenBucket};

/// A bucket that workers share: one number, which a request that it covers changes at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    numbers: TokenBucket,
    /// As [`TokenBucket::take`] has it.
    spent: AtomicU64,
}

impl Bucket {
    fn new(numbers: TokenBucket) -> Self {
        let spent = AtomicU64::new(0);
        Self { numbers, spent }
    }

    /// Takes a token at this time, in nanoseconds since [`Buckets::origin`]. False: there is none.
    #[inline]
    pub(crate) fn take(&self, now: u64) -> bool {
        let take = |spent| self.numbers.take(spent, now);
        // Nothing else is published by it.
        let order = Ordering::Relaxed;
        self.spent.fetch_update(order, order, take).is_ok()
    }

    /// How many requests it would admit at this time.
    fn left(&self, now: u64) -> u32 {
        self.numbers.left(self.spent.load(Ordering::Relaxed), now)
    }

    /// Gives a token back that was taken.
    pub(crate) fn give_back(&self) {
        self.spent
            .fetch_sub(self.numbers.token(), Ordering::Relaxed);
    }
}

/// All buckets that somebody uses, and the moment from which all workers count time.
#[derive(Debug)]
pub struct Buckets {
    origin: Instant,
    /// By the name of their limit. Locked when the configuration changes.
    known: Mutex<HashMap<String, OfLimit>>,
}

/// The buckets of a limit with the requests of each; none: those that no condition covers.
type OfLimit = Vec<(Vec<Alternative>, Weak<Bucket>)>;

impl Buckets {
    /// None yet; `now` is not after any time that a worker is told.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            known: Mutex::default(),
        }
    }

    pub(crate) fn origin(&self) -> Instant {
        self.origin
    }

    /// The bucket of a limit for these requests, with these numbers: the one that is there, or a full
    /// one.
    ///
    /// One with other numbers is another bucket. Both are kept as long as some worker has them, since
    /// workers take a configuration in one after the other.
    pub(crate) fn find(
        &self,
        limit: &str,
        covered: &[Alternative],
        numbers: TokenBucket,
    ) -> Arc<Bucket> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(limit) {
            // Names that are gone are forgotten when another comes.
            known.retain(|_, buckets| buckets.iter().any(|(_, it)| it.strong_count() > 0));
        }
        let buckets = known.entry(limit.to_owned()).or_default();
        buckets.retain(|(_, bucket)| bucket.strong_count() > 0);
        if let Some(bucket) = used(buckets, covered, numbers) {
            return bucket;
        }
        let bucket = Arc::new(Bucket::new(numbers));
        buckets.push((covered.to_vec(), Arc::downgrade(&bucket)));
        bucket
    }

    /// How many requests the bucket of a limit for these requests, with these numbers, would admit now.
    pub(crate) fn left(&self, limit: &str, covered: &[Alternative], numbers: TokenBucket) -> u32 {
        let now = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets = known.get(limit);
        let bucket = buckets.and_then(|buckets| used(buckets, covered, numbers));
        // One that nobody uses would begin full.
        bucket.map_or(numbers.max_tokens(), |bucket| bucket.left(now))
    }
}

/// The one that somebody uses.
fn used(buckets: &OfLimit, covered: &[Alternative], numbers: TokenBucket) -> Option<Arc<Bucket>> {
    let found = buckets.iter().filter(|(of, _)| of == covered);
    let mut found = found.filter_map(|(_, bucket)| bucket.upgrade());
    found.find(|bucket| bucket.numbers == numbers)
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use meltemi_policy::{AttributeMatch, Condition};

    use super::*;

    fn numbers(max: u32) -> TokenBucket {
        TokenBucket::new(max, 1, Duration::from_secs(3600)).unwrap()
    }

    #[test]
    fn a_bucket_stays_as_long_as_its_key_and_its_numbers() {
        let buckets = Buckets::new(Instant::now());
        let reads = [vec![AttributeMatch::new(
            "command",
            Condition::one_of(["get"]),
        )]];
        let first = buckets.find("default/shop", &[], numbers(1));
        assert!(first.take(0) && !first.take(0));
        let again = buckets.find("default/shop", &[], numbers(1));
        assert!(Arc::ptr_eq(&first, &again));
        for (limit, covered, max) in [
            ("default/shop", &[][..], 2),
            ("default/shop", &reads[..], 1),
            ("default/other", &[][..], 1),
        ] {
            let other = buckets.find(limit, covered, numbers(max));
            assert!(other.take(0), "{limit} {max}");
        }
        // Where nobody has it any more, it begins anew.
        drop((first, again));
        assert!(buckets.find("default/shop", &[], numbers(1)).take(0));
    }

    #[test]
    fn whoever_looks_takes_nothing() {
        let buckets = Buckets::new(Instant::now());
        let left = |max| buckets.left("a", &[], numbers(max));
        assert_eq!(left(3), 3);
        let bucket = buckets.find("a", &[], numbers(3));
        assert!(bucket.take(0));
        assert_eq!((left(3), left(3), left(4)), (2, 2, 4));
    }

    #[test]
    fn one_that_a_worker_still_has_is_not_another_for_the_next() {
        let buckets = Buckets::new(Instant::now());
        let (old, new) = (numbers(1), numbers(2));
        // One worker is at the newer configuration before the other has the older.
        let ahead = buckets.find("a", &[], new);
        let behind = buckets.find("a", &[], old);
        let then = buckets.find("a", &[], new);
        assert!(Arc::ptr_eq(&ahead, &then) && !Arc::ptr_eq(&ahead, &behind));
    }

    #[test]
    fn names_that_are_gone_are_forgotten() {
        let buckets = Buckets::new(Instant::now());
        for n in 0..1000 {
            drop(buckets.find(&n.to_string(), &[], numbers(1)));
        }
        assert!(buckets.known.lock().unwrap().len() <= 2);
    }

    #[test]
    fn workers_together_take_what_there_is_and_no_more() {
        let buckets = Buckets::new(Instant::now());
        let bucket = buckets.find("a", &[], numbers(10_000));
        let taken: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..5000).filter(|_| bucket.take(0)).count()))
                .collect();
            workers.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(taken, 10_000);
        bucket.give_back();
        assert!(bucket.take(0) && !bucket.take(0));
    }
}
