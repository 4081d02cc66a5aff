//! How often something may be done: a bucket of tokens that fills at a steady rate.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Rate {
    /// Between two tokens.
    interval: Duration,
    burst: u32,
    /// When the bucket is full, if nothing is taken until then.
    full: Instant,
}

impl Rate {
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second,
            burst,
            full: now,
        }
    }

    /// Takes a token, or says when there will be one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let full = self.full.max(now) + self.interval;
        let there = full.checked_sub(self.interval * self.burst).unwrap_or(now);
        if there > now {
            return Err(there);
        }
        self.full = full;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_a_steady_rate() {
        let now = Instant::now();
        let mut rate = Rate::new(10, 3, now);
        let mut taken = |millis| rate.take(now + Duration::from_millis(millis)).is_ok();
        assert_eq!([0, 0, 0, 0].map(&mut taken), [true, true, true, false]);
        assert_eq!(
            [99, 100, 100, 199, 200].map(&mut taken),
            [false, true, false, false, true]
        );
        // However long nothing was taken, it holds no more than the burst.
        assert_eq!(
            [9000, 9000, 9000, 9000].map(&mut taken),
            [true, true, true, false]
        );
    }

    #[test]
    fn who_is_refused_is_told_when_to_come_again() {
        let now = Instant::now();
        let mut rate = Rate::new(10, 1, now);
        assert_eq!(rate.take(now), Ok(()));
        let again = rate.take(now).expect_err("it is empty");
        assert_eq!(again, now + Duration::from_millis(100));
        assert_eq!(rate.take(again), Ok(()));
    }
}
