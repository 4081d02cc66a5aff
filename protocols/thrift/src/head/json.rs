//! The front of a message of Apache's JSON protocol: `[1,"name",type,seq,{…}]`.

use super::{Head, Kind, LONGEST_NAME, NAME_TOO_LONG};
use crate::reader::{Cut, Reader};

const NOT_A_MESSAGE: Cut = Cut::Bad("the JSON is not that of a Thrift message");

/// The only writers are libraries, and none of them writes a space: none is skipped.
pub(super) fn head(reader: &mut Reader<'_>) -> Result<Head, Cut> {
    literal(reader, b"[1,\"")?;
    let start = reader.at();
    loop {
        match reader.u8()? {
            b'"' => break,
            b'\\' => drop(reader.u8()?),
            _ => {}
        }
        if reader.at() - start > LONGEST_NAME {
            return Err(Cut::Bad(NAME_TOO_LONG));
        }
    }
    let name = start..reader.at() - 1;
    literal(reader, b",")?;
    let kind = Kind::of(reader.u8()?.wrapping_sub(b'0'))?;
    literal(reader, b",")?;
    let start = reader.at();
    let seq = integer(reader)?;
    let seq = i32::try_from(seq).map_err(|_| NOT_A_MESSAGE)?;
    let seq_at = start..reader.at();
    Ok(Head {
        kind,
        name,
        seq: seq.cast_unsigned(),
        body: seq_at.end,
        seq_at,
    })
}

pub(crate) fn literal(reader: &mut Reader<'_>, expected: &[u8]) -> Result<(), Cut> {
    for byte in expected {
        if reader.u8()? != *byte {
            return Err(NOT_A_MESSAGE);
        }
    }
    Ok(())
}

/// An integer, up to the byte that follows it, which must be there.
pub(crate) fn integer(reader: &mut Reader<'_>) -> Result<i64, Cut> {
    let start = reader.at();
    let mut end = *reader;
    loop {
        match end.u8()? {
            b'0'..=b'9' => {}
            b'-' if end.at() == start + 1 => {}
            _ => break,
        }
        if end.at() - start > 20 {
            return Err(NOT_A_MESSAGE);
        }
    }
    let digits = reader.take(end.at() - 1 - start)?;
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(NOT_A_MESSAGE)
}
