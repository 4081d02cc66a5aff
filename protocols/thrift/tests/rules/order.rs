//! Which answer belongs to which call: by order, with the sequence number as a check; by number
//! only where the settings say so.

use meltemi_codec::{
    Answers, At, Correlation, EndOfFile, FromServer, Order, Protocol, Response, Sharing,
};
use meltemi_thrift::Thrift;

use crate::{
    legs::{
        attribute, configured, downstream, from_server, limits, outcome, request, upstream, whole,
    },
    messages::{ALL, CALL, ONEWAY, REPLY, bare, framed, headed, speech},
};

#[test]
fn calls_of_one_client_are_answered_in_order_on_a_connection_of_its_own() {
    let traits = Thrift::default().traits();
    assert_eq!(traits.correlation, Correlation::InOrder);
    assert_eq!(traits.order, Order::PerClient);
    assert_eq!(traits.sharing, Sharing::PerClient);
    assert_eq!(traits.frame_limit, 16_384_000);
    assert_eq!((traits.heartbeat, traits.server_first), (None, false));
    assert_eq!(downstream().end_of_file(), EndOfFile::Finish);
    assert!(!downstream().heartbeat(&mut Vec::new()));
}

#[test]
fn an_answer_with_another_number_means_that_the_connection_is_out_of_step() {
    for speech in ALL {
        let asked = request(&mut *downstream(), &speech.call("a", -7));
        for (seq, fits) in [(-7, true), (7, false), (-8, false), (0, false)] {
            let answer = speech.message(REPLY, "a", seq, &speech.text(0, "x"));
            let read = from_server(&mut *upstream(), &answer, &asked.memo);
            assert_eq!(read.is_ok(), fits, "{speech:?} {seq}: {read:?}");
        }
    }
}

/// Node's client uses one number after the other, others use 0 for all: neither is a name.
#[test]
fn equal_numbers_in_one_pipeline_do_no_harm() {
    let speech = speech("framed", "binary");
    let (mut client, mut server) = (downstream(), upstream());
    for name in ["a", "b"] {
        let asked = request(&mut *client, &speech.call(name, 0));
        let answer = speech.message(REPLY, name, 0, &speech.text(0, "x"));
        from_server(&mut *server, &answer, &asked.memo).unwrap();
    }
}

/// Java's servers answer in strict binary what was asked in lax, and lax clients read both.
#[test]
fn an_answer_is_in_a_protocol_that_its_client_reads() {
    for (asked, answered, fits) in [
        ("lax", "binary", true),
        ("binary", "lax", true),
        ("binary", "compact", false),
        ("compact", "json", false),
        ("json", "binary", false),
    ] {
        let memo = request(&mut *downstream(), &speech("framed", asked).call("a", 1)).memo;
        let answer = speech("framed", answered);
        let answer = answer.message(REPLY, "a", 1, &answer.text(0, "x"));
        let read = from_server(&mut *upstream(), &answer, &memo);
        assert_eq!(read.is_ok(), fits, "{asked} answered in {answered}");
    }
}

#[test]
fn what_a_server_sends_that_is_no_answer_is_malformed() {
    for speech in ALL {
        let asked = request(&mut *downstream(), &speech.call("a", 1));
        for bytes in [
            speech.call("a", 1),
            speech.message(ONEWAY, "a", 1, speech.nothing()),
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            vec![0xff; 40],
        ] {
            let read = from_server(&mut *upstream(), &bytes, &asked.memo);
            assert!(read.is_err(), "{speech:?} {bytes:x?}");
        }
    }
    // Another transport than the call's.
    let asked = request(&mut *downstream(), &speech("framed", "binary").call("a", 1));
    let answer = speech("header", "binary");
    let answer = answer.message(REPLY, "a", 1, &answer.text(0, "x"));
    assert!(from_server(&mut *upstream(), &answer, &asked.memo).is_err());
}

#[test]
fn one_way_is_one_way_whether_the_message_says_so_or_the_settings() {
    let protocol = configured(&[("oneway", "note, Log:write")]);
    for speech in ALL {
        for (kind, name, answers, said) in [
            (ONEWAY, "any", Answers::None, "oneway"),
            (CALL, "note", Answers::None, "oneway"),
            (CALL, "Svc:note", Answers::None, "oneway"),
            (CALL, "Log:write", Answers::None, "oneway"),
            (CALL, "write", Answers::One, "call"),
            (CALL, "notes", Answers::One, "call"),
        ] {
            let bytes = speech.message(kind, name, 1, speech.nothing());
            let mut client = protocol.downstream(limits());
            let asked = request(&mut *client, &bytes);
            assert_eq!(asked.answers, answers, "{speech:?} {name}");
            let found = attribute(&*client, whole(&bytes, &asked.memo), "type");
            assert_eq!(found.as_deref(), Some(said));
        }
    }
}

