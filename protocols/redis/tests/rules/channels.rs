//! Subscriptions and pushes.

use meltemi_codec::{Answers, EndOfFile, FromClient, FromServer, Pin, Request};

use crate::{
    legs::{Client, Server, client, server},
    words::cmd,
};

fn resp3() -> Client {
    let mut client = client();
    client.asks("HELLO 3", Some("%0\r\n"));
    client
}

fn server3() -> Server {
    let session = resp3().request("PING").session;
    let (mut server, _, _) = Server::of(&meltemi_redis::Redis::default(), session.as_ref(), false);
    assert_eq!(server.hears("%0\r\n"), FromServer::Ready);
    server
}

fn said(kind: char, word: &str, channel: &str, count: u32) -> String {
    let (long, len) = (word.len(), channel.len());
    format!("{kind}3\r\n${long}\r\n{word}\r\n${len}\r\n{channel}\r\n:{count}\r\n")
}

const MESSAGE: &str = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n";

#[test]
fn each_channel_is_confirmed() {
    let mut client = client();
    let subscribe = client.request("SUBSCRIBE a b");
    assert_eq!(
        (subscribe.pin, subscribe.answers),
        (Pin::UntilRelease, Answers::UntilEnd)
    );
    assert_eq!(client.request("PSUBSCRIBE x*").answers, Answers::One);
    let mut server = server();
    server.forward(1, &subscribe, &cmd("SUBSCRIBE a b"));
    assert!(!server.answers(&said('*', "subscribe", "a", 1)));
    assert!(server.answers(&said('*', "subscribe", "b", 2)));
}

#[test]
fn one_error_answers_for_all_channels() {
    let subscribe = client().request("SUBSCRIBE a b c");
    let mut server = server();
    server.forward(1, &subscribe, &cmd("SUBSCRIBE a b c"));
    assert!(server.answers("-NOPERM this user has no permissions\r\n"));
}

#[test]
fn channels_that_were_refused_are_not_counted() {
    let mut client = client();
    let kept = client.request("SUBSCRIBE a");
    client.answer(&kept, &said('*', "subscribe", "a", 1));
    let refused = client.request("SUBSCRIBE a b c");
    client.answer(&refused, "-NOPERM no\r\n");
    assert_eq!(client.request("UNSUBSCRIBE").answers, Answers::One);
    let refused = client.request("SUBSCRIBE b c");
    client.answer(&refused, "-NOPERM no\r\n");
    assert_eq!(
        client.request("GET k").pin,
        Pin::None,
        "the connection is held"
    );
    assert_eq!(client.request("UNSUBSCRIBE").pin, Pin::Release);
    // Where the client did not wait for the error, the server says that there is nothing to leave.
    client.request("SUBSCRIBE b c");
    let all = client.request("UNSUBSCRIBE");
    let mut server = server();
    server.forward(1, &all, &cmd("UNSUBSCRIBE"));
    assert!(server.answers("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"));
}

#[test]
fn the_last_unsubscription_releases_the_connection() {
    let mut client = client();
    client.request("SUBSCRIBE a b");
    client.request("PSUBSCRIBE a*");
    client.request("SSUBSCRIBE s");
    assert_eq!(client.request("UNSUBSCRIBE a").pin, Pin::None);
    let all = client.request("UNSUBSCRIBE");
    assert_eq!((all.pin, all.answers), (Pin::None, Answers::One));
    assert_eq!(client.request("SUNSUBSCRIBE s").pin, Pin::None);
    assert_eq!(client.request("PUNSUBSCRIBE nobody").pin, Pin::None);
    assert_eq!(client.request("PUNSUBSCRIBE").pin, Pin::Release);
    assert_eq!(client.request("UNSUBSCRIBE").pin, Pin::None);
}

#[test]
fn unsubscribing_from_all_is_answered_once_for_each() {
    let mut client = client();
    client.request("SUBSCRIBE a b c");
    let all = client.request("UNSUBSCRIBE");
    let mut server = server();
    server.forward(1, &all, &cmd("UNSUBSCRIBE"));
    assert!(!server.answers(&said('*', "unsubscribe", "a", 2)));
    assert!(!server.answers(&said('*', "unsubscribe", "c", 1)));
    assert!(server.answers(&said('*', "unsubscribe", "b", 0)));
    let none = client.request("UNSUBSCRIBE");
    assert_eq!(none.answers, Answers::One);
    server.forward(2, &none, &cmd("UNSUBSCRIBE"));
    assert!(server.answers("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"));
}

