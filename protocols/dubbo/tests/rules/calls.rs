//! Rules 6 to 9: limits, callbacks, generic invocations, deadlines; and bodies that are too much.

use std::time::Duration;

use dubbo_rs_codec::{
    BodyFormat, HEADER_LEN, Header, Kind, Response, SerializationId, Status, encode,
    hessian2::{write_int, write_string},
};
use meltemi_codec::{
    Answers, Decoded, EditRefused, Frame, FromClient, FromServer, Limits, Message, Pin, Protocol,
    Size, Status as Reason,
};
use meltemi_dubbo::Dubbo;
use proptest::prelude::*;

use crate::{
    frames::{
        BOTH, ID, attribute, body, call, downstream, frame, from_client, from_server, header,
        limits, request, upstream, whole,
    },
    golden,
};

/// Dubbo's `payload`, which does not count the header.
const PAYLOAD: u32 = 8 * 1024 * 1024;

/// A hessian2 call without arguments whose attachments `write` writes.
fn attached(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    for text in ["2.0.2", "demo.Greeter", "0.0.0", "hello", ""] {
        write_string(&mut body, text);
    }
    body.push(b'H');
    write(&mut body);
    body.push(b'Z');
    frame(Kind::Request, SerializationId::HESSIAN2, &body)
}

#[test]
fn rule_6_a_call_over_the_limit_is_refused_by_its_header_and_skipped() {
    assert_eq!(Dubbo.traits().frame_limit, u64::from(PAYLOAD) + 16);
    for (kind, answers) in [(Kind::Request, Answers::One), (Kind::Oneway, Answers::None)] {
        let just = Header {
            body_len: PAYLOAD,
            ..header(kind, SerializationId::HESSIAN2, &[])
        };
        let decoded = downstream().decode(&just.to_bytes(), &mut Vec::new());
        assert_eq!(decoded, Ok(Decoded::Incomplete { need: 4096 }));

        let over = Header {
            body_len: PAYLOAD + 1,
            ..just
        };
        let decoded = downstream().decode(&over.to_bytes(), &mut Vec::new());
        let Ok(Decoded::Message(Message {
            size,
            event: FromClient::Refused {
                request, status, ..
            },
        })) = decoded
        else {
            panic!("{decoded:?}");
        };
        assert_eq!(size, Size::Known(u64::from(PAYLOAD) + 1 + 16));
        assert_eq!(status, Reason::TooLarge);
        assert_eq!((request.id, request.answers), (ID, answers));
    }
}

#[test]
fn rule_6_an_answer_over_the_limit_ends_the_connection() {
    let over = Header {
        body_len: PAYLOAD + 1,
        status: Status::OK,
        ..header(Kind::Response, SerializationId::HESSIAN2, &[])
    };
    assert!(
        upstream()
            .decode(&over.to_bytes(), &(), &mut Vec::new())
            .is_err()
    );
}

#[test]
fn rule_7_a_callback_argument_pins_the_connection() {
    for format in BOTH {
        let callback = call(format, "listener", &[("sys_callback_arg-0", "1812")]);
        assert_eq!(request(&mut *downstream(), &callback).pin, Pin::UntilClose);
        // An argument that only says so does not.
        let quoted = call(
            format,
            "sys_callback_arg-0",
            &[("note", "sys_callback_arg-0")],
        );
        assert_eq!(request(&mut *downstream(), &quoted).pin, Pin::None);
        // Nor does the size of the call matter, as long as it is kept.
        let long = "x".repeat(40_000);
        let callback = call(format, &long, &[("sys_callback_arg-0", "1812")]);
        assert_eq!(request(&mut *downstream(), &callback).pin, Pin::UntilClose);
    }
    let opaque = frame(
        Kind::Request,
        SerializationId::KRYO,
        b"..sys_callback_arg-1..",
    );
    assert_eq!(request(&mut *downstream(), &opaque).pin, Pin::UntilClose);
}

