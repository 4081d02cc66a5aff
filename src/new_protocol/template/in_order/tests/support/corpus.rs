//! Recorded messages: what one connection carries in each direction.
//!
//! Put recordings of your real client and server here (`tcpdump`, or bytes that they log): the
//! rules are only as good as the messages that they are tried on. One of each kind, one with an
//! empty body and one of more than 256 KiB are worth having.

use meltemi_codec::kit::{Corpus, Sample};

/// A line, and the bytes behind it.
fn with_bytes(line: &str, bytes: &[u8]) -> Vec<u8> {
    let mut message = format!("{line} *{}\n", bytes.len()).into_bytes();
    message.extend_from_slice(bytes);
    message
}

pub fn corpus() -> Corpus {
    let large = vec![b'x'; 300_000];
    Corpus::new()
        .request(
            Sample::new("get", "GET a\n")
                .knows("verb", "GET")
                .knows("key", "a"),
        )
        .request(Sample::new("set", with_bytes("SET a", b"two\nlines")).knows("key", "a"))
        .request(Sample::new("nothing", "\n"))
        .request(Sample::new("tell", "TELL a\n").one_way())
        .request(Sample::new("ping", "PING\n"))
        .request(Sample::new("put", with_bytes("SET b", &large)))
        .response(Sample::new("got", with_bytes("OK", b"value")).answers("get"))
        .response(Sample::new("done", "OK\n").answers("set"))
        .response(Sample::new("large", with_bytes("OK", &large)).answers("get"))
        .response(Sample::new("no", "NO such key\n").answers("get"))
        .response(Sample::new("busy", "BUSY\n").answers("put"))
}
