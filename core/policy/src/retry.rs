//! How long a request that is sent again is under way.

use std::time::Duration;

/// The longest pause before the first repetition: Envoy's base interval, where a policy gives none.
pub const DEFAULT_BACKOFF: Duration = Duration::from_millis(25);

/// No pause is longer than the first one times this.
const LONGEST: u32 = 10;

/// The longest pause before the repetition of this number, counted from 0: it doubles, up to ten
/// times the first. The pause itself is drawn from what is below.
///
/// Source of the rule: Envoy's jittered exponential backoff, with its `max_interval`.
#[must_use]
pub fn longest_pause(first: Duration, number: u32) -> Duration {
    first.saturating_mul(LONGEST.min(1 << number.min(LONGEST)))
}

/// The times that bound a request which may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Beyond the first sending.
    pub attempts: u32,
    pub per_try_timeout: Option<Duration>,
    pub backoff: Duration,
    /// Of the whole.
    pub timeout: Option<Duration>,
}

impl Bounds {
    /// How often it is sent at worst.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.attempts.saturating_add(1)
    }

    /// How long its client waits at worst; none where that is not limited.
    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        let pauses = (0..self.attempts)
            .map(|number| longest_pause(self.backoff, number))
            .fold(Duration::ZERO, Duration::saturating_add);
        let tries = self
            .per_try_timeout
            .map(|each| each.saturating_mul(self.tries()).saturating_add(pauses));
        [tries, self.timeout].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_times_the_first() {
        let millis = |number| longest_pause(Duration::from_millis(10), number).as_millis();
        let pauses: Vec<_> = [0, 1, 2, 3, 4, 5, 40].map(millis).into();
        assert_eq!(pauses, [10, 20, 40, 80, 100, 100, 100]);
    }

    #[test]
    fn the_worst_case_is_all_tries_and_pauses_or_the_timeout() {
        let seconds = Duration::from_secs;
        let bounds = Bounds {
            attempts: 2,
            per_try_timeout: Some(seconds(1)),
            backoff: seconds(2),
            timeout: None,
        };
        assert_eq!(bounds.longest(), Some(seconds(3 + 2 + 4)));
        let timeout = Some(seconds(5));
        assert_eq!(Bounds { timeout, ..bounds }.longest(), timeout);
        let per_try_timeout = None;
        let unbounded = Bounds {
            per_try_timeout,
            ..bounds
        };
        assert_eq!(unbounded.longest(), None);
        assert_eq!(unbounded.tries(), 3);
    }
}
