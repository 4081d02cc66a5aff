//! What a connection speaks, by its first bytes; and what is no Thrift.

use meltemi_codec::{Decoded, FromClient, Malformed, Protocol, Sniff, Status};
use meltemi_thrift::Thrift;

use crate::{
    legs::{attribute, configured, downstream, from_client, limits, request, whole},
    messages::{ALL, CALL, ONEWAY, REPLY, bare, framed, speech},
};

#[test]
fn the_first_call_names_transport_and_protocol() {
    for speech in ALL {
        let bytes = speech.call("hello", 7);
        assert_eq!(Thrift::default().sniff(&bytes), Sniff::Yes, "{speech:?}");
        let mut client = downstream();
        let asked = request(&mut *client, &bytes);
        let frame = whole(&bytes, &asked.memo);
        for (name, value) in [
            ("transport", speech.transport),
            ("protocol", speech.protocol),
            ("method", "hello"),
            ("type", "call"),
        ] {
            let found = attribute(&*client, frame, name);
            assert_eq!(found.as_deref(), Some(value), "{speech:?} {name}");
        }
        assert_eq!(attribute(&*client, frame, "service"), None);
        let session = asked.session.unwrap();
        let other = speech.message(ONEWAY, "other", 8, speech.nothing());
        assert_eq!(request(&mut *client, &other).session, Some(session));
    }
}

#[test]
fn ways_of_speaking_do_not_share_a_connection_to_a_server() {
    let mut sessions = Vec::new();
    for speech in ALL {
        let asked = request(&mut *downstream(), &speech.call("hello", 7));
        sessions.push(asked.session.unwrap().0);
    }
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), ALL.len());
}

#[test]
fn http_and_others_are_not_taken_for_thrift() {
    for bytes in [
        &b"POST /service HTTP/1.1\r\n"[..],
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"\xda\xbb\xc2\x00\x00\x00\x00\x00",
        b"[1,\"ping\",1,0,{}]",
        // Kitex' mesh header.
        b"\0\0\0\x40\xff\xaf\0\0",
        b"\0\0\0\0\0\0\0\0",
    ] {
        assert_eq!(Thrift::default().sniff(bytes), Sniff::No, "{bytes:x?}");
        let decoded = downstream().decode(bytes, &mut Vec::new());
        assert!(decoded.is_err(), "{bytes:x?} {decoded:?}");
    }
}

#[test]
fn a_connection_keeps_its_transport_and_may_change_its_protocol() {
    let mut client = downstream();
    request(&mut *client, &speech("framed", "binary").call("a", 1));
    request(&mut *client, &speech("framed", "compact").call("b", 2));
    request(&mut *client, &speech("framed", "json").call("c", 3));
    let header = speech("header", "binary").call("d", 4);
    assert!(client.decode(&header, &mut Vec::new()).is_err());

    let mut client = downstream();
    request(&mut *client, &speech("header", "binary").call("a", 1));
    request(&mut *client, &speech("header", "compact").call("b", 2));
    let framed = speech("framed", "binary").call("c", 3);
    assert!(client.decode(&framed, &mut Vec::new()).is_err());
}

#[test]
fn settings_fix_what_else_is_found_out() {
    for fixed in ALL {
        let settings = [("transport", fixed.transport), ("protocol", fixed.protocol)];
        let protocol = configured(&settings);
        for speech in ALL {
            let bytes = speech.call("hello", 7);
            let binary = |it: &str| it == "binary" || it == "lax";
            let same = speech.protocol == fixed.protocol
                || binary(speech.protocol) && binary(fixed.protocol);
            let fits = speech.transport == fixed.transport && same;
            let mut client = protocol.downstream(limits());
            let read = matches!(
                client.decode(&bytes, &mut Vec::new()),
                Ok(Decoded::Message(message)) if matches!(message.event, FromClient::Request(_))
            );
            assert_eq!(read, fits, "{speech:?} where {fixed:?} is fixed");
        }
    }
}

/// An empty frame is what a client that flushes twice sends.
#[test]
fn an_empty_frame_is_nothing() {
    let mut client = downstream();
    request(&mut *client, &speech("framed", "binary").call("a", 1));
    let decoded = client.decode(&framed(b""), &mut Vec::new());
    assert_eq!(decoded, Ok(Decoded::Skip { len: 4 }));
}

/// A message whose end is known costs only itself; the client is told.
#[test]
fn a_frame_that_cannot_be_read_costs_only_itself() {
    for speech in ALL.iter().filter(|it| it.transport != "buffered") {
        let mut client = downstream();
        request(&mut *client, &speech.call("a", 1));
        let message = match speech.protocol {
            "json" => b"[2,\"a\",1,1,{}]".to_vec(),
            "compact" => b"\x82\x22\x01\x01a\0".to_vec(),
            "lax" => bare("lax", 9, "a", 1, &[0]),
            _ => bare("binary", 9, "a", 1, &[0]),
        };
        let bytes = speech.with_headers(&[], &message, 1);
        let (event, _) = from_client(&mut *client, &bytes);
        let FromClient::Refused { status, .. } = event else {
            panic!("{speech:?} {event:?}");
        };
        assert_eq!(status, Status::Malformed);
        request(&mut *client, &speech.call("b", 2));
    }
}

/// Without a frame the connection ends; the client is told why, if it waits for an answer.
#[test]
fn a_message_without_a_frame_that_cannot_be_read_ends_the_connection() {
    for protocol in ["binary", "lax", "compact"] {
        let speech = speech("buffered", protocol);
        let deep = match protocol {
            "compact" => [0x1c].repeat(70),
            _ => [12, 0, 1].repeat(70),
        };
        let unknown = vec![0x7f; 2];
        for (kind, body, told) in [
            (CALL, &unknown, true),
            (CALL, &deep, true),
            (REPLY, &unknown, true),
            (ONEWAY, &unknown, false),
        ] {
            let bytes = speech.message(kind, "m", 3, body);
            let mut out = Vec::new();
            let decoded = downstream().decode(&bytes, &mut out);
            let Err(Malformed { reason }) = decoded else {
                panic!("{decoded:?}");
            };
            let says = out.windows(reason.len()).any(|it| it == reason.as_bytes());
            assert_eq!((says, out.is_empty()), (told, !told), "{protocol} {reason}");
        }
    }
}
