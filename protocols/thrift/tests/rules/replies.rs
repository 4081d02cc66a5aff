//! What the proxy says itself: in the client's own transport and protocol.

use meltemi_codec::{FromClient, LocalReply, Memo, Status};
use thrift::{
    ApplicationError, ApplicationErrorKind,
    protocol::{TBinaryInputProtocol, TCompactInputProtocol, TInputProtocol, TMessageType},
};

use crate::{
    legs::{downstream, from_client, local_reply, request},
    messages::{ALL, CALL, EXCEPTION, ONEWAY, REPLY, Speech, bare, framed, headed, speech},
};

const TOLD: [(Status, u32, &str); 13] = [
    (Status::NoRoute, 1, "no-route"),
    (Status::NoHealthyUpstream, 6, "no-healthy-upstream"),
    (Status::ConnectFailure, 6, "connect-failure"),
    (Status::UpstreamReset, 6, "upstream-reset"),
    (Status::UpstreamMalformed, 6, "upstream-malformed"),
    (Status::Timeout, 6, "timeout"),
    (Status::RateLimited, 6, "rate-limited"),
    (Status::Overloaded, 6, "overloaded"),
    (Status::Denied, 6, "denied"),
    (Status::Malformed, 7, "malformed"),
    (Status::TooLarge, 7, "too-large"),
    (Status::Unsupported, 2, "unsupported"),
    (Status::ShuttingDown, 6, "shutting-down"),
];

const MESSAGE: &str = "no route of shop/\"cart\"";

/// The bytes of an exception, made for this test.
fn expected(speech: Speech, name: &str, seq: i32, (code, reason): (u32, &str)) -> Vec<u8> {
    let text = match speech.protocol {
        "json" => "no route of shop/\\\"cart\\\"",
        _ => MESSAGE,
    };
    let body = speech.exception(text, u8::try_from(code).unwrap());
    let message = bare(speech.protocol, EXCEPTION, name, seq, &body);
    speech.with_headers(&[("x-meltemi-error", reason)], &message, seq)
}

#[test]
fn every_reason_has_its_type_in_every_way_of_speaking() {
    for speech in ALL {
        for (status, code, reason) in TOLD {
            for (called, named) in [("cart", "cart"), ("Shop:cart", "cart")] {
                let mut client = downstream();
                let asked = request(&mut *client, &speech.call(called, -3));
                let (reply, told) = local_reply(&mut *client, &asked, status, MESSAGE);
                assert_eq!(told, code, "{status:?}");
                let expected = expected(speech, named, -3, (code, reason));
                assert_eq!(reply, expected, "{speech:?} {status:?}");
            }
        }
    }
}

/// Apache's reader sees the exception as a client would.
#[test]
fn apache_s_reader_reads_it() {
    for (protocol, compact) in [("binary", false), ("compact", true)] {
        let mut client = downstream();
        let bytes = speech("buffered", protocol).call("cart", 9);
        let asked = request(&mut *client, &bytes);
        let (reply, _) = local_reply(&mut *client, &asked, Status::NoRoute, "größer");
        let mut reader: Box<dyn TInputProtocol> = match compact {
            true => Box::new(TCompactInputProtocol::new(&reply[..])),
            false => Box::new(TBinaryInputProtocol::new(&reply[..], true)),
        };
        let head = reader.read_message_begin().unwrap();
        assert_eq!(head.message_type, TMessageType::Exception);
        assert_eq!((head.name.as_str(), head.sequence_number), ("cart", 9));
        let error: ApplicationError =
            thrift::Error::read_application_error_from_in_protocol(&mut *reader).unwrap();
        assert_eq!(error.kind, ApplicationErrorKind::UnknownMethod);
        assert_eq!(error.message, "größer");
    }
}

#[test]
fn names_beyond_what_a_connection_keeps_are_told_too() {
    let speech = speech("framed", "compact");
    let mut client = downstream();
    let asked: Vec<_> = (0..200)
        .map(|n| (n, request(&mut *client, &speech.call(&format!("m{n}"), n))))
        .collect();
    for (n, asked) in asked {
        let (reply, _) = local_reply(&mut *client, &asked, Status::Timeout, MESSAGE);
        let expected = expected(speech, &format!("m{n}"), n, (6, "timeout"));
        assert_eq!(reply, expected);
    }
}

