//! The line that every message starts with.

use super::LINE;
use crate::message::{Limits, Malformed};

/// What the front of the input is.
pub(super) enum Front<'a> {
    /// So many bytes are needed.
    Incomplete(usize),
    /// An empty line of so many bytes.
    Empty(usize),
    /// A line that can be read.
    Line(Line<'a>),
}

/// A line and what it announces.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// The words before the announcement.
    pub(super) text: &'a str,
    /// Bytes of payload that it announces.
    pub(super) payload: Option<u32>,
    /// Bytes of the line with its end.
    pub(super) len: usize,
}

impl<'a> Line<'a> {
    /// Looks for a line at the front.
    pub(super) fn front(input: &'a [u8]) -> Result<Front<'a>, Malformed> {
        let Some(end) = input.iter().take(LINE).position(|byte| *byte == b'\n') else {
            if input.len() >= LINE {
                return Err(Malformed {
                    reason: "a line is too long",
                });
            }
            return Ok(Front::Incomplete(input.len() + 1));
        };
        let (line, _) = input.split_at(end);
        if line.is_empty() {
            return Ok(Front::Empty(1));
        }
        let text = str::from_utf8(line).map_err(|_| Malformed {
            reason: "a line is not UTF-8",
        })?;
        let (text, payload) = match text.rsplit_once(" *") {
            Some((before, digits)) if !digits.contains(' ') => (before, Some(number(digits)?)),
            _ => (text, None),
        };
        Ok(Front::Line(Self {
            text,
            payload,
            len: end + 1,
        }))
    }

    /// Bytes of the message where the payload follows.
    pub(super) fn size(&self) -> u64 {
        self.len as u64 + u64::from(self.payload.unwrap_or_default())
    }

    /// How long the input must become before the message may be returned, if it is too short.
    pub(super) fn missing(&self, input: &[u8], size: u64, limits: Limits) -> Option<usize> {
        let need = limits.needed(self.len, size);
        (input.len() < need).then_some(need)
    }

    /// The words between the first two and the announcement, as `name=value`.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.text.split(' ').filter_map(|word| word.split_once('='))
    }
}

/// Line and payload, or what there is of it, of a message that was decoded.
pub(super) fn parse(message: &[u8]) -> Option<(Line<'_>, &[u8])> {
    match Line::front(message) {
        Ok(Front::Line(line)) => Some((line, message.get(line.len..)?)),
        _ => None,
    }
}

fn number(digits: &str) -> Result<u32, Malformed> {
    let malformed = Malformed {
        reason: "a payload's size is not a number",
    };
    // `parse` takes a sign, which would be a second spelling of the same size.
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().map_err(|_| malformed)
    } else {
        Err(malformed)
    }
}
