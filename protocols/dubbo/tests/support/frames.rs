//! Frames made for a test, and the two codecs as a test drives them.

use dubbo_rs_codec::{
    BodyFormat, HEADER_LEN, Header, Kind, SerializationId, Status,
    encode::{self, write_request},
};
use meltemi_codec::{
    AttributeKey, Decoded, Downstream, Frame, FromClient, FromServer, Limits, Malformed, Memo,
    Message, Opening, Protocol, Request, Size, Upstream,
};
use meltemi_dubbo::Dubbo;

/// The id of the frames that are made here: negative in Java's eyes.
pub const ID: u64 = 0xfedc_ba98_7654_3210;
pub const BOTH: [BodyFormat; 2] = [BodyFormat::Hessian2, BodyFormat::Fastjson2];

pub fn limits() -> Limits {
    Limits {
        whole: Limits::WHOLE,
        frame: Dubbo.traits().frame_limit,
    }
}

pub fn downstream() -> Box<dyn Downstream> {
    Dubbo.downstream(limits())
}

pub fn upstream() -> Box<dyn Upstream> {
    Dubbo.upstream(limits(), &Opening::default())
}

pub fn header(kind: Kind, serialization: SerializationId, body: &[u8]) -> Header {
    Header {
        kind,
        serialization,
        status: Status::NONE,
        id: ID,
        body_len: u32::try_from(body.len()).unwrap(),
    }
}

pub fn frame(kind: Kind, serialization: SerializationId, body: &[u8]) -> Vec<u8> {
    let mut frame = header(kind, serialization, body).to_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

/// A two-way call of `demo.Greeter.hello` with one argument.
pub fn call(format: BodyFormat, argument: &str, attachments: &[(&str, &str)]) -> Vec<u8> {
    let call = encode::Call {
        path: "demo.Greeter",
        version: "1.0.0",
        method: "hello",
        arguments: &[argument],
        attachments,
    };
    let mut out = Vec::new();
    write_request(format, ID, true, &call, &mut out);
    out
}

/// The body of `frame`.
pub fn body(frame: &[u8]) -> &[u8] {
    &frame[HEADER_LEN..]
}

/// One whole message of a consumer's.
pub fn from_client(codec: &mut dyn Downstream, bytes: &[u8]) -> (FromClient, Vec<u8>) {
    let mut out = Vec::new();
    match codec.decode(bytes, &mut out) {
        Ok(Decoded::Message(Message { size, event })) => {
            assert_eq!(size, Size::Known(bytes.len() as u64));
            (event, out)
        }
        other => panic!("{other:?}"),
    }
}

/// One whole message of a provider's.
pub fn from_server(codec: &mut dyn Upstream, bytes: &[u8]) -> (FromServer, Vec<u8>) {
    let mut out = Vec::new();
    match codec.decode(bytes, &(), &mut out) {
        Ok(Decoded::Message(Message { size, event })) => {
            assert_eq!(size, Size::Known(bytes.len() as u64));
            (event, out)
        }
        other => panic!("{other:?}"),
    }
}

/// A consumer's call.
pub fn request(codec: &mut dyn Downstream, bytes: &[u8]) -> Request {
    match from_client(codec, bytes) {
        (FromClient::Request(request), out) => {
            assert!(out.is_empty());
            request
        }
        other => panic!("{other:?}"),
    }
}

/// What a new connection makes of these bytes.
pub fn malformed(bytes: &[u8]) -> Option<Malformed> {
    downstream().decode(bytes, &mut Vec::new()).err()
}

pub fn whole<'a>(bytes: &'a [u8], memo: &'a Memo) -> Frame<'a> {
    Frame {
        bytes,
        whole: true,
        memo,
    }
}

/// An attribute of a call, as a string.
pub fn attribute(codec: &dyn Downstream, frame: Frame<'_>, name: &str) -> Option<String> {
    let key = AttributeKey::resolve(Dubbo.attributes(), name);
    let value = codec.attribute(frame, &key)?;
    Some(String::from_utf8(value.into_owned()).unwrap())
}