#[test]
fn rule_7_a_call_of_the_provider_reaches_the_consumer_and_its_answer_the_provider() {
    for format in BOTH {
        let news = call(format, "news", &[("timeout", "250")]);
        let (event, out) = from_server(&mut *upstream(), &news);
        let FromServer::Call(asked) = event else {
            panic!("{event:?}");
        };
        assert!(out.is_empty());
        assert_eq!((asked.id, asked.answers), (ID, Answers::One));
        assert_eq!(asked.deadline, Some(Duration::from_millis(250)));

        let mut there = Vec::new();
        downstream().call(9, whole(&news, &asked.memo), &mut there);
        assert_eq!(
            (&there[12..], there[4..12].to_vec()),
            (&news[12..], 9_u64.to_be_bytes().into())
        );

        let mut answer = Vec::new();
        encode::write_result(format, 9, encode::Returned::Null, &[], &mut answer);
        let (event, out) = from_client(&mut *downstream(), &answer);
        assert_eq!((event, out), (FromClient::Response { id: 9 }, vec![]));
        let mut back = Vec::new();
        upstream().respond(ID, whole(&answer, &asked.memo), &mut back);
        assert_eq!(
            (&back[12..], back[4..12].to_vec()),
            (&answer[12..], ID.to_be_bytes().into())
        );
    }
}

#[test]
fn rule_7_a_call_that_no_consumer_can_take_is_refused_in_its_serialization() {
    for format in BOTH {
        let news = call(format, "news", &[]);
        let FromServer::Call(asked) = from_server(&mut *upstream(), &news).0 else {
            panic!("no call");
        };
        let mut out = Vec::new();
        upstream().refuse(&asked, &mut out);
        let header = Header::parse(&out).unwrap().unwrap();
        assert_eq!((header.id, header.status), (ID, Status::SERVICE_NOT_FOUND));
        assert_eq!(header.serialization.0, news[2] & 0x1f);
        let Ok(Response::Error { message, .. }) = Response::parse(&header, body(&out)) else {
            panic!("no error");
        };
        assert!(message.decode().contains("callback"));
    }
}

#[test]
fn rule_8_the_method_of_a_generic_invocation_is_its_first_argument() {
    let generic = golden::frame("3333-generic-invoke-string-request").bytes;
    let mut codec = downstream();
    let asked = request(&mut *codec, &generic);
    let frame = whole(&generic, &asked.memo);
    assert_eq!(attribute(&*codec, frame, "method").as_deref(), Some("str"));
    assert_eq!(
        attribute(&*codec, frame, "generic").as_deref(),
        Some("true")
    );

    let probe = golden::frame("3333-echo-probe-request").bytes;
    let asked = request(&mut *codec, &probe);
    let method = attribute(&*codec, whole(&probe, &asked.memo), "method");
    assert_eq!(method.as_deref(), Some("$echo"));
}

#[test]
fn rule_9_the_deadline_is_the_shorter_of_timeout_and_countdown() {
    let countdown_long = |out: &mut Vec<u8>| {
        write_string(out, "_TO");
        out.push(b'L');
        out.extend_from_slice(&700_i64.to_be_bytes());
    };
    let timeout_int = |out: &mut Vec<u8>| {
        write_string(out, "timeout");
        write_int(out, 900);
    };
    let timeout_text = |text: &'static str| {
        move |out: &mut Vec<u8>| {
            write_string(out, "timeout");
            write_string(out, text);
        }
    };
    let nested = |out: &mut Vec<u8>| {
        write_string(out, "tags");
        out.extend_from_slice(b"H\x01a\x01bZ");
    };
    let millis = |millis| Some(Duration::from_millis(millis));
    let deadline = |frame: Vec<u8>| request(&mut *downstream(), &frame).deadline;
    assert_eq!(deadline(attached(|_| {})), None);
    assert_eq!(deadline(attached(timeout_text("3000"))), millis(3000));
    assert_eq!(deadline(attached(timeout_text("0"))), None);
    assert_eq!(deadline(attached(timeout_text("soon"))), None);
    assert_eq!(deadline(attached(timeout_int)), millis(900));
    assert_eq!(deadline(attached(countdown_long)), millis(700));
    let both = |out: &mut Vec<u8>| {
        nested(out);
        countdown_long(out);
        timeout_int(out);
    };
    let all = attached(both);
    assert_eq!(deadline(all.clone()), millis(700));

    // What is left is passed on in both, as far as they say more.
    for (left, said) in [(650, 650), (1, 1)] {
        let mut client = downstream();
        let asked = request(&mut *client, &all);
        let mut out = Vec::new();
        let left = Duration::from_millis(left);
        client
            .pass_deadline(whole(&all, &asked.memo), left, &mut out)
            .unwrap();
        let passed = request(&mut *client, &out);
        assert_eq!(passed.deadline, millis(said));
        let said = said.to_string();
        let told = |name| attribute(&*client, whole(&out, &passed.memo), name);
        assert_eq!(told("timeout"), Some(said.clone()));
        assert_eq!(told("_TO"), Some(said));
    }
}