/// Servers known to answer out of order: the number is the proxy's on the way there, the client's on
/// the way back. In compact and JSON it may take more bytes, and lengths follow.
#[test]
fn by_number_calls_get_numbers_of_the_proxy_s() {
    let protocol = configured(&[("correlation", "id")]);
    assert_eq!(protocol.traits().sharing, Sharing::Multiplex);
    assert_eq!(protocol.traits().order, Order::Independent);
    for speech in ALL {
        let bytes = speech.call("a", 5);
        let mut client = protocol.downstream(limits());
        let mut server = protocol.upstream(limits(), &meltemi_codec::Opening::default());
        let asked = request(&mut *client, &bytes);
        let id = 0x1234_5678;
        let mut there = Vec::new();
        server.forward(id, whole(&bytes, &asked.memo), &mut there);
        assert_eq!(there, speech.call("a", 0x1234_5678), "{speech:?}");
        let answer = speech.message(REPLY, "a", 0x1234_5678, &speech.text(0, "x"));
        let event = from_server(&mut *server, &answer, &asked.memo).unwrap();
        let at = At::Id(id);
        assert_eq!(event, FromServer::Response(Response { at, last: true }));
        let mut back = Vec::new();
        client.respond(asked.id, whole(&answer, &asked.memo), &mut back);
        assert_eq!(back, speech.message(REPLY, "a", 5, &speech.text(0, "x")));
    }
}

/// What a header hides is known by the header's number.
#[test]
fn a_compressed_message_is_correlated_by_its_header() {
    let message = |seq| headed(0x0fff, seq, vec![0, 1, 1], b"not to be seen");
    let asked = request(&mut *downstream(), &message(9));
    assert!(from_server(&mut *upstream(), &message(9), &asked.memo).is_ok());
    assert!(from_server(&mut *upstream(), &message(8), &asked.memo).is_err());
    let code = meltemi_codec::Outcome::Ok { code: 0 };
    assert_eq!(outcome(&message(9), &asked.memo), code);

    let protocol = configured(&[("correlation", "id")]);
    let mut out = Vec::new();
    let bytes = message(9);
    let frame = whole(&bytes, &asked.memo);
    protocol
        .upstream(limits(), &meltemi_codec::Opening::default())
        .forward(77, frame, &mut out);
    assert_eq!(out, message(77));
}

/// The header's number and the message's may differ: each is the client's again.
#[test]
fn numbers_that_differ_come_back_as_they_were() {
    let protocol = configured(&[("correlation", "id")]);
    let speech = speech("header", "binary");
    let with =
        |seq, header| speech.with_headers(&[], &bare("binary", CALL, "a", seq, &[0]), header);
    let mut client = protocol.downstream(limits());
    let bytes = with(5, 900);
    let asked = request(&mut *client, &bytes);
    let mut there = Vec::new();
    let mut server = protocol.upstream(limits(), &meltemi_codec::Opening::default());
    server.forward(77, whole(&bytes, &asked.memo), &mut there);
    assert_eq!(there, with(77, 900));
    let mut back = Vec::new();
    client.respond(5, whole(&there, &asked.memo), &mut back);
    assert_eq!(back, bytes);
}

/// A frame within TTHeader has a length of its own, which follows a number that grows.
#[test]
fn a_number_that_grows_changes_the_inner_length_too() {
    let protocol = configured(&[("correlation", "id")]);
    let speech = speech("ttheader", "compact");
    let with = |seq: i32| {
        let message = framed(&bare("compact", CALL, "a", seq, &[0]));
        speech.with_headers(&[], &message, seq)
    };
    let asked = request(&mut *protocol.downstream(limits()), &with(5));
    let mut there = Vec::new();
    let bytes = with(5);
    let frame = whole(&bytes, &asked.memo);
    protocol
        .upstream(limits(), &meltemi_codec::Opening::default())
        .forward(70_000, frame, &mut there);
    assert_eq!(there, with(70_000));
}
