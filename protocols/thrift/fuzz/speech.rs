//! Thrift, spoken.

use meltemi_codec::Protocol;

use crate::{
    messages::{self, CALL, EXCEPTION, ONEWAY, Speech as Way, bare, framed},
    support::trial::{PLAIN, Say, Speech},
};

const FRAMED: Way = messages::speech("framed", "binary");
const BUFFERED: Way = messages::speech("buffered", "compact");
const HEADER: Way = messages::speech("header", "binary");

/// What a peer says.
type Says = fn(Say<'_>) -> Vec<u8>;

/// A way of speaking for each number.
pub(crate) fn speech(choice: u8) -> Speech {
    let (way, client, server): (Way, Says, Says) = match choice % 3 {
        0 => (FRAMED, |say| call(FRAMED, say), |say| answer(FRAMED, say)),
        1 => (
            BUFFERED,
            |say| call(BUFFERED, say),
            |say| answer(BUFFERED, say),
        ),
        _ => (HEADER, |say| call(HEADER, say), |say| answer(HEADER, say)),
    };
    let settings = [("transport", way.transport), ("oneway", "note")];
    let depth = [("sharing", "pipeline"), ("depth", "3")];
    let mut all = settings.to_vec();
    if choice & 4 != 0 {
        all.extend(depth);
    }
    let protocol = meltemi_thrift::protocol().configure(&all);
    Speech {
        protocol: protocol.expect("the settings are right"),
        client,
        server,
    }
}

fn seq(say: &Say<'_>) -> i32 {
    (say.id as u32).cast_signed()
}

/// The method is the mark: the head of a large message holds no more than its name.
fn call(way: Way, say: Say<'_>) -> Vec<u8> {
    let argument = way.text(1, &".".repeat(say.size));
    let seq = seq(&say);
    match say.kind % 16 {
        PLAIN => way.message(CALL, say.mark, seq, &argument),
        1 | 2 => way.message(ONEWAY, say.mark, seq, &argument),
        3 => way.message(CALL, &format!("{}:note", say.mark), seq, &argument),
        4 => way.message(CALL, &format!("Svc:{}", say.mark), seq, &argument),
        5 => way.message(CALL, "__can__finagle__trace__v3__", seq, way.nothing()),
        // What is refused is answered by the proxy, with the name that it had.
        6 => way.message(EXCEPTION, "any", seq, way.nothing()),
        7 if way == FRAMED => framed(b""),
        8 if way == FRAMED => framed(&bare("binary", 9, "any", seq, &[])),
        _ => way.message(CALL, say.mark, seq, &argument),
    }
}

fn answer(way: Way, say: Say<'_>) -> Vec<u8> {
    let text = ".".repeat(say.size);
    let (kind, body) = match say.kind {
        PLAIN => (messages::REPLY, way.text(0, &text)),
        1 => (messages::REPLY, way.text(1, &text)),
        2 => (EXCEPTION, way.exception(&text, 6)),
        // Nobody asked. As an answer it would pass for that to the oldest call, where the numbers are
        // equal: no proxy can know better.
        _ => (CALL, way.text(1, &text)),
    };
    way.message(kind, say.mark, seq(&say), &body)
}
