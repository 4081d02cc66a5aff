//! A cursor over a Hessian 2 body that reads the values a proxy looks at.

use super::ClassDefs;
use super::string::{chunk_head, measure};
use crate::error::ReadError;
use crate::text::{Encoding, Text};

/// A position in a Hessian 2 body, with the class definitions met on the way there.
///
/// Nothing is copied: strings borrow from the body. After an error the position is unspecified.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    pub(crate) body: &'a [u8],
    pub(super) rest: &'a [u8],
    pub(crate) classes: ClassDefs,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `body`.
    #[inline]
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self::at(body, 0)
    }

    /// Reads `body` from byte `position` on; past its end there is nothing to read. Class
    /// definitions that stand before the position are unknown to this reader.
    #[inline]
    #[must_use]
    pub fn at(body: &'a [u8], position: usize) -> Self {
        Self {
            body,
            rest: body.get(position..).unwrap_or_default(),
            classes: ClassDefs::default(),
        }
    }

    /// Bytes of the body before the next value.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.body.len() - self.rest.len()
    }

    /// Whether the body ends here.
    #[inline]
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next value.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads a string; `None` for null.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is no string, ends early, or holds a byte that begins no
    /// character.
    #[inline]
    pub fn string(&mut self) -> Result<Option<Text<'a>>, ReadError> {
        // Short ASCII strings are nearly all that a message's head and attachments hold.
        if let [tag @ 0x00..=0x1f, tail @ ..] = self.rest
            && let Some((text, rest)) = tail.split_at_checked(usize::from(*tag))
            && text.is_ascii()
        {
            self.rest = rest;
            return Ok(Some(Text::new(text, Encoding::Ascii)));
        }
        self.string_slow()
    }

    /// Reads two strings where both are short and ASCII, as a map's entry usually is; else reads
    /// nothing.
    #[inline]
    pub(crate) fn short_pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (&key_len @ 0x00..=0x1f, tail) = self.rest.split_first()? else {
            return None;
        };
        let (key, value) = tail.split_at_checked(usize::from(key_len))?;
        let (&value_len @ 0x00..=0x1f, value) = value.split_first()? else {
            return None;
        };
        let (value, rest) = value.split_at_checked(usize::from(value_len))?;
        // The length between the two is below 0x80 too, so one test covers both.
        if !tail.get(..tail.len() - rest.len())?.is_ascii() {
            return None;
        }
        self.rest = rest;
        Some((key, value))
    }

    #[inline(never)]
    fn string_slow(&mut self) -> Result<Option<Text<'a>>, ReadError> {
        if self.peek() == Some(b'N') {
            self.advance(1)?;
            return Ok(None);
        }
        let start = self.rest;
        let (text, last) = self.chunk()?;
        if last {
            return Ok(Some(text));
        }
        while !self.chunk()?.1 {}
        let whole = start.get(..start.len() - self.rest.len());
        Ok(Some(Text::new(
            whole.unwrap_or_default(),
            Encoding::Chunked,
        )))
    }

    /// Reads one chunk of a string, and whether it is the last one.
    pub(super) fn chunk(&mut self) -> Result<(Text<'a>, bool), ReadError> {
        let at = self.position();
        let head = chunk_head(self.rest, at).unwrap_or_else(|| Err(self.unexpected("a string")))?;
        self.advance(head.tag_len)?;
        let (len, ascii) = measure(self.rest, head.units, self.position())?;
        let encoding = if ascii {
            Encoding::Ascii
        } else {
            Encoding::Cesu8
        };
        Ok((Text::new(self.take(len)?, encoding), head.last))
    }

    /// Reads an int.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is no int or ends early.
    #[inline]
    pub fn int(&mut self) -> Result<i32, ReadError> {
        let (len, value) = match *self.rest {
            [tag @ 0x80..=0xbf, ..] => (1, i32::from(tag) - 0x90),
            [tag @ 0xc0..=0xcf, b, ..] => (2, (i32::from(tag) - 0xc8) << 8 | i32::from(b)),
            [tag @ 0xd0..=0xd7, b, c, ..] => {
                let high = (i32::from(tag) - 0xd4) << 16;
                (3, high | i32::from(b) << 8 | i32::from(c))
            }
            [b'I', a, b, c, d, ..] => (5, i32::from_be_bytes([a, b, c, d])),
            [0xc0..=0xd7 | b'I', ..] => return Err(self.truncated()),
            _ => return Err(self.unexpected("an int")),
        };
        self.advance(len)?;
        Ok(value)
    }

    /// Reads a long.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is no long or ends early.
    pub fn long(&mut self) -> Result<i64, ReadError> {
        let (len, value) = match *self.rest {
            [tag @ 0xd8..=0xef, ..] => (1, i64::from(tag) - 0xe0),
            [tag @ 0xf0..=0xff, b, ..] => (2, (i64::from(tag) - 0xf8) << 8 | i64::from(b)),
            [tag @ 0x38..=0x3f, b, c, ..] => {
                let high = (i64::from(tag) - 0x3c) << 16;
                (3, high | i64::from(b) << 8 | i64::from(c))
            }
            [0x59, a, b, c, d, ..] => (5, i64::from(i32::from_be_bytes([a, b, c, d]))),
            [b'L', a, b, c, d, e, f, g, h, ..] => (9, i64::from_be_bytes([a, b, c, d, e, f, g, h])),
            [0xf0..=0xff | 0x38..=0x3f | 0x59 | b'L', ..] => return Err(self.truncated()),
            _ => return Err(self.unexpected("a long")),
        };
        self.advance(len)?;
        Ok(value)
    }

    /// Reads a boolean.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is none.
    pub fn boolean(&mut self) -> Result<bool, ReadError> {
        let value = match self.peek() {
            Some(b'T') => true,
            Some(b'F') => false,
            _ => return Err(self.unexpected("a boolean")),
        };
        self.advance(1)?;
        Ok(value)
    }

    /// Reads a double.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is no double or ends early.
    pub fn double(&mut self) -> Result<f64, ReadError> {
        let (len, value) = match *self.rest {
            [0x5b, ..] => (1, 0.0),
            [0x5c, ..] => (1, 1.0),
            [0x5d, a, ..] => (2, f64::from(i8::from_be_bytes([a]))),
            [0x5e, a, b, ..] => (3, f64::from(i16::from_be_bytes([a, b]))),
            // Thousandths, as Dubbo's own reader multiplies them.
            [0x5f, a, b, c, d, ..] => (5, f64::from(i32::from_be_bytes([a, b, c, d])) * 0.001),
            [b'D', a, b, c, d, e, f, g, h, ..] => (9, f64::from_be_bytes([a, b, c, d, e, f, g, h])),
            [0x5d..=0x5f | b'D', ..] => return Err(self.truncated()),
            _ => return Err(self.unexpected("a double")),
        };
        self.advance(len)?;
        Ok(value)
    }

    /// Consumes the end of a map or list (`Z`) if it is next.
    #[inline]
    pub fn end(&mut self) -> bool {
        let ends = self.peek() == Some(b'Z');
        if ends {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        ends
    }

    /// Consumes the head of a map (`H`, or `M` and its type); false, and nothing is consumed, when
    /// the next value is null (`N`).
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is neither.
    pub fn map(&mut self) -> Result<bool, ReadError> {
        match self.peek() {
            Some(b'H') => self.advance(1)?,
            Some(b'M') => {
                self.advance(1)?;
                self.type_name()?;
            }
            Some(b'N') => return Ok(false),
            _ => return Err(self.unexpected("a map")),
        }
        Ok(true)
    }

    /// A type is a string, or the number of a type that was written before.
    pub(super) fn type_name(&mut self) -> Result<Option<Text<'a>>, ReadError> {
        match self.peek() {
            Some(0x00..=0x1f | 0x30..=0x33 | b'R' | b'S') => self.string(),
            _ => self.int().map(|_| None),
        }
    }

    #[inline]
    pub(super) fn advance(&mut self, len: usize) -> Result<(), ReadError> {
        self.take(len).map(|_| ())
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], ReadError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    #[cold]
    pub(super) fn truncated(&self) -> ReadError {
        ReadError::Truncated {
            at: self.position(),
        }
    }

    #[cold]
    pub(super) fn unexpected(&self, expected: &'static str) -> ReadError {
        let at = self.position();
        match self.peek() {
            Some(tag) => ReadError::Unexpected { tag, at, expected },
            None => ReadError::Truncated { at },
        }
    }
}
