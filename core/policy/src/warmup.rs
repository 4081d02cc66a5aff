//! How much of its weight an endpoint has that is new: Envoy's slow start.

use std::fmt;
use std::time::Duration;

/// The weight of an endpoint that is new, or was away, grows over a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warmup {
    pub duration: Duration,
    /// The part of its weight that it has at the least, from 0 to 1.
    pub minimum: f64,
    /// Above 0. With 1 the weight grows evenly; the greater, the more of it comes at the start.
    pub aggression: f64,
}

impl Warmup {
    /// The part of its weight that an endpoint has after this time: Envoy's `applySlowStartFactor`,
    /// which counts milliseconds.
    #[must_use]
    pub fn part(&self, age: Duration) -> f64 {
        if age >= self.duration {
            return 1.0;
        }
        let millis = |duration: Duration| duration.as_millis().max(1) as f64;
        let time = millis(age) / millis(self.duration);
        time.powf(1.0 / self.aggression).max(self.minimum).min(1.0)
    }
}

/// In a few words.
impl fmt::Display for Warmup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            duration,
            aggression,
            ..
        } = self;
        // What was written in percent is a part now, and not exactly that.
        let least = (self.minimum * 1e8).round() / 1e6;
        write!(
            f,
            "from {least}% of its weight to all of it in {duration:?}, "
        )?;
        write!(f, "aggression {aggression}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_grows_as_envoys() {
        // Seconds of 100, the minimum in percent, the aggression, the part in percent.
        let rows = [
            (0.0, 10.0, 1.0, 10.0),
            (5.0, 10.0, 1.0, 10.0),
            (25.0, 10.0, 1.0, 25.0),
            (50.0, 10.0, 1.0, 50.0),
            (99.0, 10.0, 1.0, 99.0),
            (100.0, 10.0, 1.0, 100.0),
            (500.0, 10.0, 1.0, 100.0),
            (25.0, 10.0, 2.0, 50.0),
            (64.0, 10.0, 2.0, 80.0),
            (25.0, 0.0, 0.5, 6.25),
            (25.0, 60.0, 2.0, 60.0),
            (25.0, 100.0, 1.0, 100.0),
            // Not before a millisecond is over.
            (0.0, 0.0, 1.0, 0.001),
        ];
        for (seconds, minimum, aggression, expected) in rows {
            let warmup = Warmup {
                duration: Duration::from_secs(100),
                minimum: minimum / 100.0,
                aggression,
            };
            let part = warmup.part(Duration::from_secs_f64(seconds)) * 100.0;
            assert!((part - expected).abs() < 1e-9, "{seconds} s: {part}");
        }
    }
}
