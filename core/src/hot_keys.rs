//! Which keys are asked for most, of how ever many, in bounded space.
//!
//! Requests are sampled into a sketch of a fixed number of counters, which are halved every minute,
//! so that they show what is hot now. Pure: time and randomness are arguments.

mod sketch;
mod summary;

use std::time::{Duration, Instant};

pub use sketch::Sketch;
pub use summary::{HotKey, Summary};

/// Keys that are counted at once.
pub const COUNTERS: usize = 128;
/// Bytes of a key that tell it from others.
pub const LONGEST_KEY: usize = 256;
/// Between two halvings.
pub const HALVING: Duration = Duration::from_secs(60);
/// So many requests of a minute are all counted: where there is little traffic, samples say little.
const ALL_OF: u32 = 1024;
/// Of those behind them one in so many, up to so many samples.
const ONE_IN: u32 = 16;
const SAMPLES: u32 = 16 * ALL_OF;
/// And of all others: where there is much traffic, few samples say enough.
const RARELY_ONE_IN: u32 = 64;

/// The most frequent keys of one service, as one worker sees them.
#[derive(Debug)]
pub struct HotKeys {
    sketch: Sketch,
    /// When its counts are to be halved.
    due: Instant,
    /// Requests that were counted since the last halving.
    samples: u32,
    /// Requests that are passed over before the next one is counted.
    skip: u32,
}

impl HotKeys {
    /// Without any key.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            sketch: Sketch::new(COUNTERS),
            due: now + HALVING,
            samples: 0,
            skip: 0,
        }
    }

    /// Whether the key of this request is to be counted, and as how many requests. `random` is
    /// drawn only then: a fixed step would count one key alone of clients that repeat themselves.
    pub fn sampled(&mut self, now: Instant, random: impl FnOnce() -> u32) -> Option<u32> {
        self.halve(now);
        if self.samples < ALL_OF {
            self.samples += 1;
            return Some(1);
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let one_in = match self.samples {
            0..SAMPLES => ONE_IN,
            _ => RARELY_ONE_IN,
        };
        self.samples = self.samples.saturating_add(1);
        // From 0 to twice the mean, evenly.
        self.skip = random() % (2 * one_in - 1);
        Some(one_in)
    }

    /// Counts a key that was [`HotKeys::sampled`].
    pub fn count(&mut self, key: &[u8], requests: u32) {
        self.sketch.count(key, f64::from(requests));
    }

    /// What is known by now.
    pub fn summary(&mut self, now: Instant) -> Summary {
        self.halve(now);
        self.sketch.summary()
    }

    fn halve(&mut self, now: Instant) {
        if now < self.due {
            return;
        }
        let since = now.saturating_duration_since(self.due);
        let times = u32::try_from(since.as_secs() / HALVING.as_secs() + 1).unwrap_or(u32::MAX);
        self.sketch.halve(times);
        self.due += HALVING * times;
        self.samples = 0;
    }
}

#[cfg(test)]
mod tests;
