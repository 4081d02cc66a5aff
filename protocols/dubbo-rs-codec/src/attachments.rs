//! Attachments: the map at the end of a body, read lazily in either format.

mod splice;

use std::ops::Range;

pub use splice::{Edit, SpliceError, splice};

use crate::error::ReadError;
use crate::format::Cursor;
use crate::text::Text;
use crate::{hessian2, jsonb};

/// One attachment whose key is a string.
#[derive(Debug, Clone)]
pub struct Attachment<'a> {
    pub key: Text<'a>,
    pub value: AttachmentValue<'a>,
    /// Where key and value stand in the body.
    pub(crate) span: Range<usize>,
}

/// The value of an attachment. Most are strings; Dubbo also sends integers and nested values.
#[derive(Debug, Clone, Copy)]
pub enum AttachmentValue<'a> {
    Text(Text<'a>),
    Int(i32),
    Long(i64),
    Null,
    /// Any other value, not decoded: its bytes.
    Other(&'a [u8]),
}

impl<'a> AttachmentValue<'a> {
    /// The string, if it is one.
    #[must_use]
    pub fn text(self) -> Option<Text<'a>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number: an integer, or a string that holds a decimal one.
    #[must_use]
    pub fn number(self) -> Option<i64> {
        match self {
            Self::Text(text) => text
                .ascii()
                .and_then(digits)
                .or_else(|| text.decode().trim().parse().ok()),
            Self::Int(value) => Some(i64::from(value)),
            Self::Long(value) => Some(value),
            Self::Null | Self::Other(_) => None,
        }
    }
}

/// A number of few enough digits, and nothing else, as nearly all are written.
#[inline]
fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + i64::from(digit))
    })
}

/// Iterates over the attachments with string keys, in the order written. Ends after an error.
#[derive(Debug, Clone)]
pub struct Attachments<'a> {
    entries: Entries<'a>,
}

#[derive(Debug, Clone)]
enum Entries<'a> {
    Empty,
    Hessian2 {
        reader: hessian2::Reader<'a>,
        /// Values before the map whose class definitions the reader has not seen.
        unseen: Option<Unseen>,
    },
    Fastjson2 {
        reader: jsonb::Reader<'a>,
        /// Where the value starts in the body, behind its length.
        base: usize,
    },
}

/// Values whose class definitions are needed only if an attachment is an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unseen {
    pub(crate) at: usize,
    pub(crate) count: u32,
}

/// What stands where the attachments belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The body ends before them.
    Absent,
    /// A null of the same length.
    Null,
    Map,
}

impl<'a> Attachments<'a> {
    pub(crate) const EMPTY: Self = Self {
        entries: Entries::Empty,
    };

    /// Opens the map at the cursor. Null and the end of the body are empty maps.
    #[inline]
    pub(crate) fn open(cursor: Cursor<'a>, unseen: Option<Unseen>) -> Result<Self, ReadError> {
        Self::open_at(cursor, unseen).map(|(attachments, _)| attachments)
    }

    #[inline]
    fn open_at(cursor: Cursor<'a>, unseen: Option<Unseen>) -> Result<(Self, Place), ReadError> {
        match cursor {
            Cursor::Hessian2(mut reader) => {
                if reader.is_at_end() {
                    return Ok((Self::EMPTY, Place::Absent));
                }
                if !reader.map()? {
                    return Ok((Self::EMPTY, Place::Null));
                }
                let entries = Entries::Hessian2 { reader, unseen };
                Ok((Self { entries }, Place::Map))
            }
            Cursor::Fastjson2(mut frames) => {
                if frames.is_at_end() {
                    return Ok((Self::EMPTY, Place::Absent));
                }
                let base = frames.position() + 4;
                let mut reader = jsonb::Reader::new(frames.next_frame()?);
                if !reader.map()? {
                    return Ok((Self::EMPTY, Place::Null));
                }
                let entries = Entries::Fastjson2 { reader, base };
                Ok((Self { entries }, Place::Map))
            }
        }
    }

