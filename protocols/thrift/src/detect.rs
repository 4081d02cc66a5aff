//! Which transport and protocol a connection speaks, by its first bytes.

use meltemi_codec::Sniff;

use crate::{
    dialect::{Encoding, Transport},
    head::{Kind, LONGEST_NAME},
    header::{THEADER, TTHEADER},
    reader::{Cut, Reader},
};

/// The longest frame that any Thrift accepts, in bytes.
pub(crate) const LONGEST_FRAME: u32 = 0x3fff_ffff;

/// The magic of the header that Kitex' own mesh puts around a message.
const MESH_HEADER: u16 = 0xffaf;

const NOT_THRIFT: Cut = Cut::Bad("the first bytes are of no Thrift transport");

/// The transport of a connection that begins with `input`.
pub(crate) fn transport(input: &[u8]) -> Result<Transport, Cut> {
    let mut reader = Reader::new(input, 0);
    match reader.u16()?.to_be_bytes() {
        [0x80, 0x01] => return Ok(Transport::Buffered),
        [0x82, second] if second & 0x1f == 1 => return Ok(Transport::Buffered),
        [0x80..=0xff, _] => return Err(NOT_THRIFT),
        _ => {}
    }
    // As a length, the beginning of an HTTP request (`POST`, `GET `) is above the limit.
    let length = Reader::new(input, 0).u32()?;
    if length > LONGEST_FRAME {
        return Err(NOT_THRIFT);
    }
    let mut reader = Reader::new(input, 4);
    let magic = reader.u16()?;
    match (magic, magic.to_be_bytes()) {
        (THEADER, _) => Ok(Transport::Header),
        (TTHEADER, _) => Ok(Transport::TtHeader),
        (MESH_HEADER, _) => Err(Cut::Bad("Kitex' mesh header is not supported")),
        (_, [0x80, 0x01] | [b'[', b'1']) => Ok(Transport::Framed),
        (_, [0x82, second]) if second & 0x1f == 1 => Ok(Transport::Framed),
        // A lax message begins with its name's length: in a frame after that of the frame.
        (_, [0, _]) => {
            let name = Reader::new(input, 4).u32()?;
            lax(input, 8, name)?;
            Ok(Transport::Framed)
        }
        _ => {
            lax(input, 4, length)?;
            Ok(Transport::Buffered)
        }
    }
}

/// Whether a plausible name and a type are at `at`: a lax message has nothing else to be known by.
fn lax(input: &[u8], at: usize, length: u32) -> Result<(), Cut> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length == 0 || length > LONGEST_NAME {
        return Err(NOT_THRIFT);
    }
    let mut reader = Reader::new(input, at);
    let there = reader.rest();
    let name = there.get(..length).unwrap_or(there);
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(NOT_THRIFT);
    }
    reader.take(length)?;
    Kind::of(reader.u8()?).map(|_| ())
}

/// What the message that begins at `at` is written in.
pub(crate) fn encoding(bytes: &[u8], at: usize) -> Result<Encoding, Cut> {
    match Reader::new(bytes, at).u8()? {
        0x80 => Ok(Encoding::Binary),
        0x82 => Ok(Encoding::Compact),
        b'[' => Ok(Encoding::Json),
        0x00 => Ok(Encoding::Lax),
        _ => Err(Cut::Bad("the message is of no Thrift protocol")),
    }
}

/// The verdict on the first bytes of a connection; `fixed` is the transport that settings name.
pub(crate) fn sniff(head: &[u8], fixed: Option<Transport>) -> Sniff {
    let verdict = transport(head).and_then(|transport| match fixed {
        Some(fixed) if fixed != transport => Err(NOT_THRIFT),
        _ => kind(head, transport),
    });
    match verdict {
        Ok(()) => Sniff::Yes,
        Err(Cut::Short(need)) => Sniff::Need(need),
        Err(Cut::Bad(_)) => Sniff::No,
    }
}

/// Whether the type of the first message is one that there is. Behind a magic nobody has to ask.
fn kind(head: &[u8], transport: Transport) -> Result<(), Cut> {
    let at = match transport {
        Transport::Header | Transport::TtHeader => return Ok(()),
        Transport::Framed => 4,
        Transport::Buffered => 0,
    };
    let mut reader = Reader::new(head, at);
    match reader.u16()?.to_be_bytes() {
        [0x80, _] => Kind::of(reader.u16()?.to_be_bytes()[1]).map(|_| ()),
        [0x82, second] => Kind::of(second >> 5).map(|_| ()),
        [b'[', _] if reader.take(2)? != b",\"" => Err(NOT_THRIFT),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_name_the_transport() {
        for (bytes, verdict) in [
            (&[0x80, 1, 0, 1][..], Sniff::Yes),
            (&[0x80, 1, 0], Sniff::Need(4)),
            (&[0x80, 1, 0, 7], Sniff::No),
            (&[0x80, 2], Sniff::No),
            (&[0x82, 0x21], Sniff::Yes),
            (&[0x82, 0x22], Sniff::No),
            (&[0x82, 0xe1], Sniff::No),
            (&[], Sniff::Need(2)),
            (&[0], Sniff::Need(2)),
            (&[0, 0, 0], Sniff::Need(4)),
            (&[0, 0, 0, 40], Sniff::Need(6)),
            (&[0, 0, 0, 40, 0x0f, 0xff], Sniff::Yes),
            (&[0, 0, 0, 40, 0x10, 0], Sniff::Yes),
            (&[0, 0, 0, 40, 0xff, 0xaf], Sniff::No),
            (&[0, 0, 0, 40, 0x80, 1], Sniff::Need(8)),
            (&[0, 0, 0, 40, 0x80, 1, 0, 4], Sniff::Yes),
            (&[0, 0, 0, 40, 0x82, 0x81], Sniff::Yes),
            (b"\0\0\0\x28[1,\"", Sniff::Yes),
            (b"\0\0\0\x28[1,1", Sniff::No),
            (b"\0\0\0\x28\0\0\0\x04ping\x01", Sniff::Yes),
            (b"\0\0\0\x28\0\0\0\x04pi", Sniff::Need(12)),
            (b"\0\0\0\x28\0\0\0\x04ping", Sniff::Need(13)),
            (b"\0\0\0\x28\0\0\0\x04ping\x07", Sniff::No),
            (b"\0\0\0\x28\0\0\x28\x04ping\x01", Sniff::No),
            (b"\0\0\0\x04ping\x01", Sniff::Yes),
            (b"\0\0\0\x04pi", Sniff::Need(8)),
            (b"\0\0\0\x04p\n", Sniff::No),
            (b"\0\0\0\x04ping\x00", Sniff::No),
            (b"POST /", Sniff::No),
            (b"GET ", Sniff::No),
            (&[0x40, 0, 0, 0], Sniff::No),
            (&[0xff; 8], Sniff::No),
        ] {
            assert_eq!(sniff(bytes, None), verdict, "{bytes:x?}");
        }
    }

    #[test]
    fn a_fixed_transport_is_the_only_one() {
        let framed = [0, 0, 0, 40, 0x80, 1, 0, 4];
        assert_eq!(sniff(&framed, Some(Transport::Framed)), Sniff::Yes);
        assert_eq!(sniff(&framed, Some(Transport::Header)), Sniff::No);
    }
}
