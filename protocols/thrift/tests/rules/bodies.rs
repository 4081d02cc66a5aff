//! Arguments and results: passed on untouched, searched for their end only where nothing else tells
//! it, read only if a rule asks.

use meltemi_codec::{Body, Decoded, Frame, FromClient, Limits, Message, Protocol, Size};
use meltemi_thrift::Thrift;
use proptest::prelude::*;

use crate::{
    golden,
    legs::{Asked, attribute, downstream, from_server, limits, request, upstream, whole},
    messages::{ALL, CALL, REPLY, bare, speech},
};

#[test]
fn the_body_of_a_frame_is_never_looked_into() {
    for speech in ALL.iter().filter(|it| it.transport != "buffered") {
        let bytes = speech.message(CALL, "any", 5, b",\xff\xfe not a struct");
        let asked = request(&mut *downstream(), &bytes);
        let mut out = Vec::new();
        upstream().forward(1, whole(&bytes, &asked.memo), &mut out);
        assert_eq!(out, bytes, "{speech:?}");
    }
}

/// Apache writes false as 2 in a list of bools. A proxy that encodes again may make it true.
#[test]
fn a_compact_list_of_bools_passes_as_it_is() {
    let body = [0x19, 0x51, 1, 2, 1, 0, 2, 0];
    for transport in ["framed", "buffered", "header", "ttheader"] {
        let speech = speech(transport, "compact");
        let bytes = speech.message(CALL, "flags", 5, &body);
        let mut client = downstream();
        let asked = request(&mut *client, &bytes);
        let mut out = Vec::new();
        upstream().forward(1, whole(&bytes, &asked.memo), &mut out);
        assert_eq!(out, bytes);
        // And so does the answer, whose result is the list.
        let answer = speech.message(REPLY, "flags", 5, &[0x09, 0, 0x51, 1, 2, 1, 0, 2, 0]);
        from_server(&mut *upstream(), &answer, &asked.memo).unwrap();
        let mut back = Vec::new();
        client.respond(1, whole(&answer, &asked.memo), &mut back);
        assert_eq!(back, answer);
    }
}

/// Every type of both protocols, and maps without types.
#[test]
fn the_end_of_a_struct_is_found_behind_every_type() {
    let binary: &[u8] = &[
        2, 0, 1, 1, 3, 0, 2, 9, 4, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 4, 0, 1, 8, 0, 5, 0, 0, 0,
        1, 10, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1, 11, 0, 7, 0, 0, 0, 1, b'x', 12, 0, 8, 0, 13, 0, 9, 11,
        8, 0, 0, 0, 1, 0, 0, 0, 1, b'k', 0, 0, 0, 1, 14, 0, 10, 3, 0, 0, 0, 1, 7, 15, 0, 11, 12, 0,
        0, 0, 2, 0, 0, 16, 0, 12, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0,
    ];
    let compact: &[u8] = &[
        0x11, 0x12, 0x13, 9, 0x14, 0x80, 1, 0x15, 2, 0x16, 0xff, 0xff, 3, 0x17, 0, 0, 0, 0, 0, 0,
        0, 0, 0x18, 1, b'x', 0x19, 0xf5, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
        0x1a, 0x12, 2, 0x1b, 0, 0x1b, 1, 0x85, 1, b'k', 4, 0x1c, 0, 0x1d, 0, 1, 2, 3, 4, 5, 6, 7,
        8, 9, 10, 11, 12, 13, 14, 15, 0x05, 0x28, 2, 0,
    ];
    for (protocol, body) in [("binary", binary), ("lax", binary), ("compact", compact)] {
        let bytes = bare(protocol, CALL, "all", 1, body);
        request(&mut *downstream(), &bytes);
        let longer = [&bytes[..], b"more"].concat();
        let decoded = downstream().decode(&longer, &mut Vec::new());
        let Ok(Decoded::Message(Message { size, .. })) = decoded else {
            panic!("{protocol} {decoded:?}");
        };
        assert_eq!(size, Size::Known(bytes.len() as u64));
    }
}

#[test]
fn arguments_are_read_by_the_ids_of_their_fields() {
    let binary: &[u8] = &[
        8, 0, 1, 0xff, 0xff, 0xff, 0xfe, 12, 0, 2, 11, 0, 3, 0, 0, 0, 2, b'h', b'i', 2, 0, 4, 1,
        12, 0, 5, 10, 0, 6, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 15, 0, 7, 8, 0, 0, 0, 0, 4, 0, 8, 0x3f,
        0xf8, 0, 0, 0, 0, 0, 0, 0,
    ];
    let compact: &[u8] = &[
        0x15, 3, 0x1c, 0x38, 2, b'h', b'i', 0x11, 0x1c, 0x66, 18, 0, 0, 0x59, 0x05, 0x17, 0, 0, 0,
        0, 0, 0, 0xf8, 0x3f, 0,
    ];
    for speech in ALL.iter().filter(|it| it.protocol != "json") {
        let body = match speech.protocol {
            "compact" => compact,
            _ => binary,
        };
        let bytes = speech.message(CALL, "add", 1, body);
        let mut client = downstream();
        let asked = request(&mut *client, &bytes);
        for (name, value) in [
            ("arg.1", Some("-2")),
            ("arg.2.3", Some("hi")),
            ("arg.2.4", Some("true")),
            ("arg.2.5.6", Some("9")),
            ("arg.8", Some("1.5")),
            // A struct and a list have no value, and what is not there has none.
            ("arg.2", None),
            ("arg.7", None),
            ("arg.9", None),
            ("arg.1.1", None),
            ("arg.", None),
            ("arg.x", None),
            ("arg.1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17", None),
        ] {
            let found = attribute(&*client, whole(&bytes, &asked.memo), name);
            assert_eq!(found.as_deref(), value, "{speech:?} {name}");
        }
        // Of a message of which only the head was kept, arguments are not known.
        let head = Frame {
            whole: false,
            ..whole(&bytes, &asked.memo)
        };
        assert_eq!(attribute(&*client, head, "arg.1"), None);
    }
}

