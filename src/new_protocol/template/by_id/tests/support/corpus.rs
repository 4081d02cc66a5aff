//! Recorded messages: what one connection carries in each direction.
//!
//! Put recordings of your real client and server here (`tcpdump`, or bytes that they log): the
//! rules are only as good as the messages that they are tried on. One of each kind, one with an
//! empty body and one of more than 256 KiB are worth having.

use meltemi_codec::kit::{Corpus, Sample};

use myproto::frame::{self, BUSY, Kind, NO};

/// The bytes of a message.
fn message(kind: Kind, status: u8, id: u32, method: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(kind, status, id, method, body, &mut out);
    out
}

pub fn corpus() -> Corpus {
    let large = vec![b'x'; 300_000];
    Corpus::new()
        .request(
            Sample::new("greet", message(Kind::Request, 0, 1, "greet", b"hello"))
                .knows("method", "greet"),
        )
        .request(Sample::new("empty", message(Kind::Request, 0, 2, "", b"")))
        .request(Sample::new("note", message(Kind::OneWay, 0, 3, "note", b"noted")).one_way())
        .request(Sample::new("ping", message(Kind::Ping, 0, 4, "", b"")))
        .request(Sample::new(
            "put",
            message(Kind::Request, 0, 5, "put", &large),
        ))
        .response(Sample::new("hi", message(Kind::Answer, 0, 1, "", b"hi")).answers("greet"))
        .response(Sample::new("no", message(Kind::Answer, NO, 2, "", b"no")).answers("empty"))
        .response(Sample::new("pong", message(Kind::Pong, 0, 9, "", b"")))
        .response(Sample::new("got", message(Kind::Answer, 0, 5, "", &large)).answers("put"))
        .response(Sample::new("busy", message(Kind::Answer, BUSY, 6, "", b"")).answers("empty"))
}
