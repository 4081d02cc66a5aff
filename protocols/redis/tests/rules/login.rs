//! `AUTH`, `HELLO`, `SELECT`, `RESET`, `QUIT`.

use meltemi_codec::{FromClient, Open, Pin};
use meltemi_redis::Redis;

use crate::{
    legs::{Client, Server, client, configured},
    words::cmd,
};

/// What a server's connection is opened with for a client that has said this.
fn opened(client: &mut Client) -> String {
    let session = client.request("PING").session;
    Server::of(&Redis::default(), session.as_ref(), false).2
}

#[test]
fn a_new_client_needs_nothing() {
    assert_eq!(client().request("GET k").session, None);
    let (_, open, said) = Server::of(&Redis::default(), None, false);
    assert_eq!((open, said.as_str()), (Open::Ready, ""));
}

#[test]
fn a_database_is_selected_if_the_server_agrees() {
    let mut client = client();
    let (own, event, out) = client.asks("SELECT 3", Some("+OK\r\n"));
    assert_eq!((event, out.as_str()), (FromClient::Answered, "+OK\r\n"));
    assert_eq!(own.bytes.as_ref(), cmd("SELECT 3"));
    assert_eq!(own.request.session, client.request("GET k").session);
    assert_eq!(opened(&mut client).as_bytes(), cmd("SELECT 3"));
    for refusal in [Some("-ERR DB index is out of range\r\n"), None] {
        let (_, event, out) = client.asks("SELECT 99", refusal);
        assert_eq!(event, FromClient::Answered);
        assert!(out.starts_with("-ERR"), "{out}");
        assert_eq!(opened(&mut client).as_bytes(), cmd("SELECT 3"));
    }
    // What changes nothing is not asked.
    client.request("SELECT 3");
    client.request("SELECT x");
    assert_eq!(
        client
            .attribute(b"PING\r\n", &client_memo(), "db")
            .as_deref(),
        Some("3")
    );
}

fn client_memo() -> meltemi_codec::Memo {
    client().request("PING").memo
}

#[test]
fn a_session_is_the_same_value_until_it_changes() {
    let mut client = client();
    client.asks("SELECT 3", Some("+OK\r\n"));
    let (one, two) = (
        client.request("GET a").session,
        client.request("GET b").session,
    );
    let same = one
        .zip(two)
        .is_some_and(|(one, two)| std::rc::Rc::ptr_eq(&one.0, &two.0));
    assert!(same);
    client.asks("SELECT 0", Some("+OK\r\n"));
    assert_eq!(client.request("GET a").session, None);
}

#[test]
fn hello_makes_the_connection_what_it_says() {
    let mut client = client();
    let map = "%1\r\n+proto\r\n:3\r\n";
    let (own, event, out) = client.asks("HELLO 3 AUTH u p SETNAME me", Some(map));
    assert_eq!((event, out.as_str()), (FromClient::Answered, map));
    assert_eq!(
        own.bytes.as_ref(),
        cmd("HELLO 3"),
        "credentials are the session's"
    );
    assert_eq!(opened(&mut client).as_bytes(), cmd("HELLO 3 AUTH u p"));
    assert_eq!(client.told("CLIENT GETNAME"), "$2\r\nme\r\n");
    client.asks("HELLO 2", Some("*0\r\n"));
    assert_eq!(opened(&mut client).as_bytes(), cmd("AUTH u p"));
    client.asks(
        "HELLO 3",
        Some("-NOPROTO sorry this protocol version is not supported\r\n"),
    );
    assert_eq!(opened(&mut client).as_bytes(), cmd("AUTH u p"));
}

#[test]
fn hello_that_is_wrong_ends_here() {
    let mut client = client();
    for (line, said) in [
        ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
        (
            "HELLO x",
            "-ERR Protocol version is not an integer or out of range\r\n",
        ),
        (
            "HELLO 3 AUTH u",
            "-ERR Syntax error in HELLO option 'AUTH'\r\n",
        ),
        ("HELLO 3 x", "-ERR Syntax error in HELLO option 'x'\r\n"),
    ] {
        assert_eq!(client.told(line), said);
    }
    client.request("HELLO");
}

#[test]
fn the_servers_judge_a_password_where_the_proxy_asks_for_none() {
    let mut client = client();
    let (own, _, out) = client.asks("AUTH secret", Some("+OK\r\n"));
    assert_eq!(
        (own.bytes.as_ref(), out.as_str()),
        (&*cmd("AUTH secret"), "+OK\r\n")
    );
    assert_eq!(
        opened(&mut client).as_bytes(),
        cmd("AUTH secret"),
        "as before Redis 6"
    );
    let refusal = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let (_, _, out) = client.asks("AUTH u wrong", Some(refusal));
    assert_eq!(out, refusal);
    assert_eq!(opened(&mut client).as_bytes(), cmd("AUTH secret"));
    let (_, _, _) = client.asks("AUTH u right", Some("+OK\r\n"));
    assert_eq!(
        client
            .attribute(b"PING\r\n", &client_memo(), "user")
            .as_deref(),
        Some("u")
    );
}

