//! What is logged of a service that does not decide: each kind of failure once in a while.

use std::time::{Duration, Instant};

use super::Failure;

/// A failure of the same kind is told again after this time.
const SILENCE: Duration = Duration::from_secs(10);

/// What was told of one service.
#[derive(Debug, Default)]
pub(super) struct Told([Kind; 4]);

#[derive(Debug, Default)]
struct Kind {
    last: Option<Instant>,
    untold: u64,
}

impl Told {
    /// Whether a failure is to be told, and how many of its kind were not since the one before.
    pub(super) fn take(&mut self, failure: Failure, now: Instant) -> Option<u64> {
        let kind = self.0.get_mut(failure as usize)?;
        let is_over = |last| now.saturating_duration_since(last) >= SILENCE;
        if kind.last.is_some_and(|last| !is_over(last)) {
            kind.untold += 1;
            return None;
        }
        kind.last = Some(now);
        Some(std::mem::take(&mut kind.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_in_a_while_with_how_many_were_not() {
        let start = Instant::now();
        let mut told = Told::default();
        assert_eq!(told.take(Failure::Error, start), Some(0));
        assert_eq!(told.take(Failure::Timeout, start), Some(0));
        for _ in 0..3 {
            assert_eq!(told.take(Failure::Error, start + SILENCE / 2), None);
        }
        assert_eq!(told.take(Failure::Error, start + SILENCE), Some(3));
        assert_eq!(told.take(Failure::Error, start + SILENCE * 3), Some(0));
    }
}
