//! A reply that is there, or its head.

use std::borrow::Cow;

use memchr::memmem;

use super::{ReplyScan, Scanned, number, reply_scan};

/// A reply, of either version of RESP.
#[derive(Clone, Debug)]
pub enum Reply<'a> {
    /// `+`, a status.
    Simple(&'a [u8]),
    /// `-` or `!`, an error: its code, a space, its text.
    Error(&'a [u8]),
    /// `:`.
    Integer(i64),
    /// `_`, and the null bulk string and array of RESP2.
    Null,
    /// `#`.
    Boolean(bool),
    /// `,`, as text.
    Double(&'a [u8]),
    /// `(`, as text.
    BigNumber(&'a [u8]),
    /// `$`.
    Bulk(Cow<'a, [u8]>),
    /// `=`, with the three letters of its format and a colon.
    Verbatim(&'a [u8]),
    /// `*`.
    Array(Elements<'a>),
    /// `%`: keys and values in turn.
    Map(Elements<'a>),
    /// `~`.
    Set(Elements<'a>),
    /// `>`: it answers nobody, or a subscription.
    Push(Elements<'a>),
}

/// The elements of an aggregate: each as its bytes, its attributes with it.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
    left: Option<u64>,
}

impl<'a> Elements<'a> {
    /// How many are left, both keys and values of a map; `None` where only the end tells.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.left
    }

    /// The bytes of all that are left, and of what follows the aggregate.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.rest
    }

    /// The next one as a reply.
    pub fn reply(&mut self) -> Option<Reply<'a>> {
        self.next().and_then(Reply::parse)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    /// `None` at the end, and where the bytes do not hold all of the next one.
    fn next(&mut self) -> Option<&'a [u8]> {
        match &mut self.left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None if self.rest.first() == Some(&b'.') => return None,
            None => {}
        }
        let end =
            reply_scan::string(self.rest).or_else(|| match ReplyScan::default().feed(self.rest) {
                Ok(Scanned::End(end)) => Some(end),
                _ => None,
            });
        let Some(end) = end else {
            self.rest = &[];
            return None;
        };
        let (element, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(element)
    }
}

impl<'a> Reply<'a> {
    /// Reads a reply from its first byte; attributes before it are passed over. Of an aggregate
    /// `bytes` may be the head. What follows the reply is not looked at.
    ///
    /// `None` where it is none, or not all of it is there that is needed.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let bytes = behind_attributes(bytes)?;
        let kind = *bytes.first()?;
        let end = memmem::find(bytes, b"\r\n")?;
        let line = bytes.get(1..end)?;
        let rest = bytes.get(end + 2..)?;
        Some(match kind {
            b'+' => Self::Simple(line),
            b'-' => Self::Error(line),
            b':' => Self::Integer(number::integer(line)?),
            b'_' => Self::Null,
            b'#' => Self::Boolean(line == b"t"),
            b',' => Self::Double(line),
            b'(' => Self::BigNumber(line),
            b'$' if line == b"?" => Self::Bulk(Cow::Owned(streamed(rest)?)),
            b'$' | b'*' if line == b"-1" => Self::Null,
            b'$' => Self::Bulk(Cow::Borrowed(text(line, rest)?)),
            b'!' => Self::Error(text(line, rest)?),
            b'=' => Self::Verbatim(text(line, rest)?),
            b'*' => Self::Array(elements(line, rest, 1)?),
            b'~' => Self::Set(elements(line, rest, 1)?),
            b'>' => Self::Push(elements(line, rest, 1)?),
            b'%' => Self::Map(elements(line, rest, 2)?),
            _ => return None,
        })
    }

    /// The text of a status or a string.
    #[must_use]
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) | Self::Verbatim(text) => Some(text),
            Self::Bulk(text) => Some(text),
            _ => None,
        }
    }
}

/// The text of a reply that is an error: its code, a space, its message. Of a long one the head
/// will do.
#[must_use]
pub fn error(bytes: &[u8]) -> Option<&[u8]> {
    if !matches!(bytes.first()?, b'-' | b'!' | b'|') {
        return None;
    }
    match Reply::parse(bytes) {
        Some(Reply::Error(text)) => Some(text),
        Some(_) => None,
        None => {
            let bytes = behind_attributes(bytes)?;
            let end = |rest| memmem::find(rest, b"\r\n");
            match bytes.split_first()? {
                (b'-', rest) => Some(rest),
                (b'!', rest) => rest.get(end(rest)? + 2..),
                _ => None,
            }
        }
    }
}

/// Passes over the attributes in front of a reply.
fn behind_attributes(mut bytes: &[u8]) -> Option<&[u8]> {
    while bytes.first() == Some(&b'|') {
        let end = memmem::find(bytes, b"\r\n")?;
        let mut pairs = elements(bytes.get(1..end)?, bytes.get(end + 2..)?, 2)?;
        while pairs.next().is_some() {}
        bytes = match pairs.left {
            Some(0) => pairs.rest,
            Some(_) => return None,
            None => pairs.rest.strip_prefix(b".\r\n")?,
        };
    }
    Some(bytes)
}

fn elements<'a>(count: &[u8], rest: &'a [u8], each: u64) -> Option<Elements<'a>> {
    let left = match count {
        b"?" => None,
        count => Some(
            u64::try_from(number::integer(count)?)
                .ok()?
                .saturating_mul(each),
        ),
    };
    Some(Elements { rest, left })
}

fn text<'a>(length: &[u8], rest: &'a [u8]) -> Option<&'a [u8]> {
    rest.get(..usize::try_from(number::integer(length)?).ok()?)
}

/// The parts of a streamed string, joined.
fn streamed(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::new();
    loop {
        let end = memmem::find(rest, b"\r\n")?;
        let length = rest.get(..end)?.strip_prefix(b";")?;
        let part = text(length, rest.get(end + 2..)?)?;
        if part.is_empty() {
            return Some(joined);
        }
        joined.extend_from_slice(part);
        rest = rest.get(end + 2 + part.len() + 2..)?;
    }
}
