//! A lazy view of a response's body.

use crate::attachments::Attachments;
use crate::error::ReadError;
use crate::format::{BodyFormat, Cursor};
use crate::header::{Header, SerializationId, Status};
use crate::text::Text;

/// A response body that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The body is in a serialization that this library does not read; only the header is known.
    #[error("bodies serialized with {0} are opaque")]
    Opaque(SerializationId),
    #[error("the response cannot be read")]
    Body(#[from] ReadError),
    /// The result's kind is not one of 0 to 5.
    #[error("result kind {0} is unknown")]
    UnknownKind(i32),
}

/// What a provider returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultKind {
    /// The method threw; the exception follows.
    Exception,
    /// The method returned a value, which follows.
    Value,
    /// The method returned null or nothing.
    Null,
}

/// The body of a response.
#[derive(Debug, Clone)]
pub enum Response<'a> {
    /// Status 20: the method was called.
    Result(CallResult<'a>),
    /// Any other status: a message and nothing else.
    Error {
        status: Status,
        /// Empty where the body is: some peers send none.
        message: Text<'a>,
    },
}

/// The result of a call: its kind is read, what follows is not.
#[derive(Debug, Clone)]
pub struct CallResult<'a> {
    kind: ResultKind,
    has_attachments: bool,
    /// Behind the kind.
    rest: Cursor<'a>,
}

impl ResultKind {
    /// The kind of a call's result, where it is a Hessian 2 body that returns something or null and
    /// says so in one byte, as nearly all do. `None`: [`Response::parse`] knows.
    #[inline]
    #[must_use]
    pub fn at_a_glance(header: &Header, body: &[u8]) -> Option<Self> {
        if header.status != Status::OK || header.serialization != SerializationId::HESSIAN2 {
            return None;
        }
        // The ints 1, 4; 2, 5.
        match body.first()? {
            0x91 | 0x94 => Some(Self::Value),
            0x92 | 0x95 => Some(Self::Null),
            _ => None,
        }
    }
}

impl<'a> Response<'a> {
    /// Reads the kind of a result, or the message of an error.
    ///
    /// # Errors
    ///
    /// [`ResponseError::Opaque`] when the serialization is neither hessian2 nor fastjson2; other
    /// variants when the body is malformed.
    #[inline]
    pub fn parse(header: &Header, body: &'a [u8]) -> Result<Self, ResponseError> {
        let format = BodyFormat::of(header.serialization)
            .ok_or(ResponseError::Opaque(header.serialization))?;
        let mut cursor = Cursor::at(format, body, 0);
        if header.status != Status::OK {
            let message = match body {
                [] => Text::EMPTY,
                _ => cursor.string()?.unwrap_or(Text::EMPTY),
            };
            let status = header.status;
            return Ok(Self::Error { status, message });
        }
        let (kind, has_attachments) = match cursor.int()? {
            0 => (ResultKind::Exception, false),
            1 => (ResultKind::Value, false),
            2 => (ResultKind::Null, false),
            3 => (ResultKind::Exception, true),
            4 => (ResultKind::Value, true),
            5 => (ResultKind::Null, true),
            other => return Err(ResponseError::UnknownKind(other)),
        };
        Ok(Self::Result(CallResult {
            kind,
            has_attachments,
            rest: cursor,
        }))
    }
}

impl<'a> CallResult<'a> {
    #[inline]
    #[must_use]
    pub fn kind(&self) -> ResultKind {
        self.kind
    }

    /// Whether the result has a place for attachments, which depends on the Dubbo version that
    /// the request named (2.0.2 to 2.0.99).
    #[inline]
    #[must_use]
    pub fn has_attachments(&self) -> bool {
        self.has_attachments
    }

    /// The value that the method returned, if it is a string.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the value is no string.
    pub fn text(&self) -> Result<Option<Text<'a>>, ReadError> {
        match self.kind {
            ResultKind::Value => self.rest.clone().string(),
            ResultKind::Exception | ResultKind::Null => Ok(None),
        }
    }

    /// The attachments, found by skipping the value or exception.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the value is malformed or no map follows it.
    pub fn attachments(&self) -> Result<Attachments<'a>, ReadError> {
        match self.attachments_cursor()? {
            Some(cursor) => Attachments::open(cursor, None),
            None => Ok(Attachments::EMPTY),
        }
    }

    /// The class of an exception, where the bytes name it at their start (Hessian 2 objects and
    /// typed maps).
    #[must_use]
    pub fn exception_class(&self) -> Option<Text<'a>> {
        match (&self.rest, self.kind) {
            (Cursor::Hessian2(reader), ResultKind::Exception) => reader.leading_class(),
            _ => None,
        }
    }

    pub(crate) fn attachments_cursor(&self) -> Result<Option<Cursor<'a>>, ReadError> {
        if !self.has_attachments {
            return Ok(None);
        }
        let mut cursor = self.rest.clone();
        if self.kind != ResultKind::Null {
            cursor.skip()?;
        }
        Ok(Some(cursor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Kind;

    #[test]
    fn a_glance_says_what_parsing_says_or_nothing() {
        let mut known = 0;
        for (serialization, status, first) in (0..32).flat_map(|serialization| {
            let statuses = [Status::OK, Status::SERVER_ERROR];
            let all = statuses.into_iter();
            all.flat_map(move |status| (0..=u8::MAX).map(move |byte| (serialization, status, byte)))
        }) {
            let header = Header {
                kind: Kind::Response,
                serialization: SerializationId(serialization),
                status,
                id: 0,
                body_len: 3,
            };
            let body = [first, 0x91, 0x91];
            if let Some(kind) = ResultKind::at_a_glance(&header, &body) {
                known += 1;
                let parsed = Response::parse(&header, &body);
                assert!(
                    matches!(&parsed, Ok(Response::Result(result)) if result.kind() == kind),
                    "{first:#x} is {kind:?} and {parsed:?}"
                );
            }
        }
        assert_eq!(known, 4);
    }
}
