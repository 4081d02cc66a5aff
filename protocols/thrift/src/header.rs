//! The headers of THeader and TTHeader: which protocol follows, a sequence number, and key-values.
//!
//! Both are `length | magic | flags | seq | words`, then `words` times four bytes: protocol,
//! transforms, infos, zeros. THeader counts in varints, TTHeader in fixed integers.

pub(crate) mod edit;

use crate::{
    dialect::{Encoding, Transport},
    reader::{Cut, Reader, write_varint},
};

/// The longest header in bytes, as Kitex bounds it. It always fits into what is kept of a message.
pub(crate) const LONGEST: usize = 64 * 1024;

/// THeader's magic.
pub(crate) const THEADER: u16 = 0x0fff;
/// TTHeader's.
pub(crate) const TTHEADER: u16 = 0x1000;

/// String key-values, in both.
const PAIRS: u8 = 0x01;
/// fbthrift's THeader: key-values that are meant for all later messages too.
const LASTING_PAIRS: u8 = 0x02;
/// TTHeader's key-values whose keys are numbers.
const NUMBERED_PAIRS: u8 = 0x10;
/// TTHeader's access token.
const TOKEN: u8 = 0x11;

/// A header, as far as a message is read by it. Places are counted from the frame's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) seq: u32,
    /// What the header says that follows. Binary means lax too.
    pub(crate) encoding: Encoding,
    /// Whether it is compressed, or transformed otherwise. The header itself never is.
    pub(crate) transformed: bool,
    pub(crate) infos: usize,
    pub(crate) end: usize,
}

/// The key of a key-value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    Name(&'a [u8]),
    Number(u16),
}

/// A part of the infos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Info<'a> {
    /// Key-values of this kind follow.
    Section(u8),
    Pair(Key<'a>, &'a [u8]),
    Token(&'a [u8]),
    /// Padding, or an info that nobody here knows, which ends what can be read.
    Rest(&'a [u8]),
}

impl Header {
    /// Reads the header at the start of a frame.
    pub(crate) fn read(transport: Transport, bytes: &[u8]) -> Result<Self, Cut> {
        let mut reader = Reader::new(bytes, 8);
        let seq = reader.u32()?;
        let length = usize::from(reader.u16()?) * 4;
        if length > LONGEST {
            return Err(Cut::Bad("the header is larger than 64 KiB"));
        }
        let end = Transport::HEADER_AT + length;
        let header = bytes.get(..end).ok_or(Cut::Short(end))?;
        let mut reader = Reader::new(header, Transport::HEADER_AT);
        let (protocol, transformed) =
            protocol(transport, &mut reader).map_err(|_| Cut::Bad("the header cannot be read"))?;
        let encoding = match (transport, protocol) {
            (_, 0) => Encoding::Binary,
            (_, 2) => Encoding::Compact,
            (Transport::Header, 1) => Encoding::Json,
            _ => return Err(Cut::Bad("the header names an unknown protocol")),
        };
        Ok(Self {
            seq,
            encoding,
            transformed,
            infos: reader.at(),
            end,
        })
    }
}

/// The protocol's number, and whether there is a transform that does something (0 is none).
fn protocol(transport: Transport, reader: &mut Reader<'_>) -> Result<(u32, bool), Cut> {
    if transport == Transport::TtHeader {
        let [protocol, count] = reader.u16()?.to_be_bytes();
        let transforms = reader.take(count.into())?;
        let transformed = transforms.iter().any(|transform| *transform != 0);
        return Ok((protocol.into(), transformed));
    }
    let (protocol, count) = (reader.varint()?, reader.varint()?);
    let mut transformed = false;
    for _ in 0..count {
        transformed |= reader.varint()? != 0;
    }
    Ok((protocol, transformed))
}

/// The parts of the infos, in order.
#[derive(Clone, Debug)]
pub(crate) struct Infos<'a> {
    transport: Transport,
    reader: Reader<'a>,
    section: u8,
    /// Pairs of the section that are still to come.
    left: u32,
    over: bool,
}

impl<'a> Infos<'a> {
    /// Of a frame that has this header.
    pub(crate) fn of(transport: Transport, header: &Header, bytes: &'a [u8]) -> Self {
        let infos = bytes.get(header.infos..header.end).unwrap_or_default();
        Self {
            transport,
            reader: Reader::new(infos, 0),
            section: 0,
            left: 0,
            over: false,
        }
    }

