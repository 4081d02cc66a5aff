//! Commands about the client's own connection.

use meltemi_codec::{Answers, EndOfFile, FromClient, FromServer, LocalReply, Pin, Status};

use crate::{
    legs::{client, server},
    words::cmd,
};

#[test]
fn a_name_is_kept_here() {
    let mut client = client();
    assert_eq!(client.told("CLIENT GETNAME"), "$-1\r\n");
    assert_eq!(client.told("CLIENT SETNAME me"), "+OK\r\n");
    assert_eq!(client.told("client getname"), "$2\r\nme\r\n");
    let refused = "-ERR Client names cannot contain spaces, newlines or special characters.\r\n";
    assert_eq!(client.told("CLIENT SETNAME a\nb"), refused);
    assert_eq!(client.told("CLIENT GETNAME"), "$2\r\nme\r\n");
    assert_eq!(client.told("CLIENT SETNAME "), "+OK\r\n");
    client.asks("HELLO 3", Some("%0\r\n"));
    assert_eq!(client.told("CLIENT GETNAME"), "_\r\n");
    client.request("CLIENT SETNAME");
}

#[test]
fn a_library_names_itself() {
    let mut client = client();
    assert_eq!(client.told("CLIENT SETINFO LIB-NAME redis-py"), "+OK\r\n");
    assert_eq!(client.told("CLIENT SETINFO lib-ver 8.0"), "+OK\r\n");
    assert_eq!(
        client.told("CLIENT SETINFO x y"),
        "-ERR Unrecognized option 'x'\r\n"
    );
    let refused = "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n";
    assert_eq!(client.told("CLIENT SETINFO LIB-VER a\tb"), refused);
}

#[test]
fn what_is_about_its_connection_gives_it_one_of_its_own_with_its_name() {
    for line in [
        "CLIENT ID",
        "CLIENT INFO",
        "CLIENT TRACKING on",
        "CLIENT TRACKINGINFO",
        "CLIENT CACHING yes",
        "CLIENT GETREDIR",
        "CLIENT NO-EVICT on",
        "CLIENT NO-TOUCH on",
        "CLIENT KILL ID 7",
        "SCRIPT DEBUG yes",
    ] {
        let mut client = client();
        client.told("CLIENT SETNAME me");
        let request = client.request(line);
        assert_eq!(request.pin, Pin::UntilClose, "{line}");
        let mut server = server();
        let said = server.forward(1, &request, &cmd(line));
        assert_eq!(
            said.as_bytes(),
            [cmd("CLIENT SETNAME me"), cmd(line)].concat()
        );
        assert_eq!(server.hears("+OK\r\n"), FromServer::Answered);
        assert!(server.answers(":7\r\n"));
        let again = client.request(line);
        assert_eq!(server.forward(2, &again, &cmd(line)).as_bytes(), cmd(line));
        client.request("CLIENT SETNAME other");
        client.request("CLIENT GETNAME");
    }
}

#[test]
fn what_is_about_other_clients_passes() {
    for line in [
        "CLIENT LIST",
        "CLIENT UNBLOCK 7",
        "CLIENT PAUSE 1",
        "CLIENT UNPAUSE",
        "DEBUG SLEEP 0",
    ] {
        assert_eq!(client().request(line).pin, Pin::None, "{line}");
    }
}

#[test]
fn replies_are_off_until_they_are_on() {
    let mut client = client();
    assert_eq!(client.told("CLIENT REPLY OFF"), "");
    let get = client.request("GET k");
    assert_eq!(get.answers, Answers::One, "the server answers as ever");
    assert_eq!(client.answer(&get, "$1\r\nv\r\n"), "");
    let reply = LocalReply {
        status: Status::Timeout,
        message: "too late",
    };
    let mut out = Vec::new();
    assert_eq!(
        client.codec.local_reply(0, &get.memo, reply, &mut out),
        Some(0)
    );
    assert!(out.is_empty());
    assert_eq!(client.told("MULTI"), "");
    assert_eq!(client.told("PING"), "");
    assert_eq!(client.told("DISCARD"), "");
    assert_eq!(client.told("CLIENT SETNAME x"), "");
    assert_eq!(client.told("CLIENT REPLY SKIP"), "");
    assert_eq!(client.told("CLIENT REPLY x"), "");
    assert_eq!(client.told("CLIENT REPLY ON"), "+OK\r\n");
    let get = client.request("GET k");
    assert_eq!(client.answer(&get, "$1\r\nv\r\n"), "$1\r\nv\r\n");
    assert_eq!(client.told("CLIENT REPLY x"), "-ERR syntax error\r\n");
}

