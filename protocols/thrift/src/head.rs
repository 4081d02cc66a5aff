//! The front of a message: its type, its method's name, its sequence number.

pub(crate) mod json;

use std::ops::Range;

use crate::{
    dialect::Encoding,
    reader::{Cut, Reader, write_varint},
};

/// The longest name of a method, in bytes: longer ones are no names. A head always fits into what
/// is kept of a large message.
pub(crate) const LONGEST_NAME: usize = 1024;

const NAME_TOO_LONG: &str = "the method's name is too long";

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    Reply,
    Exception,
    Oneway,
}

/// The front of a message. Places are counted from the first byte of its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// With the service's name before it where the call is multiplexed. In JSON as it is written
    /// there, with its escapes.
    pub(crate) name: Range<usize>,
    pub(crate) seq: u32,
    pub(crate) seq_at: Range<usize>,
    /// Where the arguments or the result begin. In JSON the comma before them.
    pub(crate) body: usize,
}

impl Kind {
    pub(crate) fn of(byte: u8) -> Result<Self, Cut> {
        match byte {
            1 => Ok(Self::Call),
            2 => Ok(Self::Reply),
            3 => Ok(Self::Exception),
            4 => Ok(Self::Oneway),
            _ => Err(Cut::Bad("the type of the message is unknown")),
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Call => 1,
            Self::Reply => 2,
            Self::Exception => 3,
            Self::Oneway => 4,
        }
    }
}

/// The name in a message of the strict binary protocol in a frame, which was read before.
pub(crate) fn strict_name(bytes: &[u8]) -> Option<&[u8]> {
    let (_, rest) = bytes.split_at_checked(8)?;
    let (length, rest) = rest.split_first_chunk()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

impl Head {
    /// Reads the message that begins at `at`.
    pub(crate) fn read(encoding: Encoding, bytes: &[u8], at: usize) -> Result<Self, Cut> {
        let mut reader = Reader::new(bytes, at);
        match encoding {
            Encoding::Binary => Self::binary(&mut reader),
            Encoding::Lax => Self::lax(&mut reader),
            Encoding::Compact => Self::compact(&mut reader),
            Encoding::Json => json::head(&mut reader),
            Encoding::Opaque => Err(Cut::Bad("the message is compressed")),
        }
    }

    fn binary(reader: &mut Reader<'_>) -> Result<Self, Cut> {
        if reader.u16()? != 0x8001 {
            return Err(Cut::Bad("the version of the binary protocol is unknown"));
        }
        // The byte between version and type is unused.
        let [_, kind] = reader.u16()?.to_be_bytes();
        let kind = Kind::of(kind)?;
        let length = reader.length()?;
        let name = name(reader, length)?;
        Self::seq_and_body(reader, kind, name)
    }

    fn lax(reader: &mut Reader<'_>) -> Result<Self, Cut> {
        let length = reader.length()?;
        let name = name(reader, length)?;
        let kind = Kind::of(reader.u8()?)?;
        Self::seq_and_body(reader, kind, name)
    }

    fn seq_and_body(reader: &mut Reader<'_>, kind: Kind, name: Range<usize>) -> Result<Self, Cut> {
        let start = reader.at();
        let seq = reader.u32()?;
        Ok(Self {
            kind,
            name,
            seq,
            seq_at: start..reader.at(),
            body: reader.at(),
        })
    }

    fn compact(reader: &mut Reader<'_>) -> Result<Self, Cut> {
        if reader.u8()? != 0x82 {
            return Err(Cut::Bad("the message is not of the compact protocol"));
        }
        let byte = reader.u8()?;
        if byte & 0x1f != 1 {
            return Err(Cut::Bad("the version of the compact protocol is unknown"));
        }
        let kind = Kind::of(byte >> 5)?;
        let start = reader.at();
        // Not zigzag, though a signed number: a negative one takes five bytes.
        let seq = reader.varint()?;
        let seq_at = start..reader.at();
        let length = reader.varint()?;
        let name = name(reader, length)?;
        Ok(Self {
            kind,
            name,
            seq,
            seq_at,
            body: reader.at(),
        })
    }
}

fn name(reader: &mut Reader<'_>, length: u32) -> Result<Range<usize>, Cut> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > LONGEST_NAME {
        return Err(Cut::Bad(NAME_TOO_LONG));
    }
    let start = reader.at();
    reader.take(length)?;
    Ok(start..reader.at())
}

