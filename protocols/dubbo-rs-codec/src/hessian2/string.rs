//! Hessian strings: lengths count UTF-16 units, bytes are CESU-8, long strings come in chunks.

use crate::error::ReadError;

/// Bytes that `units` UTF-16 units take at the start of `bytes`, and whether all are ASCII.
///
/// Walks by lead byte, as Dubbo's own reader does: below 0x80 one byte, 110x two, 1110 three. A
/// four-byte sequence counts as the two units it stands for.
#[inline]
pub(super) fn measure(bytes: &[u8], units: usize, at: usize) -> Result<(usize, bool), ReadError> {
    match bytes.get(..units) {
        Some(head) if head.is_ascii() => Ok((units, true)),
        _ => measure_slow(bytes, units, at).map(|len| (len, false)),
    }
}

#[cold]
fn measure_slow(bytes: &[u8], mut units: usize, at: usize) -> Result<usize, ReadError> {
    let mut rest = bytes;
    while units > 0 {
        if units >= 8
            && let Some((run, tail)) = rest.split_first_chunk::<8>()
            && run.is_ascii()
        {
            rest = tail;
            units -= 8;
            continue;
        }
        let here = at + (bytes.len() - rest.len());
        let lead = *rest.first().ok_or(ReadError::Truncated { at: here })?;
        let (width, counts) = match lead {
            0x00..=0x7f => (1, 1),
            0xc0..=0xdf => (2, 1),
            0xe0..=0xef => (3, 1),
            0xf0..=0xf7 if units >= 2 => (4, 2),
            _ => return Err(ReadError::BadString { at: here }),
        };
        rest = rest.get(width..).ok_or(ReadError::Truncated { at: here })?;
        units -= counts;
    }
    Ok(bytes.len() - rest.len())
}

/// Appends the UTF-16 units of measured CESU-8 bytes, decoded as Java decodes them: continuation
/// bytes are not checked, overlong forms are taken at their value.
pub(crate) fn push_units(mut bytes: &[u8], units: &mut Vec<u16>) {
    loop {
        let (width, code) = match *bytes {
            [] => return,
            [a @ 0x00..=0x7f, ..] => (1, u32::from(a)),
            [a @ 0xc0..=0xdf, b, ..] => (2, low(a, 0x1f) << 6 | low(b, 0x3f)),
            [a @ 0xe0..=0xef, b, c, ..] => {
                (3, low(a, 0x0f) << 12 | low(b, 0x3f) << 6 | low(c, 0x3f))
            }
            [a @ 0xf0..=0xf7, b, c, d, ..] => {
                let code = low(a, 0x07) << 18 | low(b, 0x3f) << 12 | low(c, 0x3f) << 6;
                (4, code | low(d, 0x3f))
            }
            _ => (1, u32::from(char::REPLACEMENT_CHARACTER)),
        };
        if code <= 0xffff {
            units.push(code as u16);
        } else {
            let wide = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            units.extend_from_slice(wide.encode_utf16(&mut [0; 2]));
        }
        bytes = bytes.get(width..).unwrap_or_default();
    }
}

fn low(byte: u8, mask: u8) -> u32 {
    u32::from(byte & mask)
}

/// Appends the units of a whole string value that is split into chunks; stops where it is not one.
pub(crate) fn push_chunked_units(mut bytes: &[u8], units: &mut Vec<u16>) {
    while let Some(Ok(chunk)) = chunk_head(bytes, 0) {
        let Some(content) = bytes.get(chunk.tag_len..) else {
            return;
        };
        let Ok((len, _)) = measure(content, chunk.units, 0) else {
            return;
        };
        let (text, rest) = content.split_at_checked(len).unwrap_or((content, &[]));
        push_units(text, units);
        bytes = rest;
        if chunk.last {
            return;
        }
    }
}

/// The head of one chunk of a string.
#[derive(Clone, Copy)]
pub(super) struct ChunkHead {
    pub(super) tag_len: usize,
    pub(super) units: usize,
    pub(super) last: bool,
}

/// Reads a chunk's head, `None` when the tag is not a string's.
#[inline]
pub(super) fn chunk_head(bytes: &[u8], at: usize) -> Option<Result<ChunkHead, ReadError>> {
    let head = |tag_len, units, last| {
        Some(Ok(ChunkHead {
            tag_len,
            units,
            last,
        }))
    };
    match *bytes {
        [tag @ 0x00..=0x1f, ..] => head(1, usize::from(tag), true),
        [tag @ 0x30..=0x33, low, ..] => {
            head(2, usize::from(tag - 0x30) << 8 | usize::from(low), true)
        }
        [tag @ (b'R' | b'S'), high, low, ..] => {
            head(3, usize::from(high) << 8 | usize::from(low), tag == b'S')
        }
        [0x30..=0x33 | b'R' | b'S', ..] => Some(Err(ReadError::Truncated { at })),
        _ => None,
    }
}
