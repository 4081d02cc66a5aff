//! Writes the few Hessian 2 values that a proxy makes itself.

/// UTF-16 units in one chunk of a long string.
const CHUNK_UNITS: usize = 0x7fff;

/// Writes null.
pub fn write_null(out: &mut Vec<u8>) {
    out.push(b'N');
}

/// Writes an int in its shortest form.
pub fn write_int(out: &mut Vec<u8>, value: i32) {
    let [a, b, c, d] = value.to_be_bytes();
    match value {
        -0x10..=0x2f => out.push(0x90_u8.wrapping_add(d)),
        -0x800..=0x7ff => out.extend_from_slice(&[0xc8_u8.wrapping_add(c), d]),
        -0x40000..=0x3ffff => out.extend_from_slice(&[0xd4_u8.wrapping_add(b), c, d]),
        _ => out.extend_from_slice(&[b'I', a, b, c, d]),
    }
}

/// Writes a string: the length in UTF-16 units, the characters as CESU-8, in chunks where it is
/// longer than 32,767 units.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    // Bytes bound units from above, so short strings need no counting here.
    while rest.len() > CHUNK_UNITS {
        let (chunk, tail) = split_units(rest);
        if tail.is_empty() {
            break;
        }
        write_chunk(out, b'R', chunk);
        rest = tail;
    }
    write_last(out, rest);
}

/// Writes a map of strings (`H`…`Z`).
pub fn write_string_map<'a>(
    out: &mut Vec<u8>,
    entries: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    out.push(b'H');
    for (key, value) in entries {
        write_string(out, key);
        write_string(out, value);
    }
    out.push(b'Z');
}

/// Splits off at most one chunk's units, between characters.
fn split_units(text: &str) -> (&str, &str) {
    let mut units = 0;
    for (at, ch) in text.char_indices() {
        units += ch.len_utf16();
        if units > CHUNK_UNITS {
            return text.split_at(at);
        }
    }
    (text, "")
}

fn units_of(text: &str) -> u16 {
    let units = if text.is_ascii() {
        text.len()
    } else {
        text.chars().map(char::len_utf16).sum()
    };
    u16::try_from(units).expect("a chunk holds at most 32,767 units")
}

fn write_last(out: &mut Vec<u8>, text: &str) {
    let units = units_of(text);
    let [high, low] = units.to_be_bytes();
    match units {
        0..=0x1f => {
            out.push(low);
            write_cesu8(out, text);
        }
        0x20..=0x3ff => {
            out.extend_from_slice(&[0x30 + high, low]);
            write_cesu8(out, text);
        }
        _ => write_chunk(out, b'S', text),
    }
}

fn write_chunk(out: &mut Vec<u8>, tag: u8, text: &str) {
    let [high, low] = units_of(text).to_be_bytes();
    out.extend_from_slice(&[tag, high, low]);
    write_cesu8(out, text);
}

/// Supplementary characters become two surrogates of three bytes each: Dubbo's reader refuses
/// four-byte sequences.
fn write_cesu8(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(|ch: char| ch.len_utf8() == 4) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        for unit in chars.next().into_iter().flat_map(surrogates) {
            let [high, low] = unit.to_be_bytes();
            out.extend_from_slice(&[
                0xe0 | high >> 4,
                0x80 | (high & 0x0f) << 2 | low >> 6,
                0x80 | (low & 0x3f),
            ]);
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn surrogates(ch: char) -> [u16; 2] {
    let mut units = [0; 2];
    ch.encode_utf16(&mut units);
    units
}
