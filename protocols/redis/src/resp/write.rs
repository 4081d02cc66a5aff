//! Writers of commands and replies.

use super::number;

/// Appends a command as an array of bulk strings.
pub fn command(arguments: &[&[u8]], out: &mut Vec<u8>) {
    array(arguments.len(), out);
    for argument in arguments {
        bulk(argument, out);
    }
}

/// Appends the head of an array, or of a command, of `count` elements.
pub fn array(count: usize, out: &mut Vec<u8>) {
    head(b'*', count, out);
}

/// Appends the head of an aggregate or a bulk: its type's byte and a number.
pub fn head(kind: u8, count: usize, out: &mut Vec<u8>) {
    out.push(kind);
    number::write(count as u64, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends a bulk string.
pub fn bulk(text: &[u8], out: &mut Vec<u8>) {
    head(b'$', text.len(), out);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// Appends an integer.
pub fn integer(value: i64, out: &mut Vec<u8>) {
    out.push(b':');
    if value < 0 {
        out.push(b'-');
    }
    number::write(value.unsigned_abs(), out);
    out.extend_from_slice(b"\r\n");
}

/// Appends a status line.
pub fn simple(text: &str, out: &mut Vec<u8>) {
    line(b'+', text.as_bytes(), out);
}

/// Appends an error line: `text` begins with the error's code (`ERR`).
pub fn error(text: &[u8], out: &mut Vec<u8>) {
    line(b'-', text, out);
}

/// A line ends at its first CR LF, so what comes from elsewhere must hold neither; Redis writes
/// spaces in their place (`addReplyErrorFormat`).
fn line(kind: u8, text: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(text.iter().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        byte => *byte,
    }));
    out.extend_from_slice(b"\r\n");
}
