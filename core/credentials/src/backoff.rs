//! How long to wait before the next attempt to reach somebody.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles with each failure, up to ten seconds; half of each delay is random, so that the proxies
/// of a mesh do not come back in step.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// It was reached.
    pub fn succeeded(&mut self) {
        self.next = FIRST;
    }

    /// The delay after a failure; `random` is drawn from the whole range.
    pub fn failed(&mut self, random: u32) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest_and_starts_over() {
        let mut backoff = Backoff::default();
        let longest: Vec<_> = (0..9)
            .map(|_| backoff.failed(u32::MAX).as_millis())
            .collect();
        assert_eq!(
            longest,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        assert_eq!(backoff.failed(0), LONGEST / 2);
        backoff.succeeded();
        assert_eq!(backoff.failed(0), FIRST / 2);
    }
}