#[test]
fn one_reply_is_skipped() {
    let mut client = client();
    assert_eq!(client.told("CLIENT REPLY SKIP"), "");
    let (one, two) = (client.request("GET k"), client.request("GET k"));
    assert_eq!(client.answer(&one, "+a\r\n"), "");
    assert_eq!(client.answer(&two, "+b\r\n"), "+b\r\n");
}

#[test]
fn a_question_does_not_use_up_a_skipped_reply() {
    let mut client = client();
    client.told("CLIENT REPLY SKIP");
    let (_, _, out) = client.asks("SELECT 1", Some("+OK\r\n"));
    assert_eq!(out, "");
    let get = client.request("GET k");
    assert_eq!(client.answer(&get, "+a\r\n"), "+a\r\n");
}

#[test]
fn monitor_has_no_end_but_reset() {
    let mut client = client();
    let monitor = client.request("MONITOR");
    assert_eq!(
        (monitor.pin, monitor.answers),
        (Pin::UntilClose, Answers::UntilEnd)
    );
    assert_eq!(client.codec.end_of_file(), EndOfFile::Abandon);
    let mut server = server();
    server.forward(1, &monitor, &cmd("MONITOR"));
    assert!(!server.answers("+OK\r\n"));
    assert!(!server.answers("+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n"));
    // Whether the server has agreed the client's side knows with its first answer.
    assert_eq!(client.request("PING").answers, Answers::One);
    client.answer(&monitor, "+OK\r\n");
    assert_eq!(client.request("PING").answers, Answers::None);
    let reset = client.request("RESET");
    assert_eq!(reset.answers, Answers::None);
    assert_eq!(reset.pin, Pin::None);
    let mut out = Vec::new();
    let frame = crate::legs::whole(b"RESET\r\n", &reset.memo);
    server.codec.forward(2, frame, &mut out);
    assert!(server.answers("+RESET\r\n"));
    assert_eq!(client.codec.end_of_file(), EndOfFile::Finish);
}

#[test]
fn a_server_may_refuse_to_be_monitored() {
    let mut client = client();
    let monitor = client.request("MONITOR");
    let behind = client.request("GET k");
    let mut server = server();
    server.forward(1, &monitor, &cmd("MONITOR"));
    server.forward(2, &behind, &cmd("GET k"));
    assert!(server.answers("-NOPERM no\r\n"));
    client.answer(&monitor, "-NOPERM no\r\n");
    assert_eq!(client.request("PING").answers, Answers::One);
    assert!(server.answers("$-1\r\n"));
    assert_eq!(client.answer(&behind, "$-1\r\n"), "$-1\r\n");
}

#[test]
fn a_replication_stream_is_no_resp() {
    let mut client = client();
    let conf = client.request("REPLCONF listening-port 1");
    assert_eq!((conf.pin, conf.answers), (Pin::UntilClose, Answers::One));
    let psync = client.request("PSYNC ? -1");
    assert_eq!(psync.answers, Answers::UntilEnd);
    let mut server = server();
    server.forward(1, &psync, &cmd("PSYNC ? -1"));
    for bytes in [
        "\n",
        "+FULLRESYNC abc 0\r\n",
        "$10\r\nREDIS\u{1}",
        "anything",
        "$1\r\nx",
    ] {
        assert!(!server.answers(bytes), "{bytes:?}");
    }
    client.answer(&psync, "\n");
    assert_eq!(client.request("REPLCONF ACK 0").answers, Answers::None);
    assert_eq!(client.codec.end_of_file(), EndOfFile::Abandon);
}

#[test]
fn shutdown_is_not_for_clients_of_a_proxy() {
    let (
        FromClient::Refused {
            status,
            message,
            request,
        },
        _,
    ) = client().say("SHUTDOWN NOSAVE")
    else {
        panic!("it would stop the server for all");
    };
    assert_eq!(status, Status::Unsupported);
    let mut out = Vec::new();
    client()
        .codec
        .local_reply(0, &request.memo, LocalReply { status, message }, &mut out);
    assert!(out.starts_with(b"-ERR proxy: SHUTDOWN is not for clients"));
}

#[test]
fn a_push_that_a_command_asks_for_needs_a_connection() {
    assert_eq!(client().request("DEBUG PROTOCOL PUSH").pin, Pin::UntilClose);
}
