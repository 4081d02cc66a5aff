//! Writes the few JSONB values that a proxy makes itself.

use super::{
    INT32, NULL, OBJECT, OBJECT_END, STR_ASCII, STR_ASCII_FIX_MAX, STR_ASCII_FIX_MIN, STR_UTF8,
};

/// Writes null.
pub fn write_null(out: &mut Vec<u8>) {
    out.push(NULL);
}

/// Writes a string: ASCII with its length in the tag where it fits, else a length in bytes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let ascii = bytes.is_ascii();
    let short = u8::try_from(bytes.len())
        .ok()
        .filter(|&len| ascii && len <= STR_ASCII_FIX_MAX - STR_ASCII_FIX_MIN);
    match short {
        Some(len) => out.push(STR_ASCII_FIX_MIN + len),
        None => {
            out.push(if ascii { STR_ASCII } else { STR_UTF8 });
            write_length(out, bytes.len());
        }
    }
    out.extend_from_slice(bytes);
}

/// Writes a map of strings.
pub fn write_string_map<'a>(
    out: &mut Vec<u8>,
    entries: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    out.push(OBJECT);
    for (key, value) in entries {
        write_string(out, key);
        write_string(out, value);
    }
    out.push(OBJECT_END);
}

/// Writes what `write` writes behind its length in four bytes, as a Dubbo body holds it.
pub fn write_framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let content = out.len();
    write(out);
    let len = u32::try_from(out.len() - content).expect("a value of a frame is below 4 GiB");
    if let Some(slot) = out.get_mut(start..content) {
        slot.copy_from_slice(&len.to_be_bytes());
    }
}

/// Writes an int in its shortest form.
pub fn write_int(out: &mut Vec<u8>, value: i32) {
    let [a, b, c, d] = value.to_be_bytes();
    match value {
        -0x10..=0x2f => out.push(d),
        -0x800..=0x7ff => out.extend_from_slice(&[0x38_u8.wrapping_add(c), d]),
        -0x4_0000..=0x3_ffff => out.extend_from_slice(&[0x44_u8.wrapping_add(b), c, d]),
        _ => out.extend_from_slice(&[INT32, a, b, c, d]),
    }
}

fn write_length(out: &mut Vec<u8>, len: usize) {
    let len = i32::try_from(len).expect("a string of a frame is below 2 GiB");
    write_int(out, len);
}