    /// The value of `key`: of several the last, as a Java map keeps it.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the map is malformed anywhere, since what the provider would see is then
    /// unknown.
    pub fn get(self, key: &str) -> Result<Option<AttachmentValue<'a>>, ReadError> {
        let [value] = self.pick([key])?;
        Ok(value)
    }

    /// The values of several keys in one pass.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    #[inline]
    pub fn pick<const N: usize>(
        self,
        keys: [&str; N],
    ) -> Result<[Option<AttachmentValue<'a>>; N], ReadError> {
        let mut found = [None; N];
        self.visit(|key, value| {
            for (wanted, slot) in keys.iter().zip(&mut found) {
                if key == wanted.as_bytes() {
                    *slot = Some(value);
                }
            }
        })?;
        Ok(found)
    }

    /// Calls `each` with key and value of every attachment, in the order written; the key in UTF-8.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); `each` has seen what comes before the mistake.
    #[inline]
    pub fn visit(
        mut self,
        mut each: impl FnMut(&[u8], AttachmentValue<'a>),
    ) -> Result<(), ReadError> {
        loop {
            // Most entries are two short strings: they pass without becoming an `Attachment`.
            while let Some((key, value)) = self.next_short_pair() {
                each(key, AttachmentValue::Text(Text::ascii_from(value)));
            }
            let Some(Attachment { key, value, .. }) = self.read_next()? else {
                return Ok(());
            };
            match key.ascii() {
                Some(key) => each(key, value),
                None => each(key.decode().as_bytes(), value),
            }
        }
    }

    #[inline]
    fn next_short_pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        match &mut self.entries {
            Entries::Hessian2 { reader, .. } => reader.short_pair(),
            Entries::Fastjson2 { reader, .. } => reader.short_pair(),
            Entries::Empty => None,
        }
    }

    #[inline]
    fn read_next(&mut self) -> Result<Option<Attachment<'a>>, ReadError> {
        match &mut self.entries {
            Entries::Empty => Ok(None),
            Entries::Hessian2 { reader, unseen } => next_hessian2(reader, unseen),
            Entries::Fastjson2 { reader, base } => next_fastjson2(reader, *base),
        }
    }

    /// Where the map's end mark stands, once all entries were read.
    fn end_mark(&self) -> usize {
        let behind = match &self.entries {
            Entries::Empty => 0,
            Entries::Hessian2 { reader, .. } => reader.position(),
            Entries::Fastjson2 { reader, base } => base + reader.position(),
        };
        behind.saturating_sub(1)
    }
}

impl<'a> Iterator for Attachments<'a> {
    type Item = Result<Attachment<'a>, ReadError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read_next().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.entries = Entries::Empty;
        }
        next
    }
}

#[inline]
fn next_hessian2<'a>(
    reader: &mut hessian2::Reader<'a>,
    unseen: &mut Option<Unseen>,
) -> Result<Option<Attachment<'a>>, ReadError> {
    loop {
        if reader.end() {
            return Ok(None);
        }
        let start = reader.position();
        if reader.at_string()
            && let Some(key) = reader.string()?
        {
            let value = hessian2_value(reader, unseen)?;
            let span = start..reader.position();
            return Ok(Some(Attachment { key, value, span }));
        }
        skip_object(reader, unseen)?;
        skip_object(reader, unseen)?;
    }
}

#[inline]
fn hessian2_value<'a>(
    reader: &mut hessian2::Reader<'a>,
    unseen: &mut Option<Unseen>,
) -> Result<AttachmentValue<'a>, ReadError> {
    if reader.at_string() {
        let text = reader.string()?.unwrap_or(Text::EMPTY);
        return Ok(AttachmentValue::Text(text));
    }
    match reader.peek() {
        Some(b'N') => reader.skip().map(|()| AttachmentValue::Null),
        Some(0x80..=0xd7 | b'I') => reader.int().map(AttachmentValue::Int),
        Some(0xd8..=0xff | 0x38..=0x3f | 0x59 | b'L') => reader.long().map(AttachmentValue::Long),
        _ => skip_object(reader, unseen).map(AttachmentValue::Other),
    }
}

/// Skips a value that may be an object, and with it depend on definitions in earlier values.
fn skip_object<'a>(
    reader: &mut hessian2::Reader<'a>,
    unseen: &mut Option<Unseen>,
) -> Result<&'a [u8], ReadError> {
    if !reader.at_scalar()
        && let Some(Unseen { at, count }) = unseen.take()
    {
        let mut earlier = hessian2::Reader::at(reader.body, at);
        for _ in 0..count {
            earlier.skip()?;
        }
        reader.classes = earlier.classes;
    }
    let start = reader.position();
    reader.skip()?;
    let skipped = reader.body.get(start..reader.position());
    Ok(skipped.unwrap_or_default())
}

fn next_fastjson2<'a>(
    reader: &mut jsonb::Reader<'a>,
    base: usize,
) -> Result<Option<Attachment<'a>>, ReadError> {
    loop {
        if reader.end() {
            return Ok(None);
        }
        let start = base + reader.position();
        if reader.at_string()
            && let Some(key) = reader.string()?
        {
            let value = fastjson2_value(reader)?;
            let span = start..base + reader.position();
            return Ok(Some(Attachment { key, value, span }));
        }
        reader.skip()?;
        reader.skip()?;
    }
}

fn fastjson2_value<'a>(reader: &mut jsonb::Reader<'a>) -> Result<AttachmentValue<'a>, ReadError> {
    if reader.at_string() {
        let text = reader.string()?.unwrap_or(Text::EMPTY);
        return Ok(AttachmentValue::Text(text));
    }
    if reader.at_integer() {
        // JSONB says how wide a number is in Java's eyes, but both are numbers to a proxy.
        let value = reader.long()?;
        return Ok(i32::try_from(value).map_or(AttachmentValue::Long(value), AttachmentValue::Int));
    }
    let start = reader.rest;
    reader.skip()?;
    let skipped = start
        .get(..start.len() - reader.rest.len())
        .unwrap_or_default();
    Ok(match skipped {
        [jsonb::NULL] => AttachmentValue::Null,
        other => AttachmentValue::Other(other),
    })
}
