//! The line that every message starts with.

use super::{
    LINE,
    payload::{Payload, Pieces},
};
use crate::message::{Body, Limits, Malformed};

/// What the front of the input is.
pub(super) enum Front<'a> {
    /// So many bytes are needed.
    Incomplete(usize),
    /// An empty line of so many bytes.
    Empty(usize),
    /// A line that can be read.
    Line(Line<'a>),
}

/// How far a message reaches.
pub(super) enum Extent {
    /// So many bytes are needed to tell, or to return it.
    Missing(usize),
    /// It has so many, and may be returned.
    Whole(u64),
    /// It has so many, and they are too many.
    TooLarge(u64),
    /// It may be returned, and its end is not there.
    Streamed(Pieces),
}

/// A line and what it announces.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// The words before the announcement.
    pub(super) text: &'a str,
    /// What it announces.
    pub(super) payload: Payload,
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
            Some((before, text)) if !text.contains(' ') => (before, Payload::announced(text)?),
            _ => (text, Payload::Nothing),
        };
        Ok(Front::Line(Self {
            text,
            payload,
            len: end + 1,
        }))
    }

    /// How far the message reaches into `input`, where its payload follows.
    pub(super) fn extent(&self, input: &[u8], limits: Limits) -> Result<Extent, Malformed> {
        let bytes = match self.payload {
            Payload::Nothing => 0,
            Payload::Bytes(bytes) => bytes,
            Payload::Pieces => return self.pieces(input, limits),
        };
        let size = self.len as u64 + u64::from(bytes);
        let need = limits.needed(self.len, size);
        Ok(if size > limits.frame {
            Extent::TooLarge(size)
        } else if input.len() < need {
            Extent::Missing(need)
        } else {
            Extent::Whole(size)
        })
    }

    fn pieces(&self, input: &[u8], limits: Limits) -> Result<Extent, Malformed> {
        let mut pieces = Pieces::new(limits.frame.saturating_sub(self.len as u64));
        let payload = input.get(self.len..).unwrap_or_default();
        Ok(match pieces.read(payload)? {
            Body::End(n) => Extent::Whole((self.len + n) as u64),
            Body::More(_) if input.len() < limits.whole => {
                let need = input.len().saturating_add(pieces.least());
                Extent::Missing(need.min(limits.whole))
            }
            Body::More(_) => Extent::Streamed(pieces),
        })
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
