//! The rules of the Dubbo2 wire that a proxy must honour, each with a test that names it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frames.rs"]
mod frames;

use dubbo_rs_codec::encode::Call;
use dubbo_rs_codec::hessian2::{Reader, write_int, write_string};
use dubbo_rs_codec::reply::{self, Event};
use dubbo_rs_codec::request::may_have_callback_arguments;
use dubbo_rs_codec::{
    BadMagic, BodyFormat, Edit, Frame, Header, Kind, Request, RequestError, Response,
    SerializationId, SpliceError, Status, Timeouts, header, patch_id, splice,
};
use frames::{CALL, encoded, request_body, request_header, whole};

fn parse(body: &[u8]) -> Request<'_> {
    Request::parse(SerializationId::HESSIAN2, body).unwrap()
}

#[test]
fn rule_1_local_replies_use_the_serialization_of_the_request() {
    for (serialization, body) in [
        (SerializationId::HESSIAN2, &b"\x08no route"[..]),
        (SerializationId::FASTJSON2, b"\0\0\0\x09\x51no route"),
        (SerializationId::JAVA, b""),
        (SerializationId::KRYO, b""),
        (SerializationId(31), b""),
    ] {
        let request = request_header(serialization, Kind::Request);
        let mut out = Vec::new();
        assert!(reply::write_error(
            &request,
            Status::SERVICE_NOT_FOUND,
            "no route",
            &mut out
        ));
        let frame = whole(&out);
        assert_eq!(out[..4], [0xda, 0xbb, serialization.0, 60]);
        assert_eq!(frame.body, body, "{serialization}");
        assert_eq!(frame.header.id, request.id);
        if BodyFormat::of(serialization).is_some() {
            let response = Response::parse(&frame.header, frame.body).unwrap();
            let Response::Error { status, message } = response else {
                panic!("{response:?}");
            };
            assert_eq!(
                (status, &*message.decode()),
                (Status::SERVICE_NOT_FOUND, "no route")
            );
        }
    }
}

#[test]
fn rule_2_only_two_way_frames_are_answered() {
    for kind in [
        Kind::Oneway,
        Kind::Response,
        Kind::EventAnswer,
        Kind::Event { two_way: false },
    ] {
        let header = request_header(SerializationId::HESSIAN2, kind);
        let mut out = Vec::new();
        assert!(
            !reply::write_error(&header, Status::SERVER_ERROR, "", &mut out),
            "{kind:?}"
        );
        assert!(
            !reply::write_heartbeat_answer(&header, &mut out),
            "{kind:?}"
        );
        assert!(!header.expects_answer());
        assert!(out.is_empty());
    }
}

#[test]
fn rule_2_heartbeats_hold_the_null_of_their_serialization() {
    for (serialization, null) in [
        (SerializationId::HESSIAN2, &b"N"[..]),
        (SerializationId::FASTJSON2, b"\0\0\0\x01\xaf"),
        (SerializationId::JAVA, b"\xac\xed\0\x05\x77\x01\0"),
        (SerializationId::COMPACTED_JAVA, b"\xac\xed\0\x05\x77\x01\0"),
        (SerializationId::NATIVE_JAVA, b"\xac\xed\0\x05\x70"),
        (SerializationId::KRYO, b"\0"),
        (SerializationId::FASTJSON, b"null\n"),
        (SerializationId::GSON, b"null\n"),
        (SerializationId::PROTOBUF, b""),
    ] {
        let mut out = Vec::new();
        reply::write_heartbeat(serialization, 9, &mut out);
        let beat = whole(&out);
        assert_eq!(out[2], 0xe0 | serialization.0);
        assert_eq!(beat.body, null, "{serialization}");
        assert_eq!(
            reply::read_event(serialization, beat.body),
            Event::Heartbeat
        );

        let mut answer = Vec::new();
        assert!(reply::write_heartbeat_answer(&beat.header, &mut answer));
        assert_eq!(answer[..4], [0xda, 0xbb, 0x20 | serialization.0, 20]);
        let answer = whole(&answer);
        assert_eq!((answer.header.id, answer.body), (9, null));
    }
}

