//! Small frames made for a test.

use dubbo_rs_codec::encode::{Call, write_request};
use dubbo_rs_codec::hessian2::write_string;
use dubbo_rs_codec::{BodyFormat, Frame, Header, Kind, SerializationId, Status};

pub(crate) const CALL: Call<'_> = Call {
    path: "demo.Greeter",
    version: "1.0.0",
    method: "hello",
    arguments: &["world"],
    attachments: &[("interface", "demo.Greeter"), ("group", "blue")],
};

pub(crate) fn request_header(serialization: SerializationId, kind: Kind) -> Header {
    Header {
        kind,
        serialization,
        status: Status::NONE,
        id: 0x0102_0304_0506_0708,
        body_len: 0,
    }
}

pub(crate) fn encoded(format: BodyFormat, call: &Call<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_request(format, 7, true, call, &mut out);
    out
}

pub(crate) fn whole(bytes: &[u8]) -> Frame<'_> {
    let (frame, rest) = Frame::split(bytes).unwrap().unwrap();
    assert!(rest.is_empty());
    frame
}

/// A hessian2 request of no arguments whose attachments `write` writes.
pub(crate) fn request_body(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    for text in ["2.0.2", "demo.Greeter", "0.0.0", "hello", ""] {
        write_string(&mut body, text);
    }
    write(&mut body);
    body
}
