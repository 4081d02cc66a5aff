//! What lines about slow requests may show.

use std::fmt::{self, Write};

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
