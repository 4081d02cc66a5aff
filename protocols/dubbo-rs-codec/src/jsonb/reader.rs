//! A cursor over JSONB values, and one over the length-prefixed values of a body.

use super::{
    INT8, INT16, INT32, INT64, INT64_INT, NULL, OBJECT, OBJECT_END, STR_ASCII, STR_ASCII_FIX_MAX,
    STR_ASCII_FIX_MIN, STR_GB18030, STR_UTF8, STR_UTF16, STR_UTF16BE, STR_UTF16LE,
};
use crate::error::ReadError;
use crate::text::{Encoding, Text};

/// The values of a fastjson2 body: each is a big-endian length of four bytes and that many bytes
/// of JSONB, so that going past one needs no grammar.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    body: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Reads `body` from byte `position` on.
    #[inline]
    #[must_use]
    pub fn at(body: &'a [u8], position: usize) -> Self {
        Self {
            body,
            rest: body.get(position..).unwrap_or_default(),
        }
    }

    /// Bytes of the body before the next length.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.body.len() - self.rest.len()
    }

    /// Whether the body ends here.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes of the next value, without its length.
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`] if the body ends first.
    #[inline]
    pub fn next_frame(&mut self) -> Result<&'a [u8], ReadError> {
        let truncated = ReadError::Truncated {
            at: self.position(),
        };
        let (len, tail) = self.rest.split_first_chunk::<4>().ok_or(truncated)?;
        let len = u32::from_be_bytes(*len) as usize;
        let (value, rest) = tail.split_at_checked(len).ok_or(truncated)?;
        self.rest = rest;
        Ok(value)
    }

    /// Reads the next value with `read`, which must consume all of it.
    #[inline]
    pub(crate) fn value<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let at = self.position();
        let mut reader = Reader::new(self.next_frame()?);
        let value = read(&mut reader).map_err(|error| offset(error, at + 4))?;
        if reader.is_at_end() {
            Ok(value)
        } else {
            Err(ReadError::BadLength { at })
        }
    }
}

/// Positions inside a value become positions in the body.
#[cold]
fn offset(error: ReadError, by: usize) -> ReadError {
    match error {
        ReadError::Truncated { at } => ReadError::Truncated { at: at + by },
        ReadError::BadString { at } => ReadError::BadString { at: at + by },
        ReadError::BadLength { at } => ReadError::BadLength { at: at + by },
        ReadError::Unexpected { tag, at, expected } => ReadError::Unexpected {
            tag,
            at: at + by,
            expected,
        },
        other => other,
    }
}

/// A cursor over JSONB values. Strings borrow; after an error the position is unspecified.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, rest: bytes }
    }

    /// Bytes before the next value.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    /// Whether the bytes end here.
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
    /// [`ReadError`] if the value is no string or ends early.
    #[inline]
    pub fn string(&mut self) -> Result<Option<Text<'a>>, ReadError> {
        let tag = self.peek().ok_or_else(|| self.truncated())?;
        if let STR_ASCII_FIX_MIN..=STR_ASCII_FIX_MAX = tag {
            self.advance(1)?;
            let bytes = self.take(usize::from(tag - STR_ASCII_FIX_MIN))?;
            return Ok(Some(Text::new(bytes, narrow(bytes, Encoding::Latin1))));
        }
        let encoding = match tag {
            NULL => {
                self.advance(1)?;
                return Ok(None);
            }
            STR_ASCII => Encoding::Latin1,
            STR_UTF8 => Encoding::Utf8,
            STR_UTF16 => Encoding::Utf16,
            STR_UTF16LE => Encoding::Utf16Le,
            STR_UTF16BE => Encoding::Utf16Be,
            STR_GB18030 => Encoding::Opaque,
            _ => return Err(self.unexpected("a string")),
        };
        self.advance(1)?;
        let len = self.length()?;
        let bytes = self.take(len)?;
        Ok(Some(Text::new(bytes, narrow(bytes, encoding))))
    }

    /// Reads two strings where both are short and ASCII, as a map's entry usually is; else reads
    /// nothing.
    #[inline]
    pub(crate) fn short_pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (&key_tag @ STR_ASCII_FIX_MIN..=STR_ASCII_FIX_MAX, tail) = self.rest.split_first()?
        else {
            return None;
        };
        let (key, value) = tail.split_at_checked(usize::from(key_tag - STR_ASCII_FIX_MIN))?;
        let (&value_tag @ STR_ASCII_FIX_MIN..=STR_ASCII_FIX_MAX, value) = value.split_first()?
        else {
            return None;
        };
        let (value, rest) = value.split_at_checked(usize::from(value_tag - STR_ASCII_FIX_MIN))?;
        // The tag between the two is below 0x80 too, so one test covers both.
        if !tail.get(..tail.len() - rest.len())?.is_ascii() {
            return None;
        }
        self.rest = rest;
        Some((key, value))
    }

    /// Whether the next value is a string.
    #[inline]
    pub(crate) fn at_string(&self) -> bool {
        matches!(self.peek(), Some(STR_ASCII_FIX_MIN..=STR_GB18030))
    }

    /// Whether the next value is an integer of at most 64 bits.
    pub(crate) fn at_integer(&self) -> bool {
        matches!(
            self.peek(),
            Some(INT8 | INT16 | INT64 | INT64_INT | 0xc0..=0xff | 0x00..=INT32)
        )
    }

    /// Reads an integer of at most 32 bits.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is none, is wider, or ends early.
    pub fn int(&mut self) -> Result<i32, ReadError> {
        let at = self.position();
        i32::try_from(self.long()?).map_err(|_| ReadError::BadLength { at })
    }

    /// Reads an integer of at most 64 bits.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is none or ends early.
    pub fn long(&mut self) -> Result<i64, ReadError> {
        let (len, value) = match *self.rest {
            [tag @ (0x00..=0x2f | 0xf0..=0xff), ..] => (1, i64::from(i8::from_be_bytes([tag]))),
            [tag @ 0x30..=0x3f, b, ..] => (2, (i64::from(tag) - 0x38) << 8 | i64::from(b)),
            [tag @ 0x40..=0x47, b, c, ..] => (3, short(i64::from(tag) - 0x44, b, c)),
            [INT32 | INT64_INT, a, b, c, d, ..] => (5, i64::from(i32::from_be_bytes([a, b, c, d]))),
            [tag @ 0xd8..=0xef, ..] => (1, i64::from(tag) - 0xe0),
            [tag @ 0xc8..=0xd7, b, ..] => (2, (i64::from(tag) - 0xd0) << 8 | i64::from(b)),
            [tag @ 0xc0..=0xc7, b, c, ..] => (3, short(i64::from(tag) - 0xc4, b, c)),
            [INT8, a, ..] => (2, i64::from(i8::from_be_bytes([a]))),
            [INT16, a, b, ..] => (3, i64::from(i16::from_be_bytes([a, b]))),
            [INT64, a, b, c, d, e, f, g, h, ..] => {
                (9, i64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            _ if self.at_integer() => return Err(self.truncated()),
            _ => return Err(self.unexpected("an integer")),
        };
        self.advance(len)?;
        Ok(value)
    }

    /// Consumes the head of a map; false, and nothing is consumed, when the value is null.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is neither.
    pub fn map(&mut self) -> Result<bool, ReadError> {
        match self.peek() {
            Some(OBJECT) => self.advance(1).map(|()| true),
            Some(NULL) => Ok(false),
            _ => Err(self.unexpected("a map")),
        }
    }

    /// Consumes the end of a map if it is next.
    #[inline]
    pub fn end(&mut self) -> bool {
        let ends = self.peek() == Some(OBJECT_END);
        if ends {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        ends
    }

    /// A length: an integer in one of the int forms, not negative.
    pub(super) fn length(&mut self) -> Result<usize, ReadError> {
        let at = self.position();
        match self.peek() {
            Some(0x00..=INT32 | 0xf0..=0xff) => {
                usize::try_from(self.long()?).map_err(|_| ReadError::BadLength { at })
            }
            _ => Err(self.unexpected("a length")),
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

fn short(high: i64, b: u8, c: u8) -> i64 {
    high << 16 | i64::from(b) << 8 | i64::from(c)
}

/// Byte strings that are ASCII in fact compare without decoding; UTF-16 never does.
#[inline]
fn narrow(bytes: &[u8], encoding: Encoding) -> Encoding {
    match encoding {
        Encoding::Latin1 | Encoding::Utf8 | Encoding::Opaque if bytes.is_ascii() => Encoding::Ascii,
        other => other,
    }
}