#[test]
fn rule_3_readonly_is_told_from_a_heartbeat_and_is_short() {
    for (asked, written, body) in [
        (
            SerializationId::HESSIAN2,
            SerializationId::HESSIAN2,
            &b"\x01R"[..],
        ),
        (
            SerializationId::FASTJSON2,
            SerializationId::FASTJSON2,
            b"\0\0\0\x02\x4aR",
        ),
        (SerializationId::KRYO, SerializationId::HESSIAN2, b"\x01R"),
    ] {
        let mut out = Vec::new();
        reply::write_readonly(asked, 0, &mut out);
        let frame = whole(&out);
        assert_eq!(frame.header.kind, Kind::Event { two_way: false });
        assert_eq!(frame.header.serialization, written);
        assert_eq!(frame.body, body);
        assert!(frame.body.len() <= 15, "Java rejects longer events");
        assert_eq!(reply::read_event(written, frame.body), Event::Readonly);
    }
    assert_eq!(
        reply::read_event(SerializationId::HESSIAN2, b"\x01W"),
        Event::Writable
    );
    assert_eq!(
        reply::read_event(SerializationId::HESSIAN2, b"\x01X"),
        Event::Other
    );
}

#[test]
fn rule_4_ids_are_any_64_bits_and_change_in_place() {
    let mut bytes = encoded(BodyFormat::Hessian2, &CALL);
    let before = bytes.clone();
    for id in [0, u64::MAX, i64::MIN as u64, 42] {
        assert!(patch_id(&mut bytes, id));
        assert_eq!(whole(&bytes).header.id, id);
        assert_eq!(bytes[..4], before[..4]);
        assert_eq!(bytes[12..], before[12..]);
    }
    assert!(!patch_id(&mut bytes[..15], 1));
}

#[test]
fn rule_5_garbage_is_seen_at_its_first_byte() {
    assert_eq!(Header::parse(b""), Ok(None));
    assert_eq!(Header::parse(b"\xda"), Ok(None));
    assert_eq!(Header::parse(&[0xda, 0xbb, 0xc2]), Ok(None));
    for garbage in [&b"G"[..], b"\xda\xba", b"GET / HTTP/1.1\r\n\r\n", b"telnet"] {
        assert_eq!(Header::parse(garbage), Err(BadMagic));
        assert!(Frame::split(garbage).is_err());
    }
}

#[test]
fn rule_6_the_length_is_known_before_the_body() {
    let mut header = request_header(SerializationId::HESSIAN2, Kind::Request);
    header.body_len = header::DEFAULT_PAYLOAD_LIMIT + 1;
    let bytes = header.to_bytes();
    assert_eq!(Header::parse(&bytes), Ok(Some(header)));
    assert_eq!(header.frame_len(), 8_388_609 + 16);
    assert!(Frame::split(&bytes).unwrap().is_none());
}

#[test]
fn rule_7_calls_from_the_provider_and_callback_arguments_are_seen() {
    // A callback is a request; only its direction tells it apart, and its version is null.
    let body = request_body(|_| ());
    assert_eq!(
        parse(&body).version().map(|text| text.decode()),
        Some("0.0.0".into())
    );
    let mut callback = Vec::new();
    write_string(&mut callback, "2.0.2");
    write_string(&mut callback, "demo.Listener");
    callback.push(b'N');
    write_string(&mut callback, "changed");
    write_string(&mut callback, "");
    assert!(parse(&callback).version().is_none());

    let with_callback = Call {
        attachments: &[("sys_callback_arg-1", "1748")],
        ..CALL
    };
    for format in [BodyFormat::Hessian2, BodyFormat::Fastjson2] {
        assert!(may_have_callback_arguments(&encoded(
            format,
            &with_callback
        )));
        assert!(!may_have_callback_arguments(&encoded(format, &CALL)));
    }
}

#[test]
fn rule_8_the_method_of_a_generic_call_is_its_first_argument() {
    let generic = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;";
    for (method, descriptor, runs, is_generic) in [
        ("$invoke", generic, "greet", true),
        ("$invokeAsync", generic, "greet", true),
        ("$invoke", "Ljava/lang/String;", "$invoke", false),
        ("hello", generic, "hello", false),
    ] {
        let mut body = Vec::new();
        for text in ["2.0.2", "demo.Greeter", "", method, descriptor, "greet"] {
            write_string(&mut body, text);
        }
        let request = parse(&body);
        assert_eq!(request.is_generic(), is_generic, "{method} {descriptor}");
        assert_eq!(request.invoked_method().unwrap(), runs);
        assert!(!request.is_echo());
    }
    let echo = Call {
        method: "$echo",
        ..CALL
    };
    assert!(parse(whole(&encoded(BodyFormat::Hessian2, &echo)).body).is_echo());
}

