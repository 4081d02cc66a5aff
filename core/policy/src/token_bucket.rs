//! Token buckets: what they admit, in whole numbers, so that no rate drifts.

#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

/// The numbers of a bucket: each request takes a token, and where there is none it is refused.
///
/// Tokens come evenly, one after the other, as in Envoy's `AtomicTokenBucketImpl`, and not many at
/// the end of each interval. In any window of `t` nanoseconds a bucket admits at most
/// `max_tokens + (t + 2) * tokens_per_fill / fill_interval` requests, however old it is.
///
/// What changes is one number, kept by whoever uses the bucket: until when tokens are *spent*, 0
/// at first. It counts in units, of which a token has a power of two and a nanosecond one or a
/// little more, so that both what a token takes and what time gives are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenBucket {
    max_tokens: u32,
    tokens_per_fill: u32,
    fill_interval: Duration,
    /// Units of a token.
    token: u64,
    /// Units of 2^63 nanoseconds.
    scale: u64,
}

/// Numbers that are no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BucketRefused {
    #[error("a bucket that holds no token admits nothing")]
    Empty,
    #[error("a bucket that is never filled admits nothing any more once it is empty")]
    NeverFilled,
    #[error("an interval must be above 0")]
    NoInterval,
    #[error("an interval must not be above 100 years")]
    TooSlow,
    #[error("more than one token a nanosecond is no limit")]
    TooFast,
}

const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// What a bucket holds is at most so many units, far below what a number holds.
const MOST: u64 = 1 << 62;

impl TokenBucket {
    /// A bucket that holds so many tokens at most, and at first, and gets so many in an interval.
    ///
    /// # Errors
    /// It would admit nothing, or everything.
    pub fn new(
        max_tokens: u32,
        tokens_per_fill: u32,
        fill_interval: Duration,
    ) -> Result<Self, BucketRefused> {
        if max_tokens == 0 {
            return Err(BucketRefused::Empty);
        }
        if tokens_per_fill == 0 {
            return Err(BucketRefused::NeverFilled);
        }
        if fill_interval.is_zero() {
            return Err(BucketRefused::NoInterval);
        }
        if fill_interval > LONGEST {
            return Err(BucketRefused::TooSlow);
        }
        let (interval, tokens) = (fill_interval.as_nanos(), u128::from(tokens_per_fill));
        if tokens > interval {
            return Err(BucketRefused::TooFast);
        }
        // The first power of two with which a nanosecond has a unit; fewer where a full bucket
        // would be too large a number.
        let fine = interval.div_ceil(tokens).next_power_of_two();
        let most = u128::from(MOST >> (u32::BITS - max_tokens.leading_zeros()));
        let token = fine.min(most);
        // A nanosecond has fewer than two units, and 2^63 of them fewer than 2^64.
        let scale = ((token * tokens) << 63) / interval;
        Ok(Self {
            max_tokens,
            tokens_per_fill,
            fill_interval,
            token: u64::try_from(token).unwrap_or(MOST),
            scale: u64::try_from(scale).unwrap_or(u64::MAX),
        })
    }

    #[must_use]
    pub const fn max_tokens(&self) -> u32 {
        self.max_tokens
    }

    #[must_use]
    pub const fn tokens_per_fill(&self) -> u32 {
        self.tokens_per_fill
    }

    #[must_use]
    pub const fn fill_interval(&self) -> Duration {
        self.fill_interval
    }

    /// Takes a token at this time, in nanoseconds: until when tokens are spent then. `None`: there
    /// is none, and nothing changes.
    #[inline]
    #[must_use]
    pub fn take(&self, spent: u64, now: u64) -> Option<u64> {
        let now = self.units(now);
        // What a full bucket would have got in the meantime is lost.
        let spent = spent.max(now).checked_add(self.token)?;
        let full = u64::from(self.max_tokens) * self.token;
        (spent - now <= full).then_some(spent)
    }

    /// How many requests it would admit at this time.
    #[must_use]
    pub fn left(&self, spent: u64, now: u64) -> u32 {
        let full = u64::from(self.max_tokens) * self.token;
        let used = spent.saturating_sub(self.units(now));
        let left = full.saturating_sub(used) / self.token;
        u32::try_from(left).unwrap_or(self.max_tokens)
    }

    /// What [`Self::take`] adds to what is spent: whoever gives a token back takes it off.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }

    #[inline]
    fn units(&self, nanoseconds: u64) -> u64 {
        let units = (u128::from(nanoseconds) * u128::from(self.scale)) >> 63;
        u64::try_from(units).unwrap_or(u64::MAX)
    }
}
