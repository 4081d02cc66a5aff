//! Input that no library sends: each gets an answer or a closed connection, and costs nobody else anything.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use meltemi_tests::Proxied;
use meltemi_tests::dubbo::wire::{Echo, Frame, connect, header};

const INTERFACE: &str = "demo.Hello";
/// The protocol's own limit on a body, 8 MiB.
const LIMIT: u32 = 8 * 1024 * 1024;
const OK: u8 = 20;
const BAD_REQUEST: u8 = 40;
const TWO_WAY_REQUEST: u8 = 0xc0;

/// A call and its answer on a connection; the answer must be this call's.
fn call(stream: &mut TcpStream, id: u64) {
    let request = Frame::request(id, INTERFACE, "hi", &format!("call {id}"));
    stream
        .write_all(&request.bytes())
        .expect("the connection is open");
    let answer = answer(stream);
    assert_eq!((answer.status, answer.id), (OK, id));
    assert_eq!(answer.body, request.echo().body);
}

/// The next frame that is not the proxy's own heartbeat.
fn answer(stream: &mut TcpStream) -> Frame {
    loop {
        let frame = Frame::read(stream).expect("an answer");
        if !frame.is_event() {
            return frame;
        }
    }
}

/// Whatever comes until the connection ends, in order or by a reset.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        rest.extend(&chunk[..read]);
    }
    rest
}

#[test]
fn what_is_not_dubbo_closes_its_connection_alone() {
    let provider = Echo::start();
    let proxied = Proxied::to(&[provider.port()]);
    let mut good = connect(proxied.address()).expect("meltemi listens");
    call(&mut good, 1);
    for bad in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00",
        &[0; 16],
        &[0xff; 64],
    ] {
        let mut stream = connect(proxied.address()).expect("meltemi listens");
        stream.write_all(bad).expect("the connection is open");
        assert_eq!(until_closed(&mut stream), b"", "an answer to {bad:x?}");
    }
    call(&mut good, 2);
}

#[test]
fn a_truncated_frame_is_nobodys_call() {
    let provider = Echo::start();
    let proxied = Proxied::to(&[provider.port()]);
    let mut good = connect(proxied.address()).expect("meltemi listens");
    let whole = Frame::request(7, INTERFACE, "hi", "never whole").bytes();
    for length in [1, 15, 16, 17, whole.len() - 1] {
        let mut stream = connect(proxied.address()).expect("meltemi listens");
        stream
            .write_all(&whole[..length])
            .expect("the connection is open");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("the connection is open");
        assert_eq!(
            until_closed(&mut stream),
            b"",
            "an answer to {length} bytes"
        );
        call(&mut good, u64::try_from(length).expect("a small number"));
    }
}

/// wire-dubbo rule 6: answered with 40, skipped, and the connection goes on.
#[test]
fn a_frame_over_the_limit_is_answered_and_skipped() {
    let provider = Echo::start();
    let proxied = Proxied::to(&[provider.port()]);
    let mut stream = connect(proxied.address()).expect("meltemi listens");
    call(&mut stream, 1);
    let length = LIMIT + 1;
    stream
        .write_all(&header(TWO_WAY_REQUEST | 2, 0, 2, length))
        .expect("the connection is open");
    let mut writer = stream.try_clone().expect("a descriptor");
    let body = thread::spawn(move || writer.write_all(&vec![b'x'; length as usize]));
    let refused = answer(&mut stream);
    assert_eq!((refused.status, refused.id), (BAD_REQUEST, 2));
    body.join()
        .expect("no panic")
        .expect("the body is read to its end");
    call(&mut stream, 3);
}

/// wire-dubbo rule 1: the header is enough to pass a body that we cannot read.
#[test]
fn an_unknown_serialization_is_proxied() {
    let provider = Echo::start();
    let proxied = Proxied::to(&[provider.port()]);
    let mut stream = connect(proxied.address()).expect("meltemi listens");
    for serialization in [3, 8, 22, 31] {
        let request = Frame {
            flags: TWO_WAY_REQUEST | serialization,
            status: 0,
            id: u64::from(serialization),
            body: vec![0xde, 0xad, serialization],
        };
        stream
            .write_all(&request.bytes())
            .expect("the connection is open");
        let answer = answer(&mut stream);
        assert_eq!(
            (answer.flags, answer.status, answer.id),
            (serialization, OK, request.id)
        );
        assert_eq!(answer.body, request.echo().body);
    }
}

/// Two calls under one id cannot both be answered rightly; whatever happens to them, another connection's are.
#[test]
fn an_id_in_use_twice_concerns_its_connection_alone() {
    let provider = Echo::start();
    let proxied = Proxied::to(&[provider.port()]);
    let mut good = connect(proxied.address()).expect("meltemi listens");
    let mut stream = connect(proxied.address()).expect("meltemi listens");
    let mut twice = Frame::request(9, INTERFACE, "hi", "first").bytes();
    twice.extend(Frame::request(9, INTERFACE, "hi", "second").bytes());
    stream.write_all(&twice).expect("the connection is open");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("the connection is open");
    let answers = until_closed(&mut stream)
        .windows(2)
        .filter(|bytes| *bytes == [0xda, 0xbb])
        .count();
    assert!(answers <= 2, "{answers} answers to two calls");
    call(&mut good, 9);
}

/// 100,000 bursts of garbage over as many connections; a good connection sees none of it.
#[test]
fn garbage_from_a_hundred_thousand_connections() {
    let provider = Echo::start();
    let proxied = Proxied::to(&[provider.port()]);
    let mut good = connect(proxied.address()).expect("meltemi listens");
    call(&mut good, 1);
    let throwers: Vec<_> = (0..4_u64)
        .map(|seed| {
            let address = proxied.address();
            thread::spawn(move || throw_garbage(address, seed, 25_000))
        })
        .collect();
    let mut id = 1;
    while throwers.iter().any(|thrower| !thrower.is_finished()) {
        id += 1;
        call(&mut good, id);
    }
    for thrower in throwers {
        thrower
            .join()
            .expect("each connection was taken and closed");
    }
    call(&mut good, 0);
    assert_eq!(
        proxied.meltemi().get("/ready").map(|answer| answer.status),
        Some(200)
    );
}

/// Each connection sends up to 64 bytes of which none begins a frame.
fn throw_garbage(address: SocketAddr, seed: u64, connections: u64) {
    let mut state = seed + 1;
    for _ in 0..connections {
        let mut stream = connect(address).expect("meltemi listens");
        let garbage: Vec<u8> = (0..64).map(|_| next(&mut state)).collect();
        // It may be refused at its first bytes, before the last are sent.
        if stream.write_all(&garbage).is_ok() {
            assert_eq!(until_closed(&mut stream), b"");
        }
    }
}

/// A linear congruential generator's high bits, without the first byte of a frame.
fn next(state: &mut u64) -> u8 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    match state.to_be_bytes()[0] {
        0xda => 0,
        byte => byte,
    }
}
