//! What a client hears at the end: of its own connection, of the server, of what it may not do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use meltemi_tests::Meltemi;
use meltemi_tests::redis::{Proxied, Server, Wire, manifests, pipeline};

/// All that comes back to a client that sends these commands at once and closes its sending side.
fn heard(address: SocketAddr, commands: &[&str]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&pipeline(commands)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    String::from_utf8(all).unwrap()
}

#[test]
fn a_client_that_says_no_more_gets_what_it_is_owed() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let proxied = Proxied::start(&[("cache.demo", &server)], "");
    let rows: [&[&str]; 6] = [
        &["SET a 1", "GET a", "BLPOP nothing 0"],
        &["SET a 1", "GET a", "BLPOP nothing 0", "SET a 2"],
        &["SUBSCRIBE c", "PING"],
        &["HELLO 3", "SUBSCRIBE c", "GET a", "PING"],
        &["MULTI", "SET a 3", "EXEC", "GET a"],
        &[
            "HELLO 3",
            "SUBSCRIBE c",
            "MULTI",
            "PUBLISH c m",
            "GET a",
            "EXEC",
            "PING",
        ],
    ];
    for row in rows {
        // The number of a connection is its own.
        let without_id = |answers: String| match answers.split_once("\r\nid\r\n:") {
            Some((head, rest)) => format!("{head}{}", rest.trim_start_matches(char::is_numeric)),
            None => answers,
        };
        let direct = without_id(heard(server.address(), row));
        assert_eq!(without_id(heard(proxied.address(), row)), direct, "{row:?}");
    }
    let mut other = server.connect();
    assert_eq!(other.call("RPUSH nothing x"), ":1");
    assert_eq!(
        other.call("LPOP nothing"),
        "x",
        "nobody waits for it any more"
    );
}

#[test]
fn what_follows_a_refused_stream_is_answered() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let proxied = Proxied::start(&[("cache.demo", &server)], "");
    let mut admin = server.connect();
    admin.call("ACL SETUSER u on >p ~* &* +@all -monitor -psync -sync");
    for stream in ["MONITOR", "SYNC", "PSYNC ? -1"] {
        let row = ["AUTH u p", stream, "PING", "GET a"];
        let answers = |mut client: Wire| {
            client.send(&pipeline(&row));
            row.map(|_| client.reply())
        };
        let direct = answers(server.connect());
        assert_eq!(answers(proxied.connect()), direct, "{stream}");
        assert!(direct[1].starts_with("-NOPERM"), "{direct:?}");
    }
}

#[test]
fn without_a_server_every_command_is_told_so() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let manifests = manifests(&[gone]);
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
    let address = meltemi.address("default/edge/redis");
    let rows: [&[&str]; 6] = [
        &["SET a 1", "MULTI", "SET a 1", "EXEC", "GET a"],
        &["WATCH a", "MULTI", "GET a", "EXEC"],
        &["SELECT 1", "AUTH a b", "HELLO 3"],
        &["SUBSCRIBE c", "GET a"],
        &["BLPOP a 0", "GET a"],
        &["MONITOR", "GET a"],
    ];
    for row in rows {
        let mut client = Wire::connect(address);
        client.send(&pipeline(row));
        // The connection stays.
        client.command("ECHO x");
        for command in row.iter().chain(&["ECHO x"]) {
            let answer = client.reply();
            let begins = *command == "MULTI" && answer == "+OK";
            assert!(
                begins || answer.starts_with("-ERR proxy: "),
                "{row:?}: {answer}"
            );
        }
    }
}

#[test]
fn a_large_answer_that_nobody_wants_to_hear_is_not_heard() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let proxied = Proxied::start(&[("cache.demo", &server)], "");
    let large = "v".repeat(300_000);
    assert_eq!(server.connect().call(&format!("SET large {large}")), "+OK");
    for row in [
        &["CLIENT REPLY SKIP", "GET large", "PING"][..],
        &["CLIENT REPLY SKIP", "MGET large large", "PING", "GET large"],
        &[
            "CLIENT REPLY OFF",
            "GET large",
            "PING",
            "CLIENT REPLY ON",
            "PING",
        ],
    ] {
        let direct = heard(server.address(), row);
        assert!(heard(proxied.address(), row) == direct, "{row:?}");
    }
}

#[test]
fn bad_bytes_behind_what_blocks_are_answered_in_their_turn() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let proxied = Proxied::start(&[("cache.demo", &server)], "");
    let mut bytes = pipeline(&["RPUSH list x", "BLPOP list 1", "PING", "BLPOP none 0.05"]);
    bytes.extend_from_slice(b"*1\r\n$zz\r\n");
    let told = |address| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        all
    };
    assert_eq!(told(proxied.address()), told(server.address()));
}

#[test]
fn what_a_client_had_for_itself_never_reaches_others() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let proxied = Proxied::start(&[("cache.demo", &server)], "");
    let mut other = server.connect();
    assert_eq!(other.call("SET key value"), "+OK");
    let reads = pipeline(&["GET key"; 5]);
    let expected = "$5\r\nvalue\r\n".repeat(5);
    for pins in ["SUBSCRIBE channel", "WATCH key", "MULTI"] {
        let leaving = pipeline(&["BLPOP list 0.05", "GET key", pins]);
        let broken = [leaving.as_slice(), b"get \"a\r\n"].concat();
        for round in 0..20 {
            other.call("RPUSH list element");
            // They ask while the one with a connection of its own is leaving.
            let connect = || TcpStream::connect(proxied.address()).unwrap();
            let (mut leaver, mut others) = (connect(), [connect(), connect()]);
            match round % 2 {
                0 => leaver.write_all(&leaving).unwrap(),
                _ => leaver.write_all(&broken).unwrap(),
            }
            leaver.shutdown(Shutdown::Write).unwrap();
            for stream in &mut others {
                stream.write_all(&reads).unwrap();
            }
            for mut stream in others {
                stream.shutdown(Shutdown::Write).unwrap();
                let mut answers = String::new();
                stream.read_to_string(&mut answers).unwrap();
                assert_eq!(answers, expected, "{pins}, round {round}");
            }
        }
    }
}
