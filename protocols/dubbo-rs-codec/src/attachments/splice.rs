//! Edits attachments by splicing bytes: what is not edited is never encoded again.
//!
//! Strings enter neither Hessian's reference table nor its class definitions, so entries of two
//! strings can come and go while everything else keeps its bytes and its meaning.

use std::ops::Range;

use super::{Attachments, Place, Unseen};
use crate::error::ReadError;
use crate::format::{BodyFormat, Cursor};
use crate::header::{HEADER_LEN, Header, Kind, SerializationId};
use crate::request::{Request, RequestError};
use crate::response::{Response, ResponseError};
use crate::{hessian2, jsonb};

/// One change to the attachments of a frame. A later edit of a key wins over an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Sets the key, whatever it held.
    Set { key: &'a str, value: &'a str },
    /// Sets the key unless the map has it.
    Add { key: &'a str, value: &'a str },
    /// Removes the key if its value is a string.
    Remove { key: &'a str },
}

impl<'a> Edit<'a> {
    /// The attachment's key.
    #[must_use]
    pub fn key(&self) -> &'a str {
        match *self {
            Self::Set { key, .. } | Self::Add { key, .. } | Self::Remove { key } => key,
        }
    }

    fn replaces(&self) -> bool {
        matches!(self, Self::Set { .. } | Self::Remove { .. })
    }
}

