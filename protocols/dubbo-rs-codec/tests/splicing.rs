//! Edited frames, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/frames.rs"]
mod frames;

use dubbo_rs_codec::encode::{Call, Returned, write_result};
use dubbo_rs_codec::{
    BodyFormat, Edit, Header, Kind, Response, SerializationId, SpliceError, Status, splice,
};
use frames::{CALL, encoded, request_body, request_header, whole};

#[test]
fn splicing_keeps_every_other_byte() {
    let edits = [
        Edit::Set {
            key: "group",
            value: "green",
        },
        Edit::Remove { key: "gone" },
        Edit::Add {
            key: "tag",
            value: "t",
        },
        Edit::Add {
            key: "kept",
            value: "other",
        },
    ];
    let call = Call {
        attachments: &[
            ("gone", "1"),
            ("kept", "k"),
            ("group", "blue"),
            ("last", "l"),
        ],
        ..CALL
    };
    let expected = Call {
        attachments: &[
            ("kept", "k"),
            ("last", "l"),
            ("group", "green"),
            ("tag", "t"),
        ],
        ..CALL
    };
    for format in [BodyFormat::Hessian2, BodyFormat::Fastjson2] {
        let bytes = encoded(format, &call);
        let frame = whole(&bytes);
        let mut out = Vec::new();
        splice(&frame.header, frame.body, &edits, &mut out).unwrap();
        assert_eq!(out, encoded(format, &expected), "{format:?}");
    }
}

#[test]
fn splicing_makes_a_map_where_there_is_none() {
    let edits = [Edit::Add {
        key: "a",
        value: "b",
    }];
    for (attachments, expected) in [
        (&b""[..], &b"H\x01a\x01bZ"[..]),
        (b"N", b"H\x01a\x01bZ"),
        (b"HZ", b"H\x01a\x01bZ"),
        (b"M\x03x.Y\x01c\x01dZ", b"M\x03x.Y\x01c\x01d\x01a\x01bZ"),
    ] {
        let body = request_body(|out| out.extend_from_slice(attachments));
        let header = request_header(SerializationId::HESSIAN2, Kind::Request);
        let mut out = Vec::new();
        splice(&header, &body, &edits, &mut out).unwrap();
        let expected = request_body(|out| out.extend_from_slice(expected));
        assert_eq!(whole(&out).body, expected);
    }
}

#[test]
fn splicing_edits_responses_that_have_room() {
    let edits = [Edit::Set {
        key: "via",
        value: "proxy",
    }];
    for format in [BodyFormat::Hessian2, BodyFormat::Fastjson2] {
        for returned in [Returned::Null, Returned::Text("hi")] {
            let (mut bytes, mut expected, mut out) = (Vec::new(), Vec::new(), Vec::new());
            write_result(format, 7, returned, &[("dubbo", "2.0.2")], &mut bytes);
            let both = [("dubbo", "2.0.2"), ("via", "proxy")];
            write_result(format, 7, returned, &both, &mut expected);
            let frame = whole(&bytes);
            splice(&frame.header, frame.body, &edits, &mut out).unwrap();
            assert_eq!(out, expected);
            let Response::Result(result) = Response::parse(&frame.header, frame.body).unwrap()
            else {
                panic!("a result");
            };
            let version = result.attachments().unwrap().get("dubbo").unwrap();
            assert_eq!(version.unwrap().text().unwrap(), "2.0.2");
        }
    }
}

#[test]
fn splicing_leaves_alone_what_it_cannot_edit() {
    let set = [Edit::Set {
        key: "a",
        value: "b",
    }];
    let remove = [Edit::Remove { key: "a" }];
    let request = request_header(SerializationId::HESSIAN2, Kind::Request);
    let response = Header {
        status: Status::OK,
        ..request_header(SerializationId::HESSIAN2, Kind::Response)
    };
    let event = request_header(SerializationId::HESSIAN2, Kind::Event { two_way: true });
    let reference = request_body(|out| out.extend_from_slice(b"\x51\x90"));
    let object = request_body(|out| out.extend_from_slice(b"C\x01M\x90\x60"));
    let number = request_body(|out| out.extend_from_slice(b"H\x01a\x91Z"));
    for (header, body, edits, error) in [
        (request, &reference[..], set, SpliceError::NotAMap),
        (request, &object, set, SpliceError::NotAMap),
        (request, &number, remove, SpliceError::NotAString),
        (response, b"\x91\x01v", set, SpliceError::NoAttachments),
        (
            Header {
                status: Status::BAD_REQUEST,
                ..response
            },
            b"\x01v",
            set,
            SpliceError::NoAttachments,
        ),
        (event, b"N", set, SpliceError::NoAttachments),
    ] {
        let mut out = Vec::new();
        assert_eq!(splice(&header, body, &edits, &mut out), Err(error));
        assert!(out.is_empty());
    }
}
