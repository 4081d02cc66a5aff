//! What is on the wire: the only module that knows where a byte is.
//!
//! ```text
//! request   VERB KEY [*N]\n        and N bytes
//!           TELL KEY [*N]\n        the same, and nobody wants an answer
//!           PING\n                 whether the server lives
//! answer    OK [text] [*N]\n       and N bytes
//!           NO text\n              the application says no
//!           BAD text\n             the request cannot be understood
//!           FAIL text\n            the server failed
//!           BUSY text\n            the server did nothing: another one, or another time
//! ```

use meltemi_codec::{Limits, Malformed};

/// The longest line, with its end.
pub const LONGEST: usize = 4096;

/// A line, and how many bytes follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The words before the `*`.
    pub text: &'a str,
    /// Bytes of the line, with its end.
    pub len: usize,
    /// Bytes of the whole message.
    pub size: u64,
}

/// What the front of a connection's bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// The beginning of a message, of which so many bytes must be there.
    Incomplete(usize),
    /// A message whose line can be read, and of which enough is there.
    Message(Line<'a>),
    /// A message that is larger than the frame limit.
    TooLarge(Line<'a>),
}

impl<'a> Line<'a> {
    /// Reads the line that a message begins with.
    ///
    /// # Errors
    /// [`Malformed`] where it is none, so that no boundary can be found any more.
    pub fn read(input: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let Some(end) = input.iter().take(LONGEST).position(|byte| *byte == b'\n') else {
            return if input.len() < LONGEST {
                Ok(None)
            } else {
                Err(Malformed {
                    reason: "a line is too long",
                })
            };
        };
        // No indexing: bytes from the network must never make a codec panic.
        let line = str::from_utf8(input.get(..end).unwrap_or_default());
        let line = line.map_err(|_| Malformed {
            reason: "a line is not UTF-8",
        })?;
        let (text, payload) = match line.rsplit_once(" *") {
            None => (line, 0),
            Some((text, digits)) => (text, number(digits)?),
        };
        let len = end + 1;
        Ok(Some(Self {
            text,
            len,
            size: len as u64 + u64::from(payload),
        }))
    }

    /// Looks at the front of a connection's bytes, within `limits`.
    ///
    /// # Errors
    /// [`Malformed`] where they are of no message.
    pub fn front(input: &'a [u8], limits: Limits) -> Result<Front<'a>, Malformed> {
        let Some(line) = Self::read(input)? else {
            return Ok(Front::Incomplete(input.len() + 1));
        };
        // Up to `limits.whole` bytes all of it has to be here, above that its line.
        let need = limits.needed(line.len, line.size);
        Ok(if line.size > limits.frame {
            Front::TooLarge(line)
        } else if input.len() < need {
            Front::Incomplete(need)
        } else {
            Front::Message(line)
        })
    }

    /// The `n`th word.
    #[must_use]
    pub fn word(&self, n: usize) -> Option<&'a str> {
        self.text.split(' ').nth(n).filter(|word| !word.is_empty())
    }
}

fn number(digits: &str) -> Result<u32, Malformed> {
    let malformed = Malformed {
        reason: "the number of bytes behind a line is none",
    };
    // `parse` takes a sign, which would be a second way to write the same.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed);
    }
    digits.parse().map_err(|_| malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_its_message_reaches() {
        let line = Line::read(b"SET a *5\nhello")
            .expect("a line")
            .expect("whole");
        assert_eq!((line.text, line.len, line.size), ("SET a", 9, 14));
        assert_eq!(line.word(1), Some("a"));
    }

    #[test]
    fn a_line_ends_somewhere() {
        assert_eq!(Line::read(b"GET"), Ok(None));
        assert!(Line::read(&[b'A'; LONGEST]).is_err());
        assert!(Line::read(b"SET a *+5\n").is_err());
    }
}