#[test]
fn rule_9_deadlines_are_strings_ints_or_longs_among_other_values() {
    let body = request_body(|out| {
        out.push(b'H');
        write_string(out, "nested");
        out.extend_from_slice(b"H\x01a\x57\x91\x92ZZ");
        write_int(out, 5);
        write_string(out, "a key that is no string");
        write_string(out, "timeout");
        out.push(b'I');
        out.extend_from_slice(&3000_i32.to_be_bytes());
        write_string(out, "_TO");
        out.push(b'L');
        out.extend_from_slice(&1500_i64.to_be_bytes());
        out.push(b'Z');
    });
    let timeouts = parse(&body).timeouts().unwrap();
    let expected = Timeouts {
        timeout: Some(3000),
        countdown: Some(1500),
    };
    assert_eq!(timeouts, expected);
    assert_eq!(timeouts.deadline_millis(), Some(1500));

    for (timeout, countdown, deadline) in [
        (None, None, None),
        (Some(200), None, Some(200)),
        (Some(200), Some(900), Some(200)),
        (Some(0), None, None),
        (Some(-1), Some(70), Some(70)),
        (Some(200), Some(-5), Some(0)),
    ] {
        let timeouts = Timeouts { timeout, countdown };
        assert_eq!(timeouts.deadline_millis(), deadline, "{timeouts:?}");
    }
}

#[test]
fn of_equal_keys_the_last_counts_as_in_java() {
    let call = Call {
        attachments: &[("group", "a"), ("group", "b")],
        ..CALL
    };
    for format in [BodyFormat::Hessian2, BodyFormat::Fastjson2] {
        let bytes = encoded(format, &call);
        let frame = whole(&bytes);
        let request = Request::parse(frame.header.serialization, frame.body).unwrap();
        let group = request.attachments().unwrap().get("group").unwrap();
        assert_eq!(group.unwrap().text().unwrap(), "b");
    }
}

#[test]
fn the_interface_is_the_attachment_else_the_path() {
    for (attachments, interface) in [
        (&[("interface", "demo.Other")][..], "demo.Other"),
        (&[("interface", "")], "demo.Greeter"),
        (&[], "demo.Greeter"),
    ] {
        let bytes = encoded(
            BodyFormat::Hessian2,
            &Call {
                attachments,
                ..CALL
            },
        );
        assert_eq!(parse(whole(&bytes).body).interface().unwrap(), interface);
    }
}

#[test]
fn bodies_of_other_serializations_are_opaque() {
    let header = request_header(SerializationId::PROTOBUF, Kind::Request);
    let error = Request::parse(header.serialization, b"\x05").unwrap_err();
    assert_eq!(error, RequestError::Opaque(SerializationId::PROTOBUF));
    let edit = [Edit::Set {
        key: "a",
        value: "b",
    }];
    let spliced = splice(&header, b"\x05", &edit, &mut Vec::new());
    assert_eq!(spliced, Err(SpliceError::Opaque(SerializationId::PROTOBUF)));
}

#[test]
fn an_object_among_the_attachments_may_use_a_class_of_the_arguments() {
    let mut body = Vec::new();
    for text in ["2.0.2", "p", "", "m", "La/B;"] {
        write_string(&mut body, text);
    }
    // Class a.B of one field, an object of it; then {object: another of it, group: g}.
    body.extend_from_slice(b"C\x03a.B\x91\x01f\x60\x91");
    body.extend_from_slice(b"H\x06object\x60\x92\x05group\x01gZ");
    let mut request = parse(&body);
    assert_eq!(request.locate_attachments(), Ok(body.len() - 19));
    let again = Request::with_layout(&body, request.layout());
    for request in [parse(&body), again] {
        let [object, group] = request
            .attachments()
            .unwrap()
            .pick(["object", "group"])
            .unwrap();
        assert!(object.unwrap().text().is_none());
        assert_eq!(group.unwrap().text().unwrap(), "g");
    }
}

#[test]
fn strings_are_cesu_8_and_count_utf_16_units() {
    let mut out = Vec::new();
    write_string(&mut out, "a😀");
    assert_eq!(out, b"\x03a\xed\xa0\xbd\xed\xb8\x80");
    for (bytes, text) in [
        (&b"\x03a\xed\xa0\xbd\xed\xb8\x80"[..], "a😀"),
        // Four-byte UTF-8 is tolerated, as two units.
        (b"\x03a\xf0\x9f\x98\x80", "a😀"),
        // What Java reads from an overlong sequence is what is compared.
        (b"\x01\xc1\xa1", "a"),
        // An unpaired surrogate has no equal in Rust.
        (b"\x01\xed\xa0\xbd", "\u{fffd}"),
        // A pair may be split over two chunks.
        (b"R\x00\x01\xed\xa0\xbd\x01\xed\xb8\x80", "😀"),
        (b"R\x00\x02abS\x00\x01c", "abc"),
    ] {
        let mut reader = Reader::new(bytes);
        assert_eq!(
            reader.string().unwrap().unwrap().decode(),
            text,
            "{bytes:x?}"
        );
        assert!(reader.is_at_end());
        let mut reader = Reader::new(bytes);
        reader.skip().unwrap();
        assert!(reader.is_at_end());
    }
}
