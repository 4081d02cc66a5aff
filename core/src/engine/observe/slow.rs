//! Lines about slow requests: what they may show, and how many there may be.

use std::{
    fmt::{self, Write},
    time::{Duration, Instant},
};

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

/// The beginning of a value from the wire, as a line shows it: control characters and what is not
/// UTF-8 are escaped.
#[derive(Debug, Default)]
pub(super) struct Excerpt {
    bytes: Vec<u8>,
    cut: bool,
}

impl Excerpt {
    /// Becomes the first `most` bytes of the value, or nothing.
    pub(super) fn take(&mut self, value: Option<&[u8]>, most: usize) {
        let value = value.unwrap_or_default();
        self.bytes.clear();
        self.bytes
            .extend_from_slice(value.get(..most).unwrap_or(value));
        self.cut = value.len() > most;
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes.utf8_chunks() {
            for char in chunk.valid().chars() {
                // A quote ends nothing here.
                match char {
                    '"' | '\'' => f.write_char(char)?,
                    char => write!(f, "{}", char.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str(if self.cut { "..." } else { "" })
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

    #[test]
    fn an_excerpt_shows_what_is_there_on_one_line() {
        for (value, most, shown) in [
            (&b"user:1"[..], 128, "user:1"),
            (b"", 128, ""),
            (b"a\nb\x1b[31m", 128, "a\\nb\\u{1b}[31m"),
            (b"back\\slash \"quoted\"", 128, "back\\\\slash \"quoted\""),
            (b"\xff\x00", 128, "\\xff\\0"),
            ("gr\u{fc}n".as_bytes(), 128, "gr\u{fc}n"),
            ("gr\u{fc}n".as_bytes(), 3, "gr\\xc3..."),
            (b"12345", 5, "12345"),
            (b"123456", 5, "12345..."),
        ] {
            let mut excerpt = Excerpt::default();
            excerpt.take(Some(b"what was there before"), 128);
            excerpt.take(Some(value), most);
            assert_eq!(excerpt.to_string(), shown);
        }
        let mut excerpt = Excerpt::default();
        excerpt.take(None, 5);
        assert_eq!(excerpt.to_string(), "");
    }
}