/// Splits the name of a multiplexed call into service and method. Servers strip the prefix
/// (TMultiplexedProcessor), so answers carry the method alone.
pub(crate) fn split(name: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match name.iter().position(|byte| *byte == b':') {
        Some(at) => (name.get(..at), name.get(at + 1..).unwrap_or_default()),
        None => (None, name),
    }
}

/// Appends a sequence number as a message of `encoding` holds it.
pub(crate) fn write_seq(encoding: Encoding, seq: u32, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Binary | Encoding::Lax => out.extend_from_slice(&seq.to_be_bytes()),
        Encoding::Compact => write_varint(seq, out),
        Encoding::Json => out.extend_from_slice(seq.cast_signed().to_string().as_bytes()),
        Encoding::Opaque => {}
    }
}

/// Appends the front of a message.
pub(crate) fn write(encoding: Encoding, kind: Kind, name: &[u8], seq: u32, out: &mut Vec<u8>) {
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
    match encoding {
        Encoding::Binary => {
            out.extend_from_slice(&[0x80, 1, 0, kind.byte()]);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(name);
            write_seq(encoding, seq, out);
        }
        Encoding::Lax => {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(name);
            out.push(kind.byte());
            write_seq(encoding, seq, out);
        }
        Encoding::Compact => {
            out.extend_from_slice(&[0x82, kind.byte() << 5 | 1]);
            write_seq(encoding, seq, out);
            write_varint(length, out);
            out.extend_from_slice(name);
        }
        Encoding::Json => {
            out.extend_from_slice(b"[1,\"");
            out.extend_from_slice(name);
            out.extend_from_slice(format!("\",{},", kind.byte()).as_bytes());
            write_seq(encoding, seq, out);
        }
        Encoding::Opaque => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [Encoding; 4] = [
        Encoding::Binary,
        Encoding::Lax,
        Encoding::Compact,
        Encoding::Json,
    ];

    #[test]
    fn a_head_is_read_as_it_was_written() {
        for encoding in PLAIN {
            for kind in [Kind::Call, Kind::Reply, Kind::Exception, Kind::Oneway] {
                for seq in [0, 1, 0x7f, 0x80, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
                    let mut bytes = b"....".to_vec();
                    write(encoding, kind, b"Shop:cart", seq, &mut bytes);
                    let end = bytes.len();
                    bytes.extend_from_slice(b",{}]");
                    let head = Head::read(encoding, &bytes, 4).unwrap();
                    assert_eq!((head.kind, head.seq, head.body), (kind, seq, end));
                    assert_eq!(bytes.get(head.name.clone()).unwrap(), b"Shop:cart");
                    let mut again = Vec::new();
                    write_seq(encoding, seq, &mut again);
                    assert_eq!(bytes.get(head.seq_at.clone()).unwrap(), again);
                    for cut in 4..end {
                        let cut = bytes.get(..cut).unwrap();
                        let Err(Cut::Short(need)) = Head::read(encoding, cut, 4) else {
                            panic!("{encoding:?} cut at {}", cut.len());
                        };
                        assert!(need > cut.len() && need <= bytes.len());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_head_is_bad() {
        let long = [&[0x80, 1, 0, 1, 0, 0, 4, 1][..], &[b'x'; 2000]].concat();
        for (encoding, bytes) in [
            (Encoding::Binary, &[0x80, 2, 0, 1][..]),
            (Encoding::Binary, &[0x80, 1, 0, 5]),
            (Encoding::Binary, &[0x80, 1, 0, 1, 0xff, 0, 0, 0]),
            (Encoding::Binary, &long),
            (Encoding::Lax, &[0, 0, 0, 1, b'a', 0]),
            (Encoding::Compact, &[0x82, 0x22]),
            (Encoding::Compact, &[0x82, 0x01]),
            (Encoding::Json, b"[2,"),
            (Encoding::Json, b"[1,\"a\",5,"),
            (Encoding::Json, b"[1,\"a\",1,x"),
            (Encoding::Json, b"[1,\"a\",1,99999999999,"),
        ] {
            let read = Head::read(encoding, bytes, 0);
            assert!(matches!(read, Err(Cut::Bad(_))), "{encoding:?} {read:?}");
        }
    }

    #[test]
    fn the_name_of_a_multiplexed_call_is_split_at_its_first_colon() {
        assert_eq!(split(b"Shop:cart"), (Some(&b"Shop"[..]), &b"cart"[..]));
        assert_eq!(split(b"cart"), (None, &b"cart"[..]));
        assert_eq!(split(b":a:b"), (Some(&b""[..]), &b"a:b"[..]));
    }
}
