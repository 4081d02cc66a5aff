//! What an answer says of its call, without the IDL: a result is a struct of at most one field,
//! whose id is 0 if the method returned and that of a declared exception if it threw.

use meltemi_codec::Outcome;

use crate::{
    dialect::Encoding,
    exception::code,
    frame::Layout,
    head::{
        Kind,
        json::{integer, literal},
        strict_name,
    },
    reader::{Cut, Reader},
};

/// How far into the body of an exception its type is looked for, in bytes: behind a message that
/// may hold a stack's trace.
const EXCEPTION: usize = 48 * 1024;
/// How far a result's first field reaches at most.
const RESULT: usize = 16;

/// How many bytes of an answer have to be there for its outcome to be read.
pub(crate) fn needed(layout: &Layout) -> usize {
    let body = match layout.head.as_ref().map(|head| head.kind) {
        Some(Kind::Exception) => EXCEPTION,
        Some(_) => RESULT,
        None => 0,
    };
    layout.front() + body
}

/// The outcome of an answer, or of its head.
pub(crate) fn of(bytes: &[u8], layout: &Layout) -> Outcome {
    // Nobody can see into a compressed answer; that there is one speaks for the endpoint.
    let Some(head) = &layout.head else {
        return Outcome::Ok { code: 0 };
    };
    let bytes = bytes.get(..needed(layout)).unwrap_or(bytes);
    let mut reader = Reader::new(bytes, head.body);
    let encoding = layout.dialect.encoding;
    let outcome = match head.kind {
        Kind::Exception => exception(encoding, &mut reader).map(blame),
        _ => result(encoding, &mut reader),
    };
    outcome.unwrap_or(Outcome::SystemError { code: 0 })
}

/// That an answer in the strict binary protocol in a frame returned, as most do. `None`: it has to
/// be read step by step.
pub(crate) fn returned(bytes: &[u8]) -> Option<Outcome> {
    let (_, message) = bytes.split_at_checked(4)?;
    let [0x80, 1, _, 2] = *message.first_chunk()? else {
        return None;
    };
    let name = strict_name(bytes)?;
    let result = bytes.get(12 + name.len() + 4..)?;
    let is_returned = match result.first()? {
        0 => true,
        _ => result.get(1..3)? == [0, 0],
    };
    is_returned.then_some(Outcome::Ok { code: 0 })
}

/// Whose fault a TApplicationException is. The types that a server sends because of what it was
/// sent are the requester's.
fn blame(code: u32) -> Outcome {
    match code {
        code::UNKNOWN_METHOD
        | code::INVALID_MESSAGE_TYPE
        | code::WRONG_METHOD_NAME
        | code::PROTOCOL_ERROR
        | code::INVALID_TRANSFORM
        | code::INVALID_PROTOCOL
        | code::UNSUPPORTED_CLIENT_TYPE => Outcome::RequestError { code },
        code::LOADSHEDDING => Outcome::TryLater { code },
        _ => Outcome::SystemError { code },
    }
}

fn result(encoding: Encoding, reader: &mut Reader<'_>) -> Result<Outcome, Cut> {
    let id = match encoding {
        Encoding::Binary | Encoding::Lax => match reader.u8()? {
            0 => None,
            _ => Some(reader.u16()?),
        },
        Encoding::Compact => field(reader, 0)?.map(|(id, _)| id),
        Encoding::Json => {
            literal(reader, b",{")?;
            match reader.u8()? {
                b'}' => None,
                _ => Some(integer(reader)? as u16),
            }
        }
        Encoding::Opaque => None,
    };
    Ok(match id {
        None | Some(0) => Outcome::Ok { code: 0 },
        Some(id) => Outcome::ApplicationError { code: id.into() },
    })
}

/// The front of a compact field: its id and its type.
fn field(reader: &mut Reader<'_>, last: u16) -> Result<Option<(u16, u8)>, Cut> {
    let byte = reader.u8()?;
    let id = match (byte >> 4, byte & 15) {
        (_, 0) => return Ok(None),
        (0, _) => zigzag(reader.varint()?) as u16,
        (delta, _) => last.wrapping_add(delta.into()),
    };
    Ok(Some((id, byte & 15)))
}

