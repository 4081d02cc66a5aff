//! When memory counts as flat.

use serde::Serialize;

/// What a proxy holds at a moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// From the start.
    pub(crate) seconds: f64,
    /// Bytes.
    pub(crate) resident: u64,
    pub(crate) open_files: usize,
}

/// Memory may move by so much and be flat.
const BYTES: f64 = 1e6;
const SHARE: f64 = 0.05;

/// Resident bytes late and earlier: medians of the last third of the samples and of the one before. The
/// first third is left out, in which tables and buffers become as large as the load wants them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Growth {
    pub(crate) before: u64,
    pub(crate) after: u64,
}

impl Growth {
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let third = samples.len() / 3;
        let of = |from: usize, to: usize| median(samples.get(from..to).unwrap_or_default());
        Self {
            before: of(third, 2 * third),
            after: of(2 * third, samples.len()),
        }
    }

    /// Whether the last third has at most 5 % or 1 MB more than the one before, whichever is more.
    pub(crate) fn is_flat(&self) -> bool {
        let before = self.before as f64;
        self.before > 0 && self.after as f64 <= before + BYTES.max(before * SHARE)
    }
}

fn median(samples: &[Sample]) -> u64 {
    let mut resident: Vec<_> = samples.iter().map(|sample| sample.resident).collect();
    resident.sort_unstable();
    resident.get(resident.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(resident: impl Fn(u64) -> u64) -> bool {
        let sample = |second: u64| Sample {
            seconds: second as f64,
            resident: resident(second),
            open_files: 10,
        };
        Growth::of(&(0..600).map(sample).collect::<Vec<_>>()).is_flat()
    }

    #[test]
    fn what_grows_to_its_size_is_flat_and_what_goes_on_is_not() {
        assert!(flat(|second| 10_000_000 + 50_000 * second.min(200)));
        assert!(flat(|second| 20_000_000 + 900_000 * (second % 2)));
        assert!(!flat(|second| 10_000_000 + 10_000 * second));
        assert!(!Growth::of(&[]).is_flat());
    }
}
