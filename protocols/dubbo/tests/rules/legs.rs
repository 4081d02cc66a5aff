//! Rules 1 to 5: local replies, heartbeats, notices, ids, garbage.

use dubbo_rs_codec::{Frame as Whole, Header, Kind, Response, SerializationId, Status};
use meltemi_codec::{
    Drain, FromClient, FromServer, LocalReply, Malformed, Memo, Outcome, Protocol, Sniff,
    Status as Reason,
};
use meltemi_dubbo::Dubbo;

use crate::{
    frames::{
        BOTH, ID, body, call, downstream, frame, from_client, from_server, malformed, request,
        upstream, whole,
    },
    golden,
};

const TWO_WAY: Kind = Kind::Event { two_way: true };
const ONE_WAY: Kind = Kind::Event { two_way: false };

/// Serializations whose bodies nobody here reads, one that no Dubbo knows among them.
const OPAQUE: [SerializationId; 4] = [
    SerializationId::JAVA,
    SerializationId::KRYO,
    SerializationId::PROTOBUF,
    SerializationId(31),
];

const REASONS: [(Reason, u8); 13] = [
    (Reason::NoRoute, 60),
    (Reason::NoHealthyUpstream, 80),
    (Reason::ConnectFailure, 35),
    (Reason::UpstreamReset, 35),
    (Reason::UpstreamMalformed, 50),
    (Reason::Timeout, 31),
    (Reason::RateLimited, 100),
    (Reason::Overloaded, 100),
    (Reason::Denied, 70),
    (Reason::Malformed, 40),
    (Reason::TooLarge, 40),
    (Reason::Unsupported, 40),
    (Reason::ShuttingDown, 35),
];

fn reply(memo: &Memo, status: Reason) -> Vec<u8> {
    let mut out = Vec::new();
    let message = "no route of shop/cart";
    let code = downstream().local_reply(ID, memo, LocalReply { status, message }, &mut out);
    let said = Header::parse(&out).unwrap().unwrap().status.0;
    assert_eq!(code, Some(u32::from(said)));
    out
}

#[test]
fn rule_1_a_local_reply_is_in_the_serialization_of_its_request() {
    for format in BOTH {
        let bytes = call(format, "world", &[]);
        let memo = request(&mut *downstream(), &bytes).memo;
        let asked = Header::parse(&bytes).unwrap().unwrap();
        for (reason, status) in REASONS {
            let out = reply(&memo, reason);
            let (Whole { header, body }, rest) = Whole::split(&out).unwrap().unwrap();
            assert!(rest.is_empty());
            assert_eq!(header.serialization, asked.serialization);
            assert_eq!((header.kind, header.id), (Kind::Response, ID));
            let Response::Error {
                status: said,
                message,
            } = Response::parse(&header, body).unwrap()
            else {
                panic!("{reason:?} is no error");
            };
            assert_eq!(said, Status(status), "{reason:?}");
            assert_eq!(message, "no route of shop/cart");
        }
    }
}

#[test]
fn rule_1_where_the_serialization_cannot_be_written_a_reply_is_its_status_alone() {
    for serialization in OPAQUE {
        let bytes = frame(Kind::Request, serialization, b"who knows");
        let memo = request(&mut *downstream(), &bytes).memo;
        let out = reply(&memo, Reason::NoRoute);
        let header = Header::parse(&out).unwrap().unwrap();
        assert_eq!(header.serialization, serialization);
        assert_eq!((header.status, header.id), (Status(60), ID));
        assert_eq!((header.body_len, body(&out).len()), (0, 0));
        let event = from_server(&mut *upstream(), &out).0;
        assert!(matches!(event, FromServer::Response(_)));
        let code = Outcome::RequestError { code: 60 };
        assert_eq!(upstream().outcome(whole(&out, &memo)), code);
    }
}

