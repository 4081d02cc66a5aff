//! How often a request is sent, and how long it is under way, at worst.

use std::time::Duration;

/// The longest pause before the first repetition: Envoy's base interval, where a policy gives none.
pub const DEFAULT_BACKOFF: Duration = Duration::from_millis(25);

/// Times that lie closer together may pass in either order: workers look at them so often.
const STEP: Duration = Duration::from_millis(8);

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

/// What bounds a request: how often it is sent, and how long its client waits.
///
/// What servers themselves send elsewhere or ask for again is not counted, and neither is an endpoint
/// that no byte of it has left to: another one takes its place in the same try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// How often it is sent again, beyond the first sending.
    pub attempts: u32,
    pub per_try_timeout: Option<Duration>,
    pub backoff: Duration,
    /// How long an endpoint is asked alone, before another one is, once.
    pub hedge: Option<Duration>,
    /// How long it is kept before it is sent: a delay on purpose, a verdict that is waited for.
    pub kept: Duration,
    /// Of the whole.
    pub timeout: Option<Duration>,
}

impl Bounds {
    /// How often it is tried at worst: each try ends before the next begins.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.attempts.saturating_add(1)
    }

    /// After which time another endpoint is asked, too, where that can happen before its try or the whole
    /// is over.
    #[must_use]
    pub fn hedges_after(&self) -> Option<Duration> {
        let mut ends = [self.per_try_timeout, self.timeout].into_iter().flatten();
        self.hedge
            .filter(|delay| ends.all(|end| *delay < end.saturating_add(STEP)))
    }

    /// How often it is sent at worst: for each try, and once more beside one of them.
    #[must_use]
    pub fn sendings(&self) -> u32 {
        let beside = u32::from(self.hedges_after().is_some());
        self.tries().saturating_add(beside)
    }

    /// The pauses before its repetitions, all at their longest.
    #[must_use]
    pub fn pauses(&self) -> Duration {
        let pauses = (0..self.attempts).map(|number| longest_pause(self.backoff, number));
        pauses.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// How long all tries take at worst; none where one of them may take forever.
    ///
    /// The time of a try begins anew with the second attempt in it.
    #[must_use]
    pub fn all_tries(&self) -> Option<Duration> {
        let tries = self.per_try_timeout?.saturating_mul(self.tries());
        let alone = self.hedges_after().unwrap_or_default();
        let all = [tries, self.pauses(), alone, self.kept];
        Some(
            all.into_iter()
                .fold(Duration::ZERO, Duration::saturating_add),
        )
    }

    /// How long its client waits at worst; none where that is not limited.
    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        [self.all_tries(), self.timeout].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
