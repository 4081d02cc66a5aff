//! Thrift's words for what a proxy has to say: an EXCEPTION message that holds a
//! TApplicationException, `struct { 1: string message, 2: i32 type }`.

use meltemi_codec::Status;

use crate::{
    call::{CallMemo, set},
    dialect::{Encoding, Transport},
    head::{self, Kind},
    header,
    reader::write_varint,
};

/// The types of a TApplicationException.
pub(crate) mod code {
    pub(crate) const UNKNOWN_METHOD: u32 = 1;
    pub(crate) const INVALID_MESSAGE_TYPE: u32 = 2;
    pub(crate) const WRONG_METHOD_NAME: u32 = 3;
    pub(crate) const INTERNAL_ERROR: u32 = 6;
    pub(crate) const PROTOCOL_ERROR: u32 = 7;
    pub(crate) const INVALID_TRANSFORM: u32 = 8;
    pub(crate) const INVALID_PROTOCOL: u32 = 9;
    pub(crate) const UNSUPPORTED_CLIENT_TYPE: u32 = 10;
    /// fbthrift's.
    pub(crate) const LOADSHEDDING: u32 = 11;
}

/// The key-value that tells the reason where the transport has a header: most reasons share a type.
const REASON: &[u8] = b"x-meltemi-error";

/// The type of an answer of the proxy's own, and the reason in a word.
pub(crate) fn of(status: Status) -> (u32, &'static str) {
    match status {
        Status::NoRoute => (code::UNKNOWN_METHOD, "no-route"),
        Status::NoHealthyUpstream => (code::INTERNAL_ERROR, "no-healthy-upstream"),
        Status::ConnectFailure => (code::INTERNAL_ERROR, "connect-failure"),
        Status::UpstreamReset => (code::INTERNAL_ERROR, "upstream-reset"),
        Status::UpstreamMalformed => (code::INTERNAL_ERROR, "upstream-malformed"),
        Status::Timeout => (code::INTERNAL_ERROR, "timeout"),
        Status::RateLimited => (code::INTERNAL_ERROR, "rate-limited"),
        Status::Overloaded => (code::INTERNAL_ERROR, "overloaded"),
        Status::Denied => (code::INTERNAL_ERROR, "denied"),
        Status::FaultInjected => (code::INTERNAL_ERROR, "fault-injected"),
        Status::ShuttingDown => (code::INTERNAL_ERROR, "shutting-down"),
        Status::Malformed => (code::PROTOCOL_ERROR, "malformed"),
        Status::TooLarge => (code::PROTOCOL_ERROR, "too-large"),
        // All that a client can ask for here and not get is to be answered an answer: the type of
        // its message is wrong. Its way of speaking (type 10) was understood, or there were no
        // answer.
        Status::Unsupported => (code::INVALID_MESSAGE_TYPE, "unsupported"),
    }
}

/// Appends an exception of type `code` in answer to a call of `method`.
pub(crate) fn write(
    call: &CallMemo,
    method: &[u8],
    (code, reason): (u32, &str),
    message: &str,
    out: &mut Vec<u8>,
) {
    let frame = out.len();
    let transport = call.dialect.transport;
    match transport {
        Transport::Buffered => {}
        Transport::Framed => out.extend_from_slice(&[0; 4]),
        Transport::Header | Transport::TtHeader => {
            let pair = (REASON, reason.as_bytes());
            header::write(transport, call.spoken, call.header_seq, pair, out);
        }
    }
    let inner = out.len();
    if call.inner {
        out.extend_from_slice(&[0; 4]);
    }
    head::write(call.spoken, Kind::Exception, method, call.seq, out);
    body(call.spoken, code, message, out);
    let length = |from: usize, out: &[u8]| u32::try_from(out.len() - from - 4).unwrap_or(u32::MAX);
    if call.inner {
        let length = length(inner, out);
        set(out, inner, |_| length);
    }
    if transport != Transport::Buffered {
        let length = length(frame, out);
        set(out, frame, |_| length);
    }
}

fn body(encoding: Encoding, code: u32, message: &str, out: &mut Vec<u8>) {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    match encoding {
        Encoding::Binary | Encoding::Lax => {
            out.extend_from_slice(&[0x0b, 0, 1]);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(message.as_bytes());
            out.extend_from_slice(&[0x08, 0, 2]);
            out.extend_from_slice(&code.to_be_bytes());
            out.push(0);
        }
        Encoding::Compact => {
            out.push(0x18);
            write_varint(length, out);
            out.extend_from_slice(message.as_bytes());
            out.push(0x15);
            // Zigzag of a number that is not negative.
            write_varint(code << 1, out);
            out.push(0);
        }
        Encoding::Json => {
            out.extend_from_slice(b",{\"1\":{\"str\":\"");
            for char in message.chars() {
                escape(char, out);
            }
            out.extend_from_slice(format!("\"}},\"2\":{{\"i32\":{code}}}}}]").as_bytes());
        }
        Encoding::Opaque => {}
    }
}

/// Appends a character of a JSON string. U+0000 does not pass between Thrift's libraries.
fn escape(char: char, out: &mut Vec<u8>) {
    match char {
        '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
        '\0' => out.push(b' '),
        control if control < ' ' => {
            out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
        }
        char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}
