//! How many lines about one kind of thing a worker writes to the log: peers decide how often it happens,
//! and not how much is written.

use std::time::{Duration, Instant};

/// Lines of one worker in a second.
const LINES: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// How many lines may still be written.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// The second that began with its first line.
    began: Option<Instant>,
    written: u32,
    suppressed: u64,
}

/// Lines about bytes that are no message.
#[derive(Debug, Default)]
pub(super) struct Malformed {
    /// Of clients.
    pub(super) requests: Allowance,
    /// Of servers.
    pub(super) answers: Allowance,
}

impl Allowance {
    /// Whether one more line may be written, and how many were not since the one before.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        let over = |began| now.saturating_duration_since(began) >= SECOND;
        if self.began.is_none_or(over) {
            self.began = Some(now);
            self.written = 0;
        }
        if self.written >= LINES {
            self.suppressed += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_a_second_and_the_next_one_counts_the_others() {
        let mut allowance = Allowance::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        for line in 0..10 {
            assert_eq!(allowance.take(at(line)), Some(0), "line {line}");
        }
        for _ in 0..25 {
            assert_eq!(allowance.take(at(999)), None);
        }
        assert_eq!(allowance.take(at(1000)), Some(25));
        assert_eq!(allowance.take(at(1001)), Some(0), "told once");
    }
}
