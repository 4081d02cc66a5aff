//! Connections to servers: how they open, what is put in front of requests.

use meltemi_codec::{Decoded, FromServer, Limits, Memo, Message, Open, Protocol, Size};
use meltemi_redis::Redis;

use crate::{
    legs::{Client, Server, client, configured, limits, server, whole},
    words::{bulk, cmd},
};

/// What a client said, and what a server answered.
type Said<'a> = &'a [(&'a str, &'a str)];

fn after(lines: Said<'_>) -> Option<meltemi_codec::Session> {
    let mut client = client();
    for (line, answer) in lines {
        client.asks(line, Some(answer));
    }
    client.request("PING").session
}

#[test]
fn a_connection_says_what_its_session_needs() {
    let ok = "+OK\r\n";
    let cases: &[(Said<'_>, &[&str])] = &[
        (&[("SELECT 2", ok)], &["SELECT 2"]),
        (&[("HELLO 3", "%0\r\n")], &["HELLO 3"]),
        (&[("AUTH p", ok)], &["AUTH p"]),
        (
            &[("AUTH u p", ok), ("SELECT 2", ok)],
            &["AUTH u p", "SELECT 2"],
        ),
        (
            &[("AUTH p", ok), ("HELLO 3", "%0\r\n")],
            &["HELLO 3 AUTH default p"],
        ),
    ];
    for (lines, words) in cases {
        let session = after(lines);
        let (mut server, open, said) = Server::of(&Redis::default(), session.as_ref(), false);
        let words: Vec<u8> = words.iter().flat_map(|line| cmd(line)).collect();
        assert_eq!((open, said.as_bytes()), (Open::Await, &words[..]));
        for n in 1..=lines.len().min(said.matches('*').count()) {
            let last = n == said.matches('*').count();
            let expected = if last {
                FromServer::Ready
            } else {
                FromServer::Answered
            };
            assert_eq!(server.hears("+OK\r\n"), expected);
        }
    }
}

#[test]
fn the_clusters_password_is_for_clients_without_one() {
    let protocol = configured(&[("upstreamUsername", "mesh"), ("upstreamPassword", "up")]);
    let (_, open, said) = Server::of(&*protocol, None, false);
    assert_eq!(
        (open, said.as_bytes()),
        (Open::Await, &cmd("AUTH mesh up")[..])
    );
    let session = after(&[("AUTH own", "+OK\r\n")]);
    let (_, _, said) = Server::of(&*protocol, session.as_ref(), false);
    assert_eq!(said.as_bytes(), cmd("AUTH own"));
    let session = after(&[("HELLO 3", "%0\r\n")]);
    let (_, _, said) = Server::of(&*protocol, session.as_ref(), false);
    assert_eq!(said.as_bytes(), cmd("HELLO 3 AUTH mesh up"));
}

#[test]
fn a_replica_of_a_cluster_is_told_that_reads_are_meant() {
    let cluster = configured(&[("mode", "CLUSTER")]);
    let (mut server, open, said) = Server::of(&*cluster, None, true);
    assert_eq!((open, said.as_bytes()), (Open::Await, &cmd("READONLY")[..]));
    assert_eq!(server.hears("+OK\r\n"), FromServer::Ready);
    let proxied = configured(&[("mode", "PROXY")]);
    assert_eq!(Server::of(&*proxied, None, true).2, "");
    // Where nobody said what they are, a server outside of a cluster may call it an error.
    let (mut server, _, _) = Server::of(&Redis::default(), None, true);
    assert_eq!(
        server.hears("-ERR This instance has cluster support disabled\r\n"),
        FromServer::Ready
    );
}

#[test]
fn a_refused_handshake_is_the_answer() {
    let session = after(&[("AUTH u p", "+OK\r\n"), ("SELECT 2", "+OK\r\n")]);
    let (mut server, _, _) = Server::of(&Redis::default(), session.as_ref(), false);
    let refusal = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    assert_eq!(server.hears(refusal), FromServer::Refused);
    let (mut server, _, _) = Server::of(&Redis::default(), session.as_ref(), false);
    assert_eq!(server.hears("+OK\r\n"), FromServer::Answered);
    assert_eq!(
        server.hears("-ERR DB index is out of range\r\n"),
        FromServer::Refused
    );
}

#[test]
fn asking_and_its_command_are_one_write() {
    let mut server = server();
    let plain = client().request("GET a");
    server.forward(7, &plain, &cmd("GET a"));
    let asked = client().request("GET k");
    let mut out = Vec::new();
    server
        .codec
        .forward_once(8, whole(&cmd("GET k"), &asked.memo), &mut out);
    server.waiting.0.push((8, asked.memo.clone()));
    assert_eq!(out, [cmd("ASKING"), cmd("GET k")].concat());
    server.forward(9, &plain, &cmd("GET a"));
    assert!(server.answers("$-1\r\n"));
    assert_eq!(server.hears("+OK\r\n"), FromServer::Answered);
    assert!(server.answers("$1\r\nv\r\n"));
    assert!(server.answers("+OK\r\n"));
}

#[test]
fn a_heartbeat_is_answered_and_ends_here() {
    let mut server = server();
    let mut out = Vec::new();
    assert!(server.codec.heartbeat(1, &mut out));
    let (event, answer) = client().raw(&out);
    assert_eq!(event, meltemi_codec::FromClient::Answered);
    assert_eq!(server.hears(&answer), FromServer::Answered);
    let get = client().request("GET k");
    server.forward(1, &get, &cmd("GET k"));
    assert!(server.answers(&answer));
    assert!(
        !client().codec.heartbeat(&mut Vec::new()),
        "clients are asked nothing"
    );
}

#[test]
fn an_attribute_belongs_to_the_reply_behind_it() {
    let mut server = server();
    let get = client().request("GET k");
    server.forward(1, &get, &cmd("GET k"));
    assert!(server.answers("|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n"));
}

fn head(server: &mut Server, bytes: &[u8]) -> Message<FromServer> {
    match server.codec.decode(bytes, &server.waiting, &mut Vec::new()) {
        Ok(Decoded::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_large_string_has_a_known_size_and_a_large_list_has_none() {
    let mut server = server();
    let get = client().request("GET k");
    for id in 1..=2 {
        server.forward(id, &get, &cmd("GET k"));
    }
    let large = bulk(&vec![b'v'; Limits::WHOLE + 1]);
    let message = head(&mut server, &large[..20]);
    assert_eq!(message.size, Size::Known(large.len() as u64));
    let list = [b"*2\r\n$1\r\na\r\n".to_vec(), large, b":1\r\n".to_vec()].concat();
    let list = [b"*3\r\n$1\r\na\r\n", &list[11..list.len() - 4], b":1\r\n"].concat();
    let (start, rest) = list.split_at(100);
    assert_eq!(head(&mut server, start).size, Size::Streamed);
    let end = meltemi_codec::Body::End(rest.len());
    assert_eq!(server.codec.body(&[rest, b"+next\r\n"].concat()), Ok(end));
}

#[test]
fn a_reply_above_the_limit_ends_the_connection() {
    let limits = Limits {
        frame: 100,
        ..limits()
    };
    let mut codec = Redis::default().upstream(limits, &meltemi_codec::Opening::default());
    let decoded = codec.decode(b"$200\r\nvvv", &(), &mut Vec::new());
    assert!(decoded.is_err());
}

#[test]
fn what_is_no_reply_ends_the_connection() {
    for bytes in ["x\r\n", "HTTP/1.1 400 Bad Request\r\n", "$-5\r\n"] {
        let decoded = server()
            .codec
            .decode(bytes.as_bytes(), &(), &mut Vec::new());
        assert!(decoded.is_err(), "{bytes}");
    }
}

#[test]
fn a_memo_of_another_make_is_harmless() {
    let memo = Memo {
        words: [u32::MAX; 4],
        data: None,
    };
    let mut server = server();
    let mut out = Vec::new();
    server
        .codec
        .forward(1, whole(b"*1\r\n$4\r\nPING\r\n", &memo), &mut out);
    server.waiting.0.push((1, memo));
    head(&mut server, b"+PONG\r\n");
    Client::of(&Redis::default()).attribute(b"PING\r\n", &Memo::default(), "key");
}
