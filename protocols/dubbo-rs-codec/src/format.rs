//! The two body formats that can be read, and a cursor that hides which one it is.

use crate::error::ReadError;
use crate::header::SerializationId;
use crate::text::Text;
use crate::{hessian2, jsonb};

/// A serialization whose bodies this library reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    Hessian2,
    /// Each value is a length of four bytes and a JSONB value.
    Fastjson2,
}

impl BodyFormat {
    /// The format of a serialization; `None` for bodies that cannot be read (java, kryo,
    /// protobuf and the rest), of which the header is all that is known.
    #[inline]
    #[must_use]
    pub fn of(serialization: SerializationId) -> Option<Self> {
        match serialization {
            SerializationId::HESSIAN2 => Some(Self::Hessian2),
            SerializationId::FASTJSON2 => Some(Self::Fastjson2),
            _ => None,
        }
    }

    pub(crate) fn write_null(self, out: &mut Vec<u8>) {
        match self {
            Self::Hessian2 => hessian2::write_null(out),
            Self::Fastjson2 => jsonb::write_framed(out, jsonb::write_null),
        }
    }

    pub(crate) fn write_string(self, out: &mut Vec<u8>, text: &str) {
        match self {
            Self::Hessian2 => hessian2::write_string(out, text),
            Self::Fastjson2 => jsonb::write_framed(out, |out| jsonb::write_string(out, text)),
        }
    }

    pub(crate) fn write_string_map(self, out: &mut Vec<u8>, entries: &[(&str, &str)]) {
        let entries = entries.iter().copied();
        match self {
            Self::Hessian2 => hessian2::write_string_map(out, entries),
            Self::Fastjson2 => {
                jsonb::write_framed(out, |out| jsonb::write_string_map(out, entries));
            }
        }
    }
}

/// A position in a body of either format.
#[derive(Debug, Clone)]
pub(crate) enum Cursor<'a> {
    Hessian2(hessian2::Reader<'a>),
    Fastjson2(jsonb::Frames<'a>),
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn at(format: BodyFormat, body: &'a [u8], position: usize) -> Self {
        match format {
            BodyFormat::Hessian2 => Self::Hessian2(hessian2::Reader::at(body, position)),
            BodyFormat::Fastjson2 => Self::Fastjson2(jsonb::Frames::at(body, position)),
        }
    }

    #[inline]
    pub(crate) fn position(&self) -> usize {
        match self {
            Self::Hessian2(reader) => reader.position(),
            Self::Fastjson2(frames) => frames.position(),
        }
    }

    #[inline]
    pub(crate) fn string(&mut self) -> Result<Option<Text<'a>>, ReadError> {
        match self {
            Self::Hessian2(reader) => reader.string(),
            Self::Fastjson2(frames) => frames.value(jsonb::Reader::string),
        }
    }

    pub(crate) fn int(&mut self) -> Result<i32, ReadError> {
        match self {
            Self::Hessian2(reader) => reader.int(),
            Self::Fastjson2(frames) => frames.value(jsonb::Reader::int),
        }
    }

    #[inline]
    pub(crate) fn skip(&mut self) -> Result<(), ReadError> {
        match self {
            Self::Hessian2(reader) => reader.skip(),
            Self::Fastjson2(frames) => frames.next_frame().map(|_| ()),
        }
    }

    /// Whether no object before this position depends on a class definition.
    pub(crate) fn met_no_class(&self) -> bool {
        match self {
            Self::Hessian2(reader) => reader.classes.is_empty(),
            Self::Fastjson2(_) => true,
        }
    }
}
