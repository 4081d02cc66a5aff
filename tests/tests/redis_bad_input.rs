//! Bad input costs whoever sent it, and nobody else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use meltemi_tests::redis::{Server, Wire, manifests};
use meltemi_tests::{Manifests, Meltemi, PATIENCE, until};

fn proxied(servers: &[SocketAddr]) -> (Manifests, Meltemi, SocketAddr) {
    let manifests = manifests(servers);
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
    let address = meltemi.address("default/edge/redis");
    (manifests, meltemi, address)
}

/// All that is said to these bytes until the connection ends, or to a `PING` behind them.
fn said(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE / 6)).unwrap();
    // One that closes while it is written to has said its part.
    let _ = stream
        .write_all(bytes)
        .and_then(|()| stream.write_all(b"ECHO still-here\r\n"));
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while !heard.ends_with(b"still-here\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => heard.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("after {}: {error}", bytes.escape_ascii()),
        }
    }
    heard.escape_ascii().to_string()
}

#[test]
fn a_client_that_breaks_the_protocol_is_told_as_a_server_tells_it() {
    if !Server::is_installed() {
        return;
    }
    let (twin, server) = (Server::start(&[]), Server::start(&[]));
    let (_manifests, meltemi, address) = proxied(&[server.address()]);
    let mut other = Wire::connect(address);
    for wire in [&mut other, &mut twin.connect()] {
        assert_eq!(wire.call("SET k 1"), "+OK");
    }
    let cases: &[&[u8]] = &[
        b"*1\r\n$-5\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n+PING\r\n",
        b"*1\r\n:1\r\n",
        b"*x\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"\r\n\r\n",
        b"*2147483648\r\n",
        b"*1\r\n$536870913\r\n",
        b"*99999999999999999999\r\n",
        b"SET k \"unbalanced\r\n",
        b"SET k 'un\"balanced\r\n",
        b"SET k \"v\"x\r\n",
        b"GET \"\\x6b\"\r\n",
        b"  GET   k  \r\n",
        b"SET k 2\r\n*1\r\n$x\r\n",
        b"MULTI\r\nSET k 9\r\n*1\r\n$x\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nkXX*1\r\n$4\r\nPING\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"*1\r\n$4\r\nQUIT\r\nPING\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n",
    ];
    for case in cases {
        let shown = case.get(..60).unwrap_or(case).escape_ascii();
        assert_eq!(said(address, case), said(twin.address(), case), "{shown}");
        assert_eq!(other.call("PING"), "+PONG", "{shown}");
    }
    assert_eq!(
        other.call("GET k"),
        Wire::connect(twin.address()).call("GET k")
    );
    // A server alone would wait for the end of this line, and another client's request behind it.
    let zero = said(address, b"\0\0\0\0\r\n");
    assert!(zero.ends_with("still-here\\r\\n"), "{zero}");
    assert_eq!(meltemi.get("/ready").unwrap().status, 200);
}

#[test]
fn random_bytes_end_no_other_client() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let (_manifests, meltemi, address) = proxied(&[server.address()]);
    let mut other = Wire::connect(address);
    let mut random = meltemi_tests::redis::script::Random::new(7);
    let pieces: &[&[u8]] = &[
        b"*",
        b"$",
        b"\r\n",
        b"3",
        b"-1",
        b"GET",
        b"SET k v\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\0",
        b"\"",
        b"*2\r\n$3\r\nGET\r\n",
        b"\xff\xfe",
        b">",
        b"%1\r\n",
        b"MULTI\r\n",
        b"EXEC\r\n",
        b"SUBSCRIBE c\r\n",
        b"HELLO 3\r\n",
        b"RESET\r\n",
    ];
    for _ in 0..300 {
        let n = 1 + random.below(12);
        let bytes: Vec<u8> = (0..n)
            .flat_map(|_| pieces[random.below(pieces.len())])
            .copied()
            .collect();
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(&bytes);
        drop(stream);
        assert_eq!(other.call("PING"), "+PONG", "{}", bytes.escape_ascii());
    }
    until("nothing is left behind", || {
        let clients = server.connect().call("CLIENT LIST");
        clients
            .lines()
            .all(|line| line.contains(" sub=0 psub=0 ssub=0 multi=-1 "))
            .then_some(())
    });
    assert_eq!(meltemi.get("/ready").unwrap().status, 200);
}

/// A server that answers its first requests as one should, and then says what it is told to.
fn liar(answer: &'static [u8]) -> (SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, ends) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let closed = closed.clone();
            std::thread::spawn(move || serve(stream, answer, &closed));
        }
    });
    (address, ends)
}

fn serve(mut stream: TcpStream, answer: &[u8], closed: &mpsc::Sender<()>) {
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 {
            break;
        }
        let lie = buffer[..n].windows(3).any(|part| part == b"lie");
        let text: &[u8] = if lie { answer } else { b"+true\r\n" };
        if stream.write_all(text).is_err() {
            break;
        }
    }
    let _ = closed.send(());
}

#[test]
fn garbage_of_a_server_costs_those_whose_answers_were_due() {
    for garbage in [
        &b"garbage\r\n"[..],
        b"$5\r\nabcdefgh\r\n",
        b"$-2\r\n",
        b"*1\r\n$x\r\n",
        b"%-1\r\n",
        b"\x16\x03\x01\x00",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        let shown = garbage.escape_ascii();
        let (address, closed) = liar(garbage);
        let (_manifests, meltemi, proxied) = proxied(&[address]);
        let (mut a, mut b) = (Wire::connect(proxied), Wire::connect(proxied));
        assert_eq!(
            (a.call("GET k"), b.call("GET k")),
            ("+true".into(), "+true".into())
        );
        let refused = a.call("GET lie");
        assert!(refused.starts_with("-ERR proxy: "), "{shown}: {refused}");
        closed.recv_timeout(PATIENCE).unwrap();
        assert_eq!(
            (a.call("GET k"), b.call("GET k")),
            ("+true".into(), "+true".into()),
            "{shown}"
        );
        let metrics = meltemi.get("/metrics").unwrap().body;
        let counted = metrics.lines().any(|line| {
            line.contains("decode_error") && line.contains("cache.demo") && line.ends_with(" 1")
        });
        assert!(counted, "{shown}: {metrics}");
    }
}

#[test]
fn what_nobody_asked_for_reaches_nobody() {
    let (address, _closed) = liar(b"+one\r\n+two\r\n>2\r\n+push\r\n+x\r\n");
    let (_manifests, _meltemi, proxied) = proxied(&[address]);
    let (mut a, mut b) = (Wire::connect(proxied), Wire::connect(proxied));
    assert_eq!(a.call("GET lie"), "+one");
    assert_eq!(b.call("GET k"), "+true");
    assert_eq!(a.call("GET k"), "+true");
}

#[test]
fn how_much_is_logged_of_it_nobody_decides_who_sends_it() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let (_manifests, meltemi, address) = proxied(&[server.address()]);
    let begun = Instant::now();
    for _ in 0..500 {
        said(address, b"*1\r\n$-5\r\n");
    }
    meltemi.counts("meltemi_downstream_decode_errors_total", &[], 500);
    let log = meltemi.process().said();
    let lines = log.matches("malformed request").count();
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!(
        (1..=10 * (seconds + 1)).contains(&lines),
        "{lines} in {seconds}s"
    );
}
