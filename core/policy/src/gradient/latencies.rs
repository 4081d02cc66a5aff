//! Latencies in bins of two decimal digits, which is what Envoy's histograms have.

/// 10 to 99, in each decade.
const BINS: usize = 90;

/// As many as a number of 64 bits has.
const DECADES: usize = 19;

#[derive(Debug)]
pub(super) struct Latencies {
    /// By bin; empty before the first one.
    counts: Vec<u32>,
    count: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: vec![0; BINS * DECADES],
            count: 0,
        }
    }
}

impl Latencies {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        self.count = 0;
    }

    pub(super) fn add(&mut self, nanoseconds: u64) {
        let (mut digits, mut decade) = (nanoseconds.max(10), 0);
        while digits >= 100 {
            digits /= 10;
            decade += 1;
        }
        let bin = decade * BINS + (digits as usize - 10);
        if let Some(count) = self.counts.get_mut(bin) {
            *count = count.saturating_add(1);
            self.count += 1;
        }
    }

    /// The value that so large a share of them (0 to 1) is not above, with what is in a bin spread over
    /// it evenly. `None`: there are none.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = share * self.count as f64;
        let mut below = 0.0;
        for (bin, count) in self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            let count = f64::from(*count);
            if below + count >= wanted {
                let width = 10f64.powi((bin / BINS) as i32);
                let left = width * (bin % BINS + 10) as f64;
                return Some(left + width * (wanted - below) / count);
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_off_by_a_tenth_at_most() {
        assert_eq!(Latencies::default().quantile(0.5), None);
        for scale in [1, 1000, 1_000_000_000] {
            let mut all = Latencies::default();
            for value in 100..=300 {
                all.add(value * scale);
            }
            for (share, expected) in [(0.0, 100.0), (0.5, 200.0), (0.9, 280.0), (1.0, 300.0)] {
                let found = all.quantile(share).unwrap() / scale as f64;
                assert!(
                    (found - expected).abs() <= expected / 10.0,
                    "{share}: {found}"
                );
            }
            all.clear();
            assert_eq!((all.count(), all.quantile(0.5)), (0, None));
        }
        let mut extremes = Latencies::default();
        extremes.add(0);
        extremes.add(u64::MAX);
        assert_eq!(extremes.count(), 2);
    }
}