/// Why a frame was left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// The serialization is not one whose bodies can be read.
    #[error("bodies serialized with {0} cannot be edited")]
    Opaque(SerializationId),
    /// The frame is neither a request nor a successful response that has room for attachments.
    #[error("the frame has no attachments to edit")]
    NoAttachments,
    /// The attachments are a reference or an object of some other class.
    #[error("the attachments are not a plain map")]
    NotAMap,
    /// The key to remove holds something else than a string, to which references may point.
    #[error("an attachment to remove is not a string")]
    NotAString,
    /// The frame would be longer than its header can say.
    #[error("the edited body is longer than a frame can be")]
    TooLong,
    #[error("the body cannot be read")]
    Read(#[from] ReadError),
    #[error("the request cannot be read")]
    Request(#[from] RequestError),
    #[error("the response cannot be read")]
    Response(#[from] ResponseError),
}

/// Appends the frame of `header` and `body` to `out`, its attachments edited and its length fixed.
///
/// Entries that no edit names keep their bytes and order; set ones go to the end of the map. A
/// null or missing map becomes a new one when something is added.
///
/// # Errors
///
/// [`SpliceError`]; then nothing was appended, and the frame can still be forwarded as it is.
pub fn splice(
    header: &Header,
    body: &[u8],
    edits: &[Edit<'_>],
    out: &mut Vec<u8>,
) -> Result<(), SpliceError> {
    let format =
        BodyFormat::of(header.serialization).ok_or(SpliceError::Opaque(header.serialization))?;
    let plan = Plan::new(format, header, body, edits)?;
    let start = out.len();
    out.extend_from_slice(&header.to_bytes());
    plan.write(body, out);
    let body_len = out.len() - start - HEADER_LEN;
    let Ok(body_len) = u32::try_from(body_len) else {
        out.truncate(start);
        return Err(SpliceError::TooLong);
    };
    let header = Header {
        body_len,
        ..*header
    };
    if let Some(slot) = out.get_mut(start..start + HEADER_LEN) {
        slot.copy_from_slice(&header.to_bytes());
    }
    Ok(())
}

/// What to keep, drop and append: decided before a byte is written.
struct Plan<'e> {
    format: BodyFormat,
    /// The attachments with everything that belongs to them (for fastjson2 their length too).
    value: Range<usize>,
    place: Place,
    /// Where the map's end mark stands.
    end_mark: usize,
    dropped: Vec<Range<usize>>,
    appended: Vec<(&'e str, &'e str)>,
}

impl<'e> Plan<'e> {
    fn new(
        format: BodyFormat,
        header: &Header,
        body: &[u8],
        edits: &[Edit<'e>],
    ) -> Result<Self, SpliceError> {
        let (cursor, unseen) = find_attachments(header, body)?;
        let start = cursor.position();
        let (mut attachments, place) =
            Attachments::open_at(cursor, unseen).map_err(|error| match error {
                ReadError::Unexpected { .. } => SpliceError::NotAMap,
                other => SpliceError::Read(other),
            })?;
        let mut plan = Self {
            format,
            value: start..start,
            place,
            end_mark: start,
            dropped: Vec::new(),
            appended: Vec::new(),
        };
        let mut present = vec![false; edits.len()];
        while let Some(entry) = attachments.read_next()? {
            for (edit, present) in edits.iter().zip(&mut present) {
                *present |= entry.key.is(edit.key());
            }
            let last = edits
                .iter()
                .rfind(|e| e.replaces() && entry.key.is(e.key()));
            match (last, entry.value.text()) {
                (None, _) => {}
                (Some(_), Some(_)) => plan.dropped.push(entry.span),
                // The new pair is written behind this one, and the last of equal keys wins.
                (Some(Edit::Set { .. }), None) => {}
                (Some(_), None) => return Err(SpliceError::NotAString),
            }
        }
        plan.close(body, &attachments);
        plan.appended = appended(edits, &present);
        Ok(plan)
    }

    /// Notes where the attachments end, once they were read.
    fn close(&mut self, body: &[u8], attachments: &Attachments<'_>) {
        let start = self.value.start;
        match (self.place, self.format) {
            (Place::Absent, _) => {}
            (Place::Null, BodyFormat::Hessian2) => self.value.end = start + 1,
            (_, BodyFormat::Fastjson2) => {
                let mut frames = jsonb::Frames::at(body, start);
                // Opening them read this length already.
                let len = frames.next_frame().map_or(0, <[u8]>::len);
                self.value.end = start + 4 + len;
            }
            (Place::Map, BodyFormat::Hessian2) => self.value.end = attachments.end_mark() + 1,
        }
        if self.place == Place::Map {
            self.end_mark = attachments.end_mark();
        }
    }

    fn write(&self, body: &[u8], out: &mut Vec<u8>) {
        let piece = |range: Range<usize>| body.get(range).unwrap_or_default();
        out.extend_from_slice(piece(0..self.value.start));
        if self.place == Place::Map {
            match self.format {
                BodyFormat::Hessian2 => self.write_map(body, self.value.start, out),
                BodyFormat::Fastjson2 => jsonb::write_framed(out, |out| {
                    self.write_map(body, self.value.start + 4, out);
                }),
            }
        } else if self.appended.is_empty() {
            out.extend_from_slice(piece(self.value.clone()));
        } else {
            self.format.write_string_map(out, &self.appended);
        }
        out.extend_from_slice(piece(self.value.end..body.len()));
    }

    /// The map with its head from `head` on: old entries, new ones, and what ended it.
    fn write_map(&self, body: &[u8], head: usize, out: &mut Vec<u8>) {
        let piece = |range: Range<usize>| body.get(range).unwrap_or_default();
        let mut kept_from = head;
        for dropped in &self.dropped {
            out.extend_from_slice(piece(kept_from..dropped.start));
            kept_from = dropped.end;
        }
        out.extend_from_slice(piece(kept_from..self.end_mark));
        for (key, value) in &self.appended {
            for text in [key, value] {
                match self.format {
                    BodyFormat::Hessian2 => hessian2::write_string(out, text),
                    BodyFormat::Fastjson2 => jsonb::write_string(out, text),
                }
            }
        }
        out.extend_from_slice(piece(self.end_mark..self.value.end));
    }
}

fn find_attachments<'a>(
    header: &Header,
    body: &'a [u8],
) -> Result<(Cursor<'a>, Option<Unseen>), SpliceError> {
    match header.kind {
        Kind::Request | Kind::Oneway => {
            let request = Request::parse(header.serialization, body)?;
            Ok(request.attachments_cursor()?)
        }
        Kind::Response => {
            let Response::Result(result) = Response::parse(header, body)? else {
                return Err(SpliceError::NoAttachments);
            };
            let cursor = result.attachments_cursor()?;
            Ok((cursor.ok_or(SpliceError::NoAttachments)?, None))
        }
        Kind::Event { .. } | Kind::EventAnswer => Err(SpliceError::NoAttachments),
    }
}

/// The pairs to write: for each key what its last effective edit says.
fn appended<'e>(edits: &[Edit<'e>], present: &[bool]) -> Vec<(&'e str, &'e str)> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let mut removed: Vec<&str> = Vec::new();
    for (edit, &present) in edits.iter().zip(present) {
        let key = edit.key();
        let pending = pairs.iter().any(|(earlier, _)| *earlier == key);
        match *edit {
            Edit::Add { value, .. } => {
                let held = present && !removed.contains(&key);
                if !held && !pending {
                    pairs.push((key, value));
                }
            }
            Edit::Set { value, .. } => {
                pairs.retain(|(earlier, _)| *earlier != key);
                pairs.push((key, value));
            }
            Edit::Remove { .. } => {
                pairs.retain(|(earlier, _)| *earlier != key);
                removed.push(key);
            }
        }
    }
    pairs
}
