//! `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`.

use meltemi_codec::{Constraint, FromClient, FromServer, LocalReply, Pin, Request, Role, Status};
use meltemi_redis::cluster::slot::shard;

use crate::{
    legs::{Client, client, server},
    words::cmd,
};

fn begun(client: &mut Client, line: &str) -> Request {
    let (_, event, out) = client.asks(line, Some("+OK\r\n"));
    let FromClient::Request(request) = event else {
        panic!("{event:?}");
    };
    assert_eq!(out, "");
    request
}

fn local(client: &mut Client, request: &Request, status: Status) {
    let message = "it could not be sent";
    let reply = LocalReply { status, message };
    client
        .codec
        .local_reply(0, &request.memo, reply, &mut Vec::new());
}

#[test]
fn the_first_key_decides_where_a_transaction_is() {
    let mut client = client();
    assert_eq!(client.told("MULTI"), "+OK\r\n");
    assert_eq!(client.told("PING"), "+QUEUED\r\n");
    assert_eq!(client.told("ECHO x"), "+QUEUED\r\n");
    let (own, event, _) = client.asks("SET k v", Some("+OK\r\n"));
    assert_eq!(own.bytes.as_ref(), cmd("MULTI"));
    assert_eq!(own.request.pin, Pin::UntilRelease);
    assert_eq!(own.request.constraint, shard(b"k", true, Role::Primary));
    let key = client.attribute(&own.bytes, &own.request.memo, "key");
    assert_eq!(key.as_deref(), Some("k"), "routes see where it goes");
    let FromClient::Request(set) = event else {
        panic!("{event:?}");
    };
    let mut server = server();
    server.forward(1, &own.request, &own.bytes);
    assert!(server.answers("+OK\r\n"));
    let said = server.forward(2, &set, &cmd("SET k v"));
    assert_eq!(
        said.as_bytes(),
        [cmd("PING"), cmd("ECHO x"), cmd("SET k v")].concat()
    );
    for _ in 0..2 {
        assert_eq!(server.hears("+QUEUED\r\n"), FromServer::Answered);
    }
    assert!(server.answers("+QUEUED\r\n"));
    assert_eq!(client.answer(&set, "+QUEUED\r\n"), "+QUEUED\r\n");
    let get = client.request("GET other");
    assert_eq!(
        get.constraint,
        Constraint::None,
        "nothing is routed within a pin"
    );
    let exec = client.request("EXEC");
    assert_eq!(exec.pin, Pin::Release);
    assert_eq!(client.request("GET k").pin, Pin::None);
    assert_ne!(client.request("GET k").constraint, Constraint::None);
}

#[test]
fn exec_of_commands_without_keys_goes_anywhere() {
    let mut client = client();
    client.told("MULTI");
    client.told("PING");
    let (own, event, _) = client.asks("EXEC", Some("+OK\r\n"));
    assert_eq!(own.request.constraint, Constraint::None);
    let FromClient::Request(exec) = event else {
        panic!("{event:?}");
    };
    assert_eq!(exec.pin, Pin::Release);
    let said = server().forward(1, &exec, &cmd("EXEC"));
    assert_eq!(said.as_bytes(), [cmd("PING"), cmd("EXEC")].concat());
}

#[test]
fn discard_of_what_no_server_knows_ends_here() {
    let mut client = client();
    client.told("MULTI");
    client.told("PING");
    assert_eq!(client.told("DISCARD"), "+OK\r\n");
    assert_eq!(client.request("GET k").pin, Pin::None);
}

#[test]
fn a_command_that_may_be_wrong_is_judged_by_the_server() {
    for line in [
        "GET",
        "ECHO",
        "MULTI",
        "WATCH k",
        "SELECT 1",
        "CONFIG NOSUCH",
        "DBSIZE",
    ] {
        let mut client = client();
        client.told("MULTI");
        begun(&mut client, line);
    }
}

/// The core knows of a command what it is shown: a policy is about what it would see.
#[test]
fn what_a_policy_may_be_about_is_not_kept() {
    for line in [
        "PUBLISH c m",
        "SWAPDB 0 1",
        "CONFIG GET x",
        "CLIENT LIST",
        "ACL GETUSER u",
    ] {
        let mut client = client();
        client.told("MULTI");
        begun(&mut client, line);
    }
}

