//! The two codecs as a test drives them.

use std::sync::Arc;

use meltemi_codec::{
    AttributeKey, Decoded, Downstream, Expected, Frame, FromClient, FromServer, Limits, LocalReply,
    Malformed, Memo, Message, Outcome, Protocol, Request, Size, Status, Upstream,
};
use meltemi_thrift::Thrift;

pub fn limits() -> Limits {
    Limits {
        whole: Limits::WHOLE,
        frame: Thrift::default().traits().frame_limit,
    }
}

pub fn configured(settings: &[(&str, &str)]) -> Arc<dyn Protocol> {
    Thrift::default().configure(settings).unwrap()
}

pub fn downstream() -> Box<dyn Downstream> {
    Thrift::default().downstream(limits())
}

pub fn upstream() -> Box<dyn Upstream> {
    Thrift::default().upstream(limits(), &meltemi_codec::Opening::default())
}

/// The one unanswered call of a connection.
pub struct Asked(pub Memo);

impl Expected for Asked {
    fn memo(&self, n: usize) -> Option<&Memo> {
        (n == 0).then_some(&self.0)
    }

    fn id(&self, n: usize) -> Option<u64> {
        (n == 0).then_some(1)
    }
}

/// One whole message of a client's.
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

/// A client's call.
pub fn request(codec: &mut dyn Downstream, bytes: &[u8]) -> Request {
    match from_client(codec, bytes) {
        (FromClient::Request(request), out) => {
            assert!(out.is_empty());
            request
        }
        other => panic!("{other:?}"),
    }
}

/// One whole message of a server's, to the call with this memo.
pub fn from_server(
    codec: &mut dyn Upstream,
    bytes: &[u8],
    memo: &Memo,
) -> Result<FromServer, Malformed> {
    let mut out = Vec::new();
    match codec.decode(bytes, &Asked(memo.clone()), &mut out)? {
        Decoded::Message(Message { size, event }) => {
            assert_eq!(size, Size::Known(bytes.len() as u64));
            assert!(out.is_empty());
            Ok(event)
        }
        other => panic!("{other:?}"),
    }
}

pub fn whole<'a>(bytes: &'a [u8], memo: &'a Memo) -> Frame<'a> {
    Frame {
        bytes,
        whole: true,
        memo,
    }
}

pub fn outcome(bytes: &[u8], memo: &Memo) -> Outcome {
    upstream().outcome(whole(bytes, memo))
}

/// An answer of the proxy's own, and its code.
pub fn local_reply(
    codec: &mut dyn Downstream,
    request: &Request,
    status: Status,
    message: &str,
) -> (Vec<u8>, u32) {
    let mut out = Vec::new();
    let reply = LocalReply { status, message };
    let code = codec.local_reply(request.id, &request.memo, reply, &mut out);
    (out, code.unwrap())
}

/// An attribute of a call, as a string.
pub fn attribute(codec: &dyn Downstream, frame: Frame<'_>, name: &str) -> Option<String> {
    let key = AttributeKey::resolve(Thrift::default().attributes(), name);
    let value = codec.attribute(frame, &key)?;
    Some(String::from_utf8(value.into_owned()).unwrap())
}