#[test]
fn rule_2_a_heartbeat_is_answered_as_a_provider_answered_it() {
    for name in ["3333-heartbeat", "3333-ser-fastjson2-heartbeat"] {
        let beat = golden::frame(&format!("{name}-heartbeat-consumer")).bytes;
        let answer = golden::frame(&format!("{name}-heartbeat-answer-provider")).bytes;
        let (event, mut out) = from_client(&mut *downstream(), &beat);
        assert_eq!(event, FromClient::Answered, "{name} is not forwarded");
        let asked = Header::parse(&beat).unwrap().unwrap();
        assert_eq!(Header::parse(&out).unwrap().unwrap().id, asked.id);
        // The two recordings are of two heartbeats.
        out[4..12].copy_from_slice(&answer[4..12]);
        assert_eq!(out, answer, "{name}");
    }
}

#[test]
fn rule_2_each_serialization_has_a_null_of_its_own() {
    let java: &[u8] = &[0xac, 0xed, 0x00, 0x05, 0x77, 0x01, 0x00];
    for (serialization, null) in [
        (SerializationId::HESSIAN2, &b"N"[..]),
        (SerializationId::FASTJSON2, &[0, 0, 0, 1, 0xaf]),
        (SerializationId::JAVA, java),
        (SerializationId::COMPACTED_JAVA, java),
        (
            SerializationId::NATIVE_JAVA,
            &[0xac, 0xed, 0x00, 0x05, 0x70],
        ),
        (SerializationId::KRYO, &[0]),
        (SerializationId::FASTJSON, b"null\n"),
    ] {
        let beat = frame(TWO_WAY, serialization, null);
        let (event, answer) = from_client(&mut *downstream(), &beat);
        assert_eq!(event, FromClient::Answered);
        let header = Header::parse(&answer).unwrap().unwrap();
        assert_eq!(header.kind, Kind::EventAnswer, "{serialization}");
        assert_eq!((header.status, header.id), (Status::OK, ID));
        assert_eq!(body(&answer), null, "{serialization}");

        let (event, answer) = from_server(&mut *upstream(), &beat);
        assert_eq!(event, FromServer::Answered);
        assert_eq!(body(&answer), null, "{serialization}");
    }
}

#[test]
fn rule_2_a_heartbeat_of_an_unknown_null_is_answered_too() {
    let beat = frame(TWO_WAY, SerializationId::FST, b"?");
    let (event, answer) = from_client(&mut *downstream(), &beat);
    assert_eq!(event, FromClient::Answered);
    let header = Header::parse(&answer).unwrap().unwrap();
    assert_eq!((header.kind, header.id), (Kind::EventAnswer, ID));
}

#[test]
fn rule_2_an_event_that_wants_no_answer_gets_none() {
    let beat = frame(ONE_WAY, SerializationId::HESSIAN2, b"N");
    let (event, out) = from_client(&mut *downstream(), &beat);
    assert_eq!((event, out), (FromClient::Answered, vec![]));
    let (event, out) = from_server(&mut *upstream(), &beat);
    assert_eq!((event, out), (FromServer::Answered, vec![]));
}

#[test]
fn rule_2_heartbeats_are_in_the_serialization_that_the_peer_uses() {
    let mut codec = downstream();
    let mut out = Vec::new();
    assert!(codec.heartbeat(&mut out));
    assert_eq!(out[2] & 0x1f, SerializationId::HESSIAN2.0);
    let bytes = call(dubbo_rs_codec::BodyFormat::Fastjson2, "world", &[]);
    let memo = request(&mut *codec, &bytes).memo;
    out.clear();
    assert!(codec.heartbeat(&mut out));
    assert_eq!(out[2], 0xe0 | SerializationId::FASTJSON2.0);
    assert_eq!(body(&out), [0, 0, 0, 1, 0xaf]);

    let mut codec = upstream();
    codec.forward(1, whole(&bytes, &memo), &mut Vec::new());
    out.clear();
    assert!(codec.heartbeat(7, &mut out));
    let header = Header::parse(&out).unwrap().unwrap();
    assert_eq!(header.kind, TWO_WAY);
    assert_eq!(header.serialization, SerializationId::FASTJSON2);
    assert_eq!(header.id, 7);
    // 2.7.23 answers in hessian2 whatever it was asked in.
    let answer = golden::frame("2727-heartbeat-heartbeat-answer-provider").bytes;
    assert_eq!(
        from_server(&mut *codec, &answer),
        (FromServer::Answered, vec![])
    );
}