fn zigzag(bits: u32) -> u32 {
    bits >> 1 ^ (bits & 1).wrapping_neg()
}

/// The type of a TApplicationException; 0 (unknown) where it has none.
fn exception(encoding: Encoding, reader: &mut Reader<'_>) -> Result<u32, Cut> {
    match encoding {
        Encoding::Compact => compact(reader),
        Encoding::Json => json(reader),
        Encoding::Binary | Encoding::Lax | Encoding::Opaque => binary(reader),
    }
}

const NOT_AN_EXCEPTION: Cut = Cut::Bad("it is no TApplicationException");

fn binary(reader: &mut Reader<'_>) -> Result<u32, Cut> {
    let mut code = 0;
    loop {
        let kind = reader.u8()?;
        if kind == 0 {
            return Ok(code);
        }
        match (kind, reader.u16()?) {
            (8, 2) => code = reader.u32()?,
            (11, _) => {
                let length = reader.length()?;
                reader.take(length as usize)?;
            }
            _ => return Err(NOT_AN_EXCEPTION),
        }
    }
}

fn compact(reader: &mut Reader<'_>) -> Result<u32, Cut> {
    let (mut code, mut last) = (0, 0);
    while let Some((id, kind)) = field(reader, last)? {
        last = id;
        match (kind, id) {
            (5, 2) => code = zigzag(reader.varint()?),
            (8, _) => {
                let length = reader.varint()?;
                reader.take(length as usize)?;
            }
            _ => return Err(NOT_AN_EXCEPTION),
        }
    }
    Ok(code)
}

/// `,{"1":{"str":"…"},"2":{"i32":N}}]`, in either order.
fn json(reader: &mut Reader<'_>) -> Result<u32, Cut> {
    let mut code = 0;
    literal(reader, b",")?;
    while matches!(reader.u8()?, b'{' | b',') {
        if reader.rest().first() == Some(&b'}') {
            break;
        }
        literal(reader, b"\"")?;
        let id = integer(reader)?;
        literal(reader, b"\":{\"")?;
        match (reader.take(3)?, id) {
            (b"str", _) => {
                literal(reader, b"\":\"")?;
                text(reader)?;
            }
            (b"i32", 2) => {
                literal(reader, b"\":")?;
                code = integer(reader)? as u32;
            }
            _ => return Err(NOT_AN_EXCEPTION),
        }
        literal(reader, b"}")?;
    }
    Ok(code)
}

/// Skips a string, of which the first quote is read.
fn text(reader: &mut Reader<'_>) -> Result<(), Cut> {
    loop {
        match reader.u8()? {
            b'"' => return Ok(()),
            b'\\' => drop(reader.u8()?),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialect::Transport, frame::Expect};

    /// An answer named `ab`.
    fn strict(kind: u8, result: &[u8]) -> Vec<u8> {
        let message = [&[0x80, 1, 0, kind, 0, 0, 0, 2], &b"ab"[..], &[0; 4], result].concat();
        [&(message.len() as u32).to_be_bytes(), message.as_slice()].concat()
    }

    #[test]
    fn a_returned_answer_is_seen_at_once_and_no_other() {
        let expect = Expect {
            transport: Some(Transport::Framed),
            encoding: None,
        };
        let ok = Some(Outcome::Ok { code: 0 });
        for (kind, result, at_once) in [
            (2, &b"\0"[..], ok.clone()),
            (2, b"\x0b\0\0\0\0\0\x01x\0", ok),
            (2, b"\x0c\0\x01\0\0", None),
            (2, b"\x0c\x01\0\0\0", None),
            (2, b"\x0b\0", None),
            (2, b"", None),
            (3, b"\0", None),
        ] {
            let answer = strict(kind, result);
            assert_eq!(returned(&answer), at_once, "{kind} {result:?}");
            if let Some(outcome) = at_once {
                let layout = Layout::again(&answer, expect).unwrap();
                assert_eq!(of(&answer, &layout), outcome);
            }
        }
    }
}