#[test]
fn messages_come_between_answers() {
    let mut client = client();
    let subscribe = client.request("SUBSCRIBE a");
    let mut server = server();
    server.forward(1, &subscribe, &cmd("SUBSCRIBE a"));
    server.answers(&said('*', "subscribe", "a", 1));
    assert_eq!(server.hears(MESSAGE), FromServer::Push);
    let ping = client.request("PING");
    assert_eq!(ping.pin, Pin::None, "on the connection that is pinned");
    server.forward(2, &ping, &cmd("PING"));
    assert_eq!(server.hears(MESSAGE), FromServer::Push);
    assert!(server.answers("*2\r\n$4\r\npong\r\n$0\r\n\r\n"));
    let leave = client.request("UNSUBSCRIBE a");
    server.forward(3, &leave, &cmd("UNSUBSCRIBE a"));
    assert_eq!(server.hears(MESSAGE), FromServer::Push);
    assert!(server.answers(&said('*', "unsubscribe", "a", 0)));
    let list = client.request("LRANGE l 0 -1");
    server.forward(4, &list, &cmd("LRANGE l 0 -1"));
    assert!(server.answers(MESSAGE), "a list that looks like a message");
}

#[test]
fn in_resp3_pushes_are_pushes_but_for_confirmations() {
    let subscribe = resp3().request("SUBSCRIBE a b");
    let mut server = server3();
    server.forward(1, &subscribe, &cmd("SUBSCRIBE a b"));
    assert!(!server.answers(&said('>', "subscribe", "a", 1)));
    assert_eq!(
        server.hears(">3\r\n+message\r\n+a\r\n+m\r\n"),
        FromServer::Push
    );
    assert_eq!(server.hears(">2\r\n+invalidate\r\n_\r\n"), FromServer::Push);
    assert_eq!(
        server.hears(&said('>', "sunsubscribe", "s", 0)),
        FromServer::Push
    );
    assert!(server.answers(&said('>', "subscribe", "b", 2)));
    let list = resp3().request("LRANGE l 0 -1");
    server.forward(2, &list, &cmd("LRANGE l 0 -1"));
    assert_eq!(
        server.hears(&said('>', "subscribe", "x", 3)),
        FromServer::Push
    );
    assert!(server.answers(MESSAGE));
}

#[test]
fn a_resp3_client_sends_other_commands_aside() {
    let mut client = resp3();
    client.request("SUBSCRIBE a");
    let get = client.request("GET k");
    assert_eq!(get.pin, Pin::Aside);
    assert_ne!(get.constraint, meltemi_codec::Constraint::None);
    assert_eq!(client.request("WATCH k").pin, Pin::UntilRelease);
    assert_eq!(client.request("GET k").pin, Pin::None);
    client.request("UNWATCH");
    assert_eq!(client.request("GET k").pin, Pin::Aside);
    client.request("MULTI");
    assert_ne!(client.request("GET k").pin, Pin::Aside);
    assert_eq!(
        client.request("EXEC").pin,
        Pin::None,
        "the subscription stands"
    );
    assert_eq!(client.request("UNSUBSCRIBE").pin, Pin::Release);
    assert_eq!(client.request("GET k").pin, Pin::None);
}

#[test]
fn a_shard_channel_that_moved_is_no_subscription() {
    let mut client = resp3();
    client.request("SSUBSCRIBE s");
    let mut out = Vec::new();
    let moved = said('>', "sunsubscribe", "s", 0);
    client.codec.push(moved.as_bytes(), &mut out);
    assert_eq!(out, moved.as_bytes());
    assert_eq!(client.codec.end_of_file(), EndOfFile::Finish);
}

#[test]
fn who_listens_and_closes_its_side_is_gone() {
    let mut client = client();
    assert_eq!(client.codec.end_of_file(), EndOfFile::Finish);
    client.request("SUBSCRIBE a");
    assert_eq!(client.codec.end_of_file(), EndOfFile::Abandon);
    client.request("UNSUBSCRIBE");
    assert_eq!(client.codec.end_of_file(), EndOfFile::Finish);
}

#[test]
fn a_command_without_channels_is_the_servers_to_refuse() {
    let request: Request = client().request("SUBSCRIBE");
    assert_eq!((request.pin, request.answers), (Pin::None, Answers::One));
    assert!(matches!(
        client().say("SUBSCRIBE"),
        (FromClient::Request(_), _)
    ));
}