    /// The value of a key: of one that is there twice the last, as the peers' maps have it.
    pub(crate) fn find(self, key: Key<'_>) -> Option<&'a [u8]> {
        let values = self.flatten().filter_map(|info| match info {
            Info::Pair(found, value) if found == key => Some(value),
            _ => None,
        });
        values.last()
    }

    fn part(&mut self) -> Result<Info<'a>, Cut> {
        if self.left > 0 {
            self.left -= 1;
            return self.pair();
        }
        let start = self.reader;
        let fixed = self.transport == Transport::TtHeader;
        let section = match fixed {
            _ if start.rest().is_empty() => return Ok(self.rest(start)),
            true => self.reader.u8()?,
            false => u8::try_from(self.reader.varint()?).unwrap_or(u8::MAX),
        };
        match (fixed, section) {
            (true, PAIRS | NUMBERED_PAIRS) => self.left = self.reader.u16()?.into(),
            (false, PAIRS | LASTING_PAIRS) => self.left = self.reader.varint()?,
            (true, TOKEN) => return Ok(Info::Token(self.text()?)),
            _ => return Ok(self.rest(start)),
        }
        self.section = section;
        Ok(Info::Section(section))
    }

    fn rest(&mut self, start: Reader<'a>) -> Info<'a> {
        self.over = true;
        Info::Rest(start.rest())
    }

    fn pair(&mut self) -> Result<Info<'a>, Cut> {
        let key = match (self.transport, self.section) {
            (Transport::TtHeader, NUMBERED_PAIRS) => Key::Number(self.reader.u16()?),
            _ => Key::Name(self.text()?),
        };
        Ok(Info::Pair(key, self.text()?))
    }

    fn text(&mut self) -> Result<&'a [u8], Cut> {
        let length = match self.transport {
            Transport::TtHeader => self.reader.u16()?.into(),
            _ => usize::try_from(self.reader.varint()?).unwrap_or(usize::MAX),
        };
        self.reader.take(length)
    }
}

impl<'a> Iterator for Infos<'a> {
    type Item = Result<Info<'a>, Cut>;

    /// An error is the last one.
    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let part = self.part();
        self.over |= part.is_err();
        Some(part)
    }
}

/// Appends a text as the infos hold it. The caller has checked its length.
fn write_text(transport: Transport, text: &[u8], out: &mut Vec<u8>) {
    match transport {
        Transport::TtHeader => {
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => write_varint(u32::try_from(text.len()).unwrap_or(u32::MAX), out),
    }
    out.extend_from_slice(text);
}

/// Appends the front of a section.
fn write_section(transport: Transport, section: u8, count: usize, out: &mut Vec<u8>) {
    out.push(section);
    match transport {
        Transport::TtHeader => {
            let count = u16::try_from(count).unwrap_or(u16::MAX);
            out.extend_from_slice(&count.to_be_bytes());
        }
        _ => write_varint(u32::try_from(count).unwrap_or(u32::MAX), out),
    }
}

/// Fills the header that begins at `start` of `out` up to a whole number of words.
fn pad(start: usize, out: &mut Vec<u8>) {
    let length = out.len() - start;
    out.resize(start + length.next_multiple_of(4), 0);
}

/// Appends a frame's header with one key-value. The frame's length stays zero for now.
pub(crate) fn write(
    transport: Transport,
    encoding: Encoding,
    seq: u32,
    (name, value): (&[u8], &[u8]),
    out: &mut Vec<u8>,
) {
    let protocol = match encoding {
        Encoding::Compact => 2,
        Encoding::Json => 1,
        Encoding::Binary | Encoding::Lax | Encoding::Opaque => 0,
    };
    let magic = match transport {
        Transport::TtHeader => TTHEADER,
        _ => THEADER,
    };
    let frame = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&magic.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&seq.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    let start = out.len();
    // No transforms.
    out.extend_from_slice(&[protocol, 0]);
    write_section(transport, PAIRS, 1, out);
    write_text(transport, name, out);
    write_text(transport, value, out);
    pad(start, out);
    set_words(frame, start, out);
}

/// Writes how many words the header has that reaches from `start` to the end of `out`.
fn set_words(frame: usize, start: usize, out: &mut [u8]) {
    let words = u16::try_from((out.len() - start) / 4).unwrap_or(u16::MAX);
    if let Some(place) = out.get_mut(frame + 12..frame + 14) {
        place.copy_from_slice(&words.to_be_bytes());
    }
}