#[test]
fn arguments_of_recorded_calls_are_read() {
    for (name, path, value) in [
        ("py-framed-binary-string", "arg.1", "héllo"),
        ("py-framed-compact-string", "arg.1", "héllo"),
        ("py-buffered-lax-mux", "arg.1", "42"),
        ("py-header-binary-mux", "arg.1", "42"),
        ("py-framed-compact-oneway", "arg.1", "7"),
    ] {
        let bytes = golden::exchange(name).request;
        let mut client = downstream();
        let asked = request(&mut *client, &bytes);
        let found = attribute(&*client, whole(&bytes, &asked.memo), path);
        assert_eq!(found.as_deref(), Some(value), "{name}");
    }
}

/// Above what is kept, a message without a frame passes in pieces, each byte as it comes.
#[test]
fn a_large_message_without_a_frame_passes_in_pieces() {
    for protocol in ["binary", "lax", "compact"] {
        let speech = speech("buffered", protocol);
        let bytes = speech.message(CALL, "put", 5, &speech.text(1, &"x".repeat(700_000)));
        let mut client = downstream();
        let decoded = client.decode(&bytes[..4000], &mut Vec::new());
        let Ok(Decoded::Message(Message { size, event })) = decoded else {
            panic!("{decoded:?}");
        };
        assert_eq!(size, Size::Streamed);
        let FromClient::Request(asked) = event else {
            panic!("{event:?}");
        };
        let head = Frame {
            bytes: &bytes[..4000],
            whole: false,
            memo: &asked.memo,
        };
        let method = attribute(&*client, head, "method");
        assert_eq!(method.as_deref(), Some("put"));
        let mut at = 4000;
        while at < bytes.len() {
            let next = (at + 10_000).min(bytes.len());
            let end = next == bytes.len();
            let expected = if end { Body::End } else { Body::More };
            let piece = client.body(&bytes[at..next]);
            assert_eq!(piece, Ok(expected(next - at)));
            at = next;
        }
        assert!(client.body(b"more").is_err());
        request(&mut *client, &speech.call("next", 6));
    }
}

#[test]
fn what_is_larger_than_the_limit_is_refused_by_what_says_so() {
    for protocol in ["binary", "lax", "compact"] {
        let speech = speech("buffered", protocol);
        let over = speech.message(CALL, "put", 5, &speech.text(1, &"x".repeat(2000)));
        let small = Limits {
            whole: 100,
            frame: 1000,
        };
        let mut out = Vec::new();
        // The string's length is enough, none of it has to be there.
        let mut client = Thrift::default().downstream(small);
        assert!(client.decode(&over[..30], &mut out).is_err());
        assert!(!out.is_empty(), "the client waits for an answer");
        let mut server = Thrift::default().upstream(small, &meltemi_codec::Opening::default());
        let answer = speech.message(REPLY, "put", 5, &speech.text(0, &"x".repeat(2000)));
        let asked = Asked(meltemi_codec::Memo::default());
        assert!(server.decode(&answer[..30], &asked, &mut out).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However a message arrives, it is the same message, and no byte is asked for in vain.
    #[test]
    fn a_call_is_the_same_however_it_arrives(
        n in 0..ALL.len(),
        name in "[a-z]{1,20}(:[a-z]{1,9})?",
        seq in any::<i32>(),
        text in "[a-z ]{0,300}",
        step in 1_usize..50,
    ) {
        let speech = ALL[n];
        let bytes = speech.message(CALL, &name, seq, &speech.text(1, &text));
        let asked = request(&mut *downstream(), &bytes);
        prop_assert_eq!(asked.id, u64::from(seq.cast_unsigned()));
        let mut client = Thrift::default().downstream(limits());
        let mut there = step.min(bytes.len());
        let found = loop {
            match client.decode(&bytes[..there], &mut Vec::new()).unwrap() {
                Decoded::Incomplete { need } => {
                    prop_assert!(need > there && need <= bytes.len());
                    there = need.max(there + step).min(bytes.len());
                }
                found => break found,
            }
        };
        let size = Size::Known(bytes.len() as u64);
        let event = FromClient::Request(asked.clone());
        prop_assert_eq!(found, Decoded::Message(Message { size, event }));
        let method = attribute(&*client, whole(&bytes, &asked.memo), "method");
        let (_, expected) = name.split_once(':').unwrap_or(("", &name));
        prop_assert_eq!(method.as_deref(), Some(expected));
    }
}