#[test]
fn a_password_of_the_proxys_own_is_checked_here() {
    let protocol = configured(&[("username", "app"), ("password", "secret")]);
    let mut client = Client::of(&*protocol);
    let denied = "-NOAUTH Authentication required.\r\n";
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    assert_eq!(client.told("GET k"), denied);
    assert_eq!(client.told("MULTI"), denied);
    assert_eq!(client.told("AUTH secret"), wrong, "of another user");
    assert_eq!(client.told("AUTH app wrong"), wrong);
    assert_eq!(client.told("AUTH a b c"), "-ERR syntax error\r\n");
    assert!(
        client
            .told("HELLO 3")
            .starts_with("-NOAUTH HELLO must be called")
    );
    assert!(
        client
            .told("HELLO")
            .starts_with("-NOAUTH HELLO must be called")
    );
    assert_eq!(client.told("HELLO 3 AUTH app no"), wrong);
    assert_eq!(client.told("AUTH app secret"), "+OK\r\n");
    assert_eq!(
        client.request("GET k").session,
        None,
        "the servers have their own"
    );
    assert_eq!(
        client
            .attribute(b"PING\r\n", &client_memo(), "user")
            .as_deref(),
        Some("app")
    );
    let (own, _, _) = client.asks("HELLO 3 AUTH app secret", Some("%0\r\n"));
    assert_eq!(own.bytes.as_ref(), cmd("HELLO 3"));
    let (_, _, said) = Server::of(&*protocol, own.request.session.as_ref(), false);
    assert_eq!(said.as_bytes(), cmd("HELLO 3"));
    assert_eq!(client.told("RESET"), "+RESET\r\n");
    assert_eq!(client.told("GET k"), denied);
}

#[test]
fn before_a_password_only_little_is_read() {
    let protocol = configured(&[("password", "secret")]);
    for (bytes, error) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        ("*2\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        let mut client = Client::of(&*protocol);
        let mut out = Vec::new();
        assert!(client.codec.decode(bytes.as_bytes(), &mut out).is_err());
        let said = format!("-ERR Protocol error: {error}\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), said);
        let mut client = Client::of(&*protocol);
        client.told("AUTH secret");
        assert!(
            client
                .codec
                .decode(bytes.as_bytes(), &mut Vec::new())
                .is_ok()
        );
    }
}

#[test]
fn on_a_connection_of_its_own_the_client_speaks_for_itself() {
    let mut client = client();
    client.request("CLIENT ID");
    for line in ["SELECT 2", "AUTH a b", "HELLO 3", "RESET"] {
        let request = client.request(line);
        assert!(matches!(request.pin, Pin::UntilClose | Pin::None), "{line}");
    }
}

#[test]
fn the_proxys_password_does_not_reach_a_connection_of_the_clients_own() {
    let protocol = configured(&[("password", "secret")]);
    let mut client = Client::of(&*protocol);
    client.told("AUTH secret");
    client.told("CLIENT SETNAME me");
    client.request("WATCH k");
    let line = "HELLO 3 AUTH default secret SETNAME you";
    let hello = client.request(line);
    assert_eq!(hello.pin, Pin::UntilClose);
    let (mut server, _, _) = Server::of(&*protocol, None, false);
    let said = server.forward(1, &hello, &cmd(line));
    let words = [cmd("CLIENT SETNAME me"), cmd("HELLO 3 SETNAME you")].concat();
    assert_eq!(said.as_bytes(), words);
    assert_eq!(server.hears("+OK\r\n"), meltemi_codec::FromServer::Answered);
    assert!(server.answers("%0\r\n"));
}

#[test]
fn the_proxys_password_reaches_no_server_in_any_state() {
    let protocol = configured(&[("password", "secret")]);
    for states in [
        &["SUBSCRIBE c"][..],
        &["WATCH k", "MULTI"],
        &["MONITOR"],
        &["WATCH k"],
        &["CLIENT ID"],
    ] {
        for line in ["AUTH secret", "HELLO 3 AUTH default secret"] {
            let mut client = Client::of(&*protocol);
            client.told("AUTH secret");
            for state in states {
                client.request(state);
            }
            let said = match client.say(line) {
                (FromClient::Request(request), _) => {
                    let (mut server, _, _) = Server::of(&*protocol, None, false);
                    server.forward(1, &request, &cmd(line))
                }
                _ => String::new(),
            };
            assert!(!said.contains("secret"), "{states:?}: {said}");
        }
    }
}

#[test]
fn reset_makes_a_new_client_of_it() {
    let mut client = client();
    client.asks("HELLO 3 AUTH u p SETNAME me", Some("%0\r\n"));
    client.asks("SELECT 2", Some("+OK\r\n"));
    client.told("MULTI");
    assert_eq!(client.told("RESET"), "+RESET\r\n");
    assert_eq!(client.request("GET k").session, None);
    assert_eq!(client.told("CLIENT GETNAME"), "$-1\r\n");
    client.told("CLIENT REPLY ON");
}

#[test]
fn reset_of_a_pinned_connection_leaves_it_as_it_was_opened() {
    let protocol = configured(&[("upstreamPassword", "up")]);
    let mut client = Client::of(&*protocol);
    client.asks("SELECT 2", Some("+OK\r\n"));
    let watch = client.request("WATCH k");
    let (mut server, _, _) = Server::of(&*protocol, watch.session.as_ref(), false);
    server.hears("+OK\r\n");
    server.hears("+OK\r\n");
    let reset = client.request("RESET");
    assert_eq!(reset.pin, Pin::Release);
    let said = server.forward(1, &reset, &cmd("RESET"));
    let words = [cmd("RESET"), cmd("AUTH up"), cmd("SELECT 2")].concat();
    assert_eq!(said.as_bytes(), words);
    let get = client.request("GET k");
    server.forward(2, &get, &cmd("GET k"));
    assert!(server.answers("+RESET\r\n"));
    for _ in 0..2 {
        assert_eq!(server.hears("+OK\r\n"), meltemi_codec::FromServer::Answered);
    }
    assert!(server.answers("$-1\r\n"));
    assert_eq!(client.request("GET k").session, None);
}

#[test]
fn quit_leaves() {
    assert_eq!(
        client().say("QUIT"),
        (FromClient::Goodbye, "+OK\r\n".into())
    );
    assert_eq!(
        client().say("quit now"),
        (FromClient::Goodbye, "+OK\r\n".into())
    );
}
