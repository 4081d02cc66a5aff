//! What an endpoint costs by its latency: finagle's peak EWMA.
//!
//! Latencies are averaged with a weight that decays over time, but one above the average replaces it
//! at once: an endpoint that becomes slow is known to be after one answer, and is believed to be fast
//! again only slowly. What nobody measures decays as well, so that it is tried again.

use std::time::Duration;

/// The latency of one endpoint, as one worker sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakEwma {
    /// In nanoseconds, as all of it.
    decay: f64,
    latency: f64,
    /// When that was right.
    at: u64,
}

/// What an endpoint costs that was asked and has not answered ever yet.
const PENALTY: u64 = i64::MAX as u64 >> 16;

impl PeakEwma {
    /// What was measured has 1/e of its weight after `decay`.
    #[must_use]
    pub fn new(decay: Duration) -> Self {
        Self {
            decay: decay.as_nanos().max(1) as f64,
            latency: 0.0,
            at: 0,
        }
    }

    /// The same endpoint with this decay.
    #[must_use]
    pub fn with_decay(self, decay: Duration) -> Self {
        Self {
            decay: Self::new(decay).decay,
            ..self
        }
    }

    /// An answer came, `latency` after its request.
    pub fn observe(&mut self, now: u64, latency: u64) {
        let (measured, kept) = (latency as f64, self.kept(now));
        self.latency = match measured > self.latency {
            true => measured,
            false => self.latency * kept + measured * (1.0 - kept),
        };
        self.at = self.at.max(now);
    }

    /// What it costs to send one more request, with so many in flight.
    #[must_use]
    pub fn cost(&self, now: u64, active: u32) -> u64 {
        let latency = self.latency * self.kept(now);
        match latency >= 1.0 {
            true => (latency * (f64::from(active) + 1.0)) as u64,
            // One request finds out.
            false if active == 0 => 0,
            false => PENALTY + u64::from(active),
        }
    }

    /// The part that is left of what was known.
    fn kept(&self, now: u64) -> f64 {
        (-(now.saturating_sub(self.at) as f64) / self.decay).exp()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn costs_are_finagles() {
        let mut endpoint = PeakEwma::new(Duration::from_secs(10));
        assert_eq!(endpoint.cost(0, 0), 0);
        assert_eq!(endpoint.cost(0, 2), PENALTY + 2);
        endpoint.observe(0, 1_000_000);
        assert_eq!(endpoint.cost(0, 0), 1_000_000);
        assert_eq!(endpoint.cost(0, 3), 4_000_000);
        // A tenth of a decay later, then a peak, then what it was before.
        assert_eq!(endpoint.cost(SECOND, 0), 904_837);
        endpoint.observe(SECOND, 9_000_000);
        assert_eq!(endpoint.cost(SECOND, 0), 9_000_000);
        endpoint.observe(2 * SECOND, 1_000_000);
        // 9 × e^-0.1 + 1 × (1 - e^-0.1)
        assert_eq!(endpoint.cost(2 * SECOND, 0), 8_238_699);
        // Long after, it is as good as unknown.
        assert_eq!(endpoint.cost(400 * SECOND, 0), 0);
    }

    proptest! {
        /// It stays between the least and the greatest that was measured, forgets at the same pace
        /// however often it is looked at, and never grows by waiting.
        #[test]
        fn what_was_measured_decays(
            decay in 1_u64..20_000,
            seen in prop::collection::vec((0_u64..5 * SECOND, 1_000_u64..SECOND), 1..50),
            wait in 0_u64..SECOND,
        ) {
            let mut endpoint = PeakEwma::new(Duration::from_millis(decay));
            let (mut now, mut least, mut most) = (0, f64::MAX, 0_f64);
            for (pause, latency) in seen {
                now += pause;
                endpoint.observe(now, latency);
                (least, most) = (least.min(latency as f64), most.max(latency as f64));
                prop_assert!(endpoint.latency >= latency as f64 * 0.999_999);
                prop_assert!((least * 0.999_999..=most * 1.000_001).contains(&endpoint.latency));
            }
            prop_assert!(endpoint.kept(now + wait) <= 1.0);
            let (at_once, half) = (endpoint.kept(now + 2 * wait), endpoint.kept(now + wait));
            prop_assert!((at_once - half * half).abs() < 1e-9);
            prop_assert!(endpoint.cost(now, 1) >= endpoint.cost(now, 0));
            // A clock that stands still, or a turn that is older, changes nothing.
            prop_assert_eq!(endpoint.kept(now.saturating_sub(wait)), 1.0);
        }
    }
}