#[test]
fn rule_9_the_attachments_of_a_long_body_are_read_only_if_asked_for() {
    for format in BOTH {
        let long = "größer ".repeat(3000);
        let bytes = call(format, &long, &[("timeout", "250"), ("group", "blue")]);
        let mut codec = downstream();
        let asked = request(&mut *codec, &bytes);
        assert_eq!(asked.deadline, None);
        let frame = whole(&bytes, &asked.memo);
        assert_eq!(attribute(&*codec, frame, "group").as_deref(), Some("blue"));
        assert_eq!(attribute(&*codec, frame, "timeout").as_deref(), Some("250"));
    }
}

#[test]
fn attributes_do_not_depend_on_whether_another_call_came_since() {
    for format in BOTH {
        let attachments = [
            ("interface", "demo.Other"),
            ("group", ""),
            ("tag", "größer"),
        ];
        let bytes = call(format, "world", &attachments);
        let mut codec = downstream();
        let asked = request(&mut *codec, &bytes);
        let later = call(format, "a longer argument", &[]);
        for round in 0..2 {
            let frame = whole(&bytes, &asked.memo);
            for (name, value) in [
                ("interface", Some("demo.Other")),
                ("method", Some("hello")),
                ("version", Some("1.0.0")),
                ("group", None),
                ("tag", Some("größer")),
                ("absent", None),
                ("dubbo", Some("2.0.2")),
            ] {
                let found = attribute(&*codec, frame, name);
                assert_eq!(found.as_deref(), value, "{name}, round {round}");
            }
            request(&mut *codec, &later);
        }
    }
}

#[test]
fn a_call_without_version_is_0_0_0_whatever_its_consumer_writes() {
    let mut null = attached(|_| {});
    // The version of these frames is the string of five characters behind the path.
    let at = null.windows(6).position(|it| it == b"\x050.0.0").unwrap();
    null.splice(at..at + 6, *b"N");
    let len = u32::try_from(null.len() - HEADER_LEN).unwrap();
    null[12..16].copy_from_slice(&len.to_be_bytes());
    for bytes in [
        null,
        golden::frame("go33-go-pojo-request").bytes,
        golden::frame("3333-string-request").bytes,
    ] {
        let mut codec = downstream();
        let asked = request(&mut *codec, &bytes);
        let version = attribute(&*codec, whole(&bytes, &asked.memo), "version");
        assert_eq!(version.as_deref(), Some("0.0.0"));
    }
}

#[test]
fn a_body_that_cannot_be_read_costs_only_its_call() {
    let cut = attached(|out| out.push(0x43));
    let mut codec = downstream();
    for bad in [
        cut,
        frame(Kind::Request, SerializationId::HESSIAN2, b"\xffnonsense"),
        frame(Kind::Request, SerializationId::HESSIAN2, b""),
        frame(Kind::Request, SerializationId::FASTJSON2, &[0, 0, 1, 0, 1]),
    ] {
        let (event, out) = from_client(&mut *codec, &bad);
        let FromClient::Refused {
            request, status, ..
        } = event
        else {
            panic!("{event:?}");
        };
        assert_eq!((request.id, status), (ID, Reason::Malformed));
        assert!(out.is_empty());
    }
    request(&mut *codec, &call(BodyFormat::Hessian2, "still here", &[]));
}