#[test]
fn rule_3_readonly_of_a_provider_drains_its_host_until_it_is_undone() {
    for name in ["2727-readonly-event-event", "3333-readonly-event-event"] {
        let notice = golden::frame(name).bytes;
        let (event, out) = from_server(&mut *upstream(), &notice);
        assert_eq!(event, FromServer::GoAway { host: true }, "{name}");
        assert!(out.is_empty());
    }
    for (serialization, undo) in [
        (SerializationId::HESSIAN2, &[1, b'W'][..]),
        (SerializationId::FASTJSON2, &[0, 0, 0, 2, 0x4a, b'W']),
    ] {
        let notice = frame(ONE_WAY, serialization, undo);
        let (event, out) = from_server(&mut *upstream(), &notice);
        assert_eq!((event, out), (FromServer::ComeBack, vec![]));
    }
}

#[test]
fn rule_3_draining_says_readonly_as_a_provider_does() {
    let notice = golden::frame("2727-readonly-event-event").bytes;
    let mut out = Vec::new();
    assert_eq!(downstream().drain(&mut out), Drain::Announced);
    assert_eq!(out, notice);

    for (frame, serialization) in [
        (
            call(dubbo_rs_codec::BodyFormat::Fastjson2, "", &[]),
            SerializationId::FASTJSON2,
        ),
        (
            frame(Kind::Request, SerializationId::KRYO, b"?"),
            SerializationId::HESSIAN2,
        ),
    ] {
        let mut codec = downstream();
        request(&mut *codec, &frame);
        out.clear();
        codec.drain(&mut out);
        let header = Header::parse(&out).unwrap().unwrap();
        assert_eq!(
            (header.kind, header.serialization),
            (ONE_WAY, serialization)
        );
        // Java rejects longer notices.
        assert!(header.body_len <= 15);
        let event = from_server(&mut *upstream(), &out).0;
        assert_eq!(event, FromServer::GoAway { host: true });
    }
}

#[test]
fn rule_4_an_id_is_eight_bytes_in_place() {
    let bytes = golden::frame("3333-mixed-args-request").bytes;
    let asked = request(&mut *downstream(), &bytes);
    for id in [0, 1, u64::MAX, 1 << 63] {
        let mut out = Vec::new();
        upstream().forward(id, whole(&bytes, &asked.memo), &mut out);
        assert_eq!(out[4..12], id.to_be_bytes());
        assert_eq!((&out[..4], &out[12..]), (&bytes[..4], &bytes[12..]));

        let answer = golden::frame("3333-mixed-args-response").bytes;
        out.clear();
        downstream().respond(id, whole(&answer, &asked.memo), &mut out);
        assert_eq!(out[4..12], id.to_be_bytes());
        assert_eq!((&out[..4], &out[12..]), (&answer[..4], &answer[12..]));
    }
}

#[test]
fn rule_5_what_does_not_begin_with_the_magic_ends_the_connection() {
    let reason = "a frame does not begin with da bb";
    for bytes in [
        &b"\r\nstatus -l\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\n",
        b"\xda\x00",
        b"x",
    ] {
        assert_eq!(malformed(bytes), Some(Malformed { reason }));
        assert_eq!(Dubbo.sniff(bytes), Sniff::No);
    }
    assert_eq!(malformed(&[0xda]), None);
    assert_eq!(Dubbo.sniff(&[0xda]), Sniff::Need(2));
    assert_eq!(Dubbo.sniff(&[0xda, 0xbb]), Sniff::Yes);
    let answer = upstream().decode(b"+OK\r\n", &(), &mut Vec::new());
    assert_eq!(answer, Err(Malformed { reason }));
}
