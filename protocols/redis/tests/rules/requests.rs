//! Where requests begin and end, and what is wrong with them.

use meltemi_codec::{
    Body, Decoded, FromClient, Limits, LocalReply, Message, Protocol, Size, Sniff, Status,
};
use meltemi_redis::Redis;

use crate::{
    legs::{client, limits},
    words::{array, cmd},
};

#[test]
fn what_asks_for_nothing_is_skipped() {
    for bytes in ["*0\r\n", "*-1\r\n", "\r\n", "\n", "  \r\n"] {
        let mut out = Vec::new();
        let decoded = client().codec.decode(bytes.as_bytes(), &mut out).unwrap();
        assert_eq!(decoded, Decoded::Skip { len: bytes.len() });
        assert!(out.is_empty());
    }
}

#[test]
fn a_line_is_a_command_too() {
    let bytes = b"set \"k\\x41\" 'it is'\r\n";
    let (FromClient::Request(request), _) = client().raw(bytes) else {
        panic!("no request");
    };
    let found = |name| client().attribute(bytes, &request.memo, name);
    assert_eq!(found("command").as_deref(), Some("set"));
    assert_eq!(found("key").as_deref(), Some("kA"));
}

#[test]
fn what_breaks_the_protocol_is_said_in_redis_words_and_ends_the_connection() {
    for (bytes, said) in [
        (
            "*x\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            "*1\r\n:1\r\n",
            "-ERR Protocol error: expected '$', got ':'\r\n",
        ),
        (
            "*1\r\n\r\n",
            "-ERR Protocol error: expected '$', got ' '\r\n",
        ),
        (
            "*1\r\n$x\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            "GET 'k\r\n",
            "-ERR Protocol error: unbalanced quotes in request\r\n",
        ),
    ] {
        let mut out = Vec::new();
        assert!(client().codec.decode(bytes.as_bytes(), &mut out).is_err());
        assert_eq!(String::from_utf8(out).unwrap(), said);
    }
}

#[test]
fn a_browser_is_turned_away_without_a_word() {
    for bytes in ["POST / HTTP/1.1\r\n", "Host: example.com\r\n"] {
        let mut out = Vec::new();
        assert!(client().codec.decode(bytes.as_bytes(), &mut out).is_err());
        assert!(out.is_empty());
    }
}

#[test]
fn a_large_value_passes_behind_its_command_and_key() {
    let value = vec![b'v'; Limits::WHOLE + 1];
    let bytes = array(&[b"SET", b"k", &value]);
    let head = &bytes[..40];
    let mut codec = client().codec;
    let Ok(Decoded::Message(Message { size, event })) = codec.decode(head, &mut Vec::new()) else {
        panic!("its head is there");
    };
    assert_eq!(size, Size::Known(bytes.len() as u64));
    assert_eq!(event, client().say("SET k v").0);
    // The next one begins behind it.
    let next = codec.decode(&cmd("PING"), &mut Vec::new()).unwrap();
    assert!(matches!(next, Decoded::Message(_)));
}

#[test]
fn a_large_value_in_the_middle_passes_through_a_window() {
    let value = vec![b'v'; Limits::WHOLE + 1];
    let bytes = [array(&[b"SET", b"k", &value, b"EX", b"10"]), cmd("PING")].concat();
    let mut codec = client().codec;
    let (head, rest) = bytes.split_at(1000);
    let Ok(Decoded::Message(Message { size, event })) = codec.decode(head, &mut Vec::new()) else {
        panic!("its head is there");
    };
    assert!(matches!(event, FromClient::Request(_)));
    assert_eq!(size, Size::Streamed);
    let (window, rest) = rest.split_at(100_000);
    assert_eq!(codec.body(window), Ok(Body::More(window.len())));
    assert_eq!(
        codec.body(rest),
        Ok(Body::End(rest.len() - cmd("PING").len()))
    );
}

#[test]
fn a_value_above_the_limit_costs_only_itself() {
    let limits = Limits {
        frame: 100,
        ..limits()
    };
    let bytes = array(&[b"SET", b"k", &[b'v'; 200]]);
    let mut codec = Redis::default().downstream(limits);
    let Ok(Decoded::Message(Message { size, event })) = codec.decode(&bytes[..30], &mut Vec::new())
    else {
        panic!("its head is there");
    };
    assert_eq!(size, Size::Known(bytes.len() as u64));
    let FromClient::Refused {
        status,
        request,
        message,
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(status, Status::TooLarge);
    let mut out = Vec::new();
    codec.local_reply(0, &request.memo, LocalReply { status, message }, &mut out);
    assert!(out.starts_with(b"-ERR proxy: the request is larger"));
}

#[test]
fn an_error_of_the_proxys_is_one_line_with_a_code() {
    let request = client().request("GET k");
    for (message, said) in [
        ("no route", "-ERR proxy: no route\r\n"),
        ("two\r\nlines", "-ERR proxy: two  lines\r\n"),
        (
            "CLUSTERDOWN Hash slot not served",
            "-CLUSTERDOWN Hash slot not served\r\n",
        ),
    ] {
        let status = Status::NoRoute;
        let mut out = Vec::new();
        let reply = LocalReply { status, message };
        let code = client()
            .codec
            .local_reply(0, &request.memo, reply, &mut out);
        assert_eq!(
            (code, String::from_utf8(out).unwrap().as_str()),
            (Some(0), said)
        );
    }
}

#[test]
fn the_first_bytes_tell_redis_from_others() {
    for (head, sniff) in [
        ("", Sniff::Need(1)),
        ("*", Sniff::Need(2)),
        ("*3", Sniff::Yes),
        ("*3\r\n$3", Sniff::Yes),
        ("*x", Sniff::No),
        ("PING\r\n", Sniff::Yes),
        ("ping\n", Sniff::Yes),
        ("PIN", Sniff::Need(4)),
        ("SET k v", Sniff::Yes),
        ("NOSUCH x", Sniff::No),
        ("GET k\r\n", Sniff::Yes),
        ("GET / HTTP/1.1\r\n", Sniff::No),
        ("GET /", Sniff::Need(6)),
        ("POST / HTTP/1.1\r\n", Sniff::No),
        ("\u{da}\u{bb}", Sniff::No),
        ("{\"json\"", Sniff::No),
    ] {
        assert_eq!(Redis::default().sniff(head.as_bytes()), sniff, "{head:?}");
    }
    assert_eq!(Redis::default().sniff(&[b'a'; 100]), Sniff::No);
}