#[test]
fn a_call_whose_serialization_cannot_be_read_is_known_by_its_header() {
    let bytes = golden::frame("2727-ser-kryo-string-request").bytes;
    let mut codec = downstream();
    let asked = request(&mut *codec, &bytes);
    assert_eq!((asked.answers, asked.pin), (Answers::One, Pin::None));
    let frame = whole(&bytes, &asked.memo);
    let known = |name| attribute(&*codec, frame, name);
    assert_eq!(known("serialization").as_deref(), Some("kryo"));
    for name in [
        "interface",
        "method",
        "version",
        "group",
        "application",
        "dubbo",
        "timeout",
    ] {
        assert_eq!(known(name), None, "{name}");
    }
    let mut out = Vec::new();
    assert_eq!(codec.edit(frame, &[], &mut out), Err(EditRefused::NoPlace));
}

#[test]
fn a_large_call_is_known_by_its_head() {
    for format in BOTH {
        let bytes = call(format, &"x".repeat(300_000), &[("group", "blue")]);
        let mut codec = downstream();
        let need = 4096;
        let decoded = codec.decode(&bytes[..need - 1], &mut Vec::new());
        assert_eq!(decoded, Ok(Decoded::Incomplete { need }));
        let head = &bytes[..need];
        let (event, _) = match codec.decode(head, &mut Vec::new()) {
            Ok(Decoded::Message(Message { size, event })) => (event, size),
            other => panic!("{other:?}"),
        };
        let FromClient::Request(asked) = event else {
            panic!("{event:?}");
        };
        let frame = Frame {
            bytes: head,
            whole: false,
            memo: &asked.memo,
        };
        let known = |name| attribute(&*codec, frame, name);
        assert_eq!(known("interface").as_deref(), Some("demo.Greeter"));
        assert_eq!(known("method").as_deref(), Some("hello"));
        assert_eq!(known("version").as_deref(), Some("1.0.0"));
        assert_eq!(known("group"), None);
        assert_eq!(
            codec.edit(frame, &[], &mut Vec::new()),
            Err(EditRefused::TooLarge)
        );
    }
}

#[test]
fn a_head_of_long_strings_is_waited_for_up_to_a_bound() {
    let named = |len: usize| {
        let mut body = Vec::new();
        for text in ["2.0.2", &"p".repeat(len), "0.0.0", "hello", "I"] {
            write_string(&mut body, text);
        }
        body.resize(300_000, 0x90);
        frame(Kind::Request, SerializationId::HESSIAN2, &body)
    };
    let decode = |bytes: &[u8]| downstream().decode(bytes, &mut Vec::new()).unwrap();
    let long = named(30_000);
    assert_eq!(decode(&long[..4096]), Decoded::Incomplete { need: 65_536 });
    let Decoded::Message(Message { event, .. }) = decode(&long[..65_536]) else {
        panic!("waits");
    };
    assert!(matches!(event, FromClient::Request(_)));
    let Decoded::Message(Message { event, .. }) = decode(&named(70_000)[..65_536]) else {
        panic!("waits");
    };
    assert!(matches!(
        event,
        FromClient::Refused {
            status: Reason::Malformed,
            ..
        }
    ));
}

proptest! {
    /// Where the network cuts a large call decides nothing but how much of its head is there.
    #[test]
    fn a_large_call_is_the_same_however_it_is_cut(len in 5000_usize..9000, more in 0_usize..5000) {
        let bytes = call(BodyFormat::Hessian2, &"x".repeat(len), &[("timeout", "5")]);
        let limits = Limits { whole: 1024, ..limits() };
        let decode = |bytes: &[u8]| Dubbo.downstream(limits).decode(bytes, &mut Vec::new());
        let longer = (4096 + more).min(bytes.len() - 1);
        prop_assert_eq!(decode(&bytes[..4096]), decode(&bytes[..longer]));
    }
}