#[test]
fn where_the_server_refuses_the_transaction_is_aborted() {
    let mut client = client();
    for (answer, said) in [
        (Some("-NOPERM no\r\n"), "-NOPERM no\r\n"),
        (None, "-ERR proxy: the server gave no answer\r\n"),
    ] {
        client.told("MULTI");
        let (_, event, out) = client.asks("SET k v", answer);
        assert_eq!((event, out.as_str()), (FromClient::Answered, said));
        assert_eq!(client.told("GET k"), said);
        let exec = client.request("EXEC");
        assert_eq!(exec.pin, Pin::Release, "the question has pinned");
        assert_eq!(
            server().forward(1, &exec, &cmd("EXEC")).as_bytes(),
            cmd("DISCARD")
        );
        let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
        assert_eq!(
            client.answer(&exec, "-ERR DISCARD without MULTI\r\n"),
            aborted
        );
        client.told("MULTI");
        client.asks("SET k v", answer);
        let discard = client.request("DISCARD");
        assert_eq!(
            client.answer(&discard, "-ERR DISCARD without MULTI\r\n"),
            "+OK\r\n"
        );
        client.request("GET k");
    }
}

#[test]
fn a_command_that_the_proxy_refused_aborts_the_transaction() {
    let mut client = client();
    client.told("MULTI");
    let set = begun(&mut client, "SET k v");
    local(&mut client, &set, Status::RateLimited);
    let get = client.request("GET k");
    client.answer(&get, "+QUEUED\r\n");
    let exec = client.request("EXEC");
    assert_eq!(exec.pin, Pin::Release);
    assert_eq!(
        server().forward(1, &exec, &cmd("EXEC")).as_bytes(),
        cmd("DISCARD")
    );
    assert!(client.answer(&exec, "+OK\r\n").starts_with("-EXECABORT"));
}

#[test]
fn nothing_of_a_transaction_is_executed_without_its_connection() {
    let mut client = client();
    client.told("MULTI");
    let set = begun(&mut client, "SET k v");
    local(&mut client, &set, Status::UpstreamReset);
    let lost = "-ERR proxy: the connection of the transaction was lost\r\n";
    assert_eq!(client.told("SET k w"), lost);
    let exec = client.request("EXEC");
    assert!(
        client
            .answer(&exec, "-ERR DISCARD without MULTI\r\n")
            .starts_with("-EXECABORT")
    );
}

#[test]
fn client_reply_within_a_transaction_is_not_supported() {
    let mut client = client();
    client.told("MULTI");
    begun(&mut client, "SET k v");
    let (FromClient::Refused { status, .. }, _) = client.say("CLIENT REPLY OFF") else {
        panic!("it would silence the server");
    };
    assert_eq!(status, Status::Unsupported);
}

#[test]
fn what_exec_changes_of_a_connection_keeps_it_from_others() {
    for line in [
        "SELECT 1",
        "AUTH p",
        "SUBSCRIBE c",
        "CLIENT SETNAME x",
        "CLIENT TRACKING on",
    ] {
        let mut client = client();
        client.told("MULTI");
        begun(&mut client, "SET k v");
        assert_eq!(client.request(line).pin, Pin::UntilClose, "{line}");
        assert_eq!(client.request("EXEC").pin, Pin::None, "{line}");
    }
}

#[test]
fn watch_holds_the_connection_until_the_end_of_the_transaction() {
    for end in ["EXEC", "DISCARD"] {
        let mut client = client();
        let watch = client.request("WATCH k");
        assert_eq!(watch.pin, Pin::UntilRelease);
        assert_eq!(watch.constraint, shard(b"k", true, Role::Primary));
        assert_eq!(client.request("GET k").pin, Pin::None);
        client.request("MULTI");
        client.request("PING");
        assert_eq!(client.request(end).pin, Pin::Release);
    }
    let mut client = client();
    client.request("WATCH k");
    assert_eq!(client.request("UNWATCH").pin, Pin::Release);
    assert_eq!(client.request("UNWATCH").pin, Pin::None);
}

#[test]
fn exec_without_a_transaction_is_the_servers_to_refuse() {
    let mut client = client();
    assert_eq!(client.request("EXEC").pin, Pin::None);
    client.request("WATCH k");
    assert_eq!(client.request("DISCARD").pin, Pin::None, "the watch stands");
}

#[test]
fn a_server_that_refuses_multi_has_begun_nothing() {
    let mut client = client();
    client.request("WATCH k");
    let multi = client.request("MULTI");
    client.answer(&multi, "-NOPERM no\r\n");
    assert_eq!(client.request("EXEC").pin, Pin::None);
}