#[test]
fn a_memo_of_nobody_s_has_no_words() {
    let reply = LocalReply {
        status: Status::Timeout,
        message: "late",
    };
    let mut out = Vec::new();
    let told = downstream().local_reply(1, &Memo::default(), reply, &mut out);
    assert_eq!((told, out), (None, vec![]));
}

/// What is compressed is answered in what its header names, by the header's number.
#[test]
fn a_compressed_call_is_answered_in_plain() {
    for (magic, transport) in [(0x0fff, "header"), (0x1000, "ttheader")] {
        let mut client = downstream();
        let bytes = headed(magic, 5, vec![2, 1, 1], b"?");
        let asked = request(&mut *client, &bytes);
        let (reply, _) = local_reply(&mut *client, &asked, Status::Timeout, MESSAGE);
        let expected = expected(speech(transport, "compact"), "", 5, (6, "timeout"));
        assert_eq!(reply, expected);
    }
}

/// Kitex' frame within TTHeader is there in the answer too.
#[test]
fn a_frame_within_ttheader_is_answered_by_one() {
    let speech = speech("ttheader", "binary");
    let message = framed(&bare("binary", CALL, "cart", 5, &[0]));
    let mut client = downstream();
    let asked = request(&mut *client, &speech.with_headers(&[], &message, 5));
    let (reply, _) = local_reply(&mut *client, &asked, Status::Timeout, "late");
    let message = bare("binary", EXCEPTION, "cart", 5, &speech.exception("late", 6));
    let pairs = [("x-meltemi-error", "timeout")];
    assert_eq!(reply, speech.with_headers(&pairs, &framed(&message), 5));
}

#[test]
fn a_client_that_sends_an_answer_is_told_that_its_type_is_wrong() {
    for speech in ALL {
        for kind in [REPLY, EXCEPTION] {
            let bytes = speech.message(kind, "a", 4, speech.nothing());
            let mut client = downstream();
            if speech.transport == "buffered" {
                let mut out = Vec::new();
                assert!(client.decode(&bytes, &mut out).is_err());
                let mut sent = &out[..];
                assert!(!sent.is_empty());
                if speech.protocol == "binary" {
                    let mut reader = TBinaryInputProtocol::new(&mut sent, true);
                    let head = reader.read_message_begin().unwrap();
                    assert_eq!(head.message_type, TMessageType::Exception);
                }
                continue;
            }
            let (event, _) = from_client(&mut *client, &bytes);
            let FromClient::Refused {
                request, status, ..
            } = event
            else {
                panic!("{speech:?} {event:?}");
            };
            assert_eq!(status, Status::Unsupported);
            let (_, code) = local_reply(&mut *client, &request, status, "");
            assert_eq!(code, 2);
        }
    }
}

/// Finagle's clients try their upgrade first, and do without where the method is unknown.
#[test]
fn finagle_s_upgrade_is_answered_as_an_unknown_method() {
    const UPGRADE: &str = "__can__finagle__trace__v3__";
    for speech in ALL {
        let bytes = speech.message(CALL, UPGRADE, 0, speech.nothing());
        let mut client = downstream();
        let (event, out) = from_client(&mut *client, &bytes);
        assert_eq!(event, FromClient::Answered, "{speech:?}");
        let told = "Finagle's upgrade is not supported";
        let body = speech.exception(told, 1);
        let message = bare(speech.protocol, EXCEPTION, UPGRADE, 0, &body);
        let pairs = [("x-meltemi-error", "unsupported")];
        assert_eq!(out, speech.with_headers(&pairs, &message, 0));
        // The connection goes on without it.
        request(&mut *client, &speech.call("hello", 1));
        // Nobody waits for an answer to this one.
        let bytes = speech.message(ONEWAY, UPGRADE, 0, speech.nothing());
        request(&mut *client, &bytes);
    }
}
