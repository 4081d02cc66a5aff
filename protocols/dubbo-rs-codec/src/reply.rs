//! Frames that a proxy makes itself: error replies, heartbeats, the READONLY notice.

use crate::format::BodyFormat;
use crate::header::{HEADER_LEN, Header, Kind, SerializationId, Status};

/// Appends an error reply to `request` in the request's own serialization, which is the only one
/// that its consumer accepts. Returns false, and appends nothing, if the request owes no answer.
///
/// Where the serialization cannot be written (java, kryo, protobuf …) the body is empty: the
/// consumer then fails the call at once with an error of its own, which names no message.
pub fn write_error(request: &Header, status: Status, message: &str, out: &mut Vec<u8>) -> bool {
    if request.kind != Kind::Request {
        return false;
    }
    let header = Header {
        kind: Kind::Response,
        status,
        ..*request
    };
    write_frame(header, out, |out| {
        if let Some(format) = BodyFormat::of(request.serialization) {
            format.write_string(out, message);
        }
    });
    true
}

/// Appends a heartbeat that asks for an answer.
pub fn write_heartbeat(serialization: SerializationId, id: u64, out: &mut Vec<u8>) {
    let header = Header {
        kind: Kind::Event { two_way: true },
        serialization,
        status: Status::NONE,
        id,
        body_len: 0,
    };
    write_frame(header, out, |out| write_event_null(serialization, out));
}

/// Appends the answer to a heartbeat, in kind. Returns false, and appends nothing, if `event` asks
/// for none.
pub fn write_heartbeat_answer(event: &Header, out: &mut Vec<u8>) -> bool {
    if event.kind != (Kind::Event { two_way: true }) {
        return false;
    }
    let header = Header {
        kind: Kind::EventAnswer,
        status: Status::OK,
        ..*event
    };
    write_frame(header, out, |out| {
        write_event_null(event.serialization, out);
    });
    true
}

/// Appends the READONLY notice, by which a provider asks for no new calls on the connection.
///
/// An event is read on its own, by the serialization in its own header, so where `serialization`
/// cannot be written the notice is hessian2, which every Dubbo reads.
pub fn write_readonly(serialization: SerializationId, id: u64, out: &mut Vec<u8>) {
    let (serialization, format) = match BodyFormat::of(serialization) {
        Some(format) => (serialization, format),
        None => (SerializationId::HESSIAN2, BodyFormat::Hessian2),
    };
    let header = Header {
        kind: Kind::Event { two_way: false },
        serialization,
        status: Status::NONE,
        id,
        body_len: 0,
    };
    write_frame(header, out, |out| format.write_string(out, "R"));
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    Heartbeat,
    /// `R`: send no new calls on this connection.
    Readonly,
    /// `W`: calls are welcome again.
    Writable,
    Other,
}

/// Reads the body of an event. A body in a serialization that cannot be read is a heartbeat if it
/// is the null that Dubbo writes there, or empty.
#[must_use]
pub fn read_event(serialization: SerializationId, body: &[u8]) -> Event {
    // 2.7 answers every heartbeat in hessian2, and is accepted: only the null itself counts.
    if body.is_empty() || body == null_bytes(serialization) {
        return Event::Heartbeat;
    }
    match (serialization, body) {
        (SerializationId::HESSIAN2, [1, b'R'])
        | (SerializationId::FASTJSON2, [0, 0, 0, 2, 0x4a, b'R']) => Event::Readonly,
        (SerializationId::HESSIAN2, [1, b'W'])
        | (SerializationId::FASTJSON2, [0, 0, 0, 2, 0x4a, b'W']) => Event::Writable,
        _ => Event::Other,
    }
}

fn write_event_null(serialization: SerializationId, out: &mut Vec<u8>) {
    match BodyFormat::of(serialization) {
        Some(format) => format.write_null(out),
        None => out.extend_from_slice(null_bytes(serialization)),
    }
}

/// Null as Dubbo's serializations write it, which is what a heartbeat holds. Empty where unknown:
/// Dubbo takes an empty event for a heartbeat too.
fn null_bytes(serialization: SerializationId) -> &'static [u8] {
    match serialization {
        SerializationId::HESSIAN2 => b"N",
        SerializationId::FASTJSON2 => &[0, 0, 0, 1, 0xaf],
        SerializationId::JAVA | SerializationId::COMPACTED_JAVA => {
            &[0xac, 0xed, 0x00, 0x05, 0x77, 0x01, 0x00]
        }
        SerializationId::NATIVE_JAVA => &[0xac, 0xed, 0x00, 0x05, 0x70],
        SerializationId::KRYO => &[0],
        SerializationId::FASTJSON | SerializationId::GSON => b"null\n",
        _ => &[],
    }
}

/// Appends header and body, with the body's length in the header.
pub(crate) fn write_frame(
    header: Header,
    out: &mut Vec<u8>,
    write_body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&header.to_bytes());
    write_body(out);
    let body_len = u32::try_from(out.len() - start - HEADER_LEN)
        .expect("a frame that is made here is below 4 GiB");
    let header = Header { body_len, ..header };
    if let Some(slot) = out.get_mut(start..start + HEADER_LEN) {
        slot.copy_from_slice(&header.to_bytes());
    }
}
