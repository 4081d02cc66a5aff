//! Input that no library sends: each gets an answer or a closed connection, little memory, and costs nobody else
//! anything.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use meltemi_tests::thrift::wire::{
    EXCEPTION, Message, REPLY, Scripted, connect, text_field, until_closed,
};
use meltemi_tests::thrift::{Form, HOST, Language, Peers, Proxied};
use serde_json::json;

/// What a proxy's memory may grow by while it is thrown bombs at, each of which asks for as much as 2 GiB.
const SLACK: u64 = 24 * 1024 * 1024;
const UNKNOWN_METHOD: i32 = 1;
const INTERNAL_ERROR: i32 = 6;
const PROTOCOL_ERROR: i32 = 7;

/// A call and its answer on a connection; the answer must be this call's.
fn call(stream: &mut TcpStream, seq: i32) {
    let text = format!("call {seq}");
    let request = Message::call("echoText", seq, text_field(1, &text)).framed();
    stream.write_all(&request).expect("the connection is open");
    let answer = Message::read(stream).expect("an answer");
    assert_eq!((answer.kind, answer.seq), (REPLY, seq), "{answer:?}");
    assert_eq!(answer.text(0), Some(text.as_str()));
}

/// The head of a call in strict binary or compact, whose body is these bytes.
fn begun(binary: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = if binary {
        Message::call("echoText", 1, Vec::new()).bytes()
    } else {
        [&[0x82, 0x21, 1, 8][..], b"echoText"].concat()
    };
    bytes.extend(body);
    bytes
}

fn framed(length: u32, bytes: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes(), bytes].concat()
}

#[test]
fn what_is_not_thrift_closes_its_connection_alone() {
    let server = Scripted::echo();
    let proxied = Proxied::to(&[server.port()]);
    let mut good = connect(proxied.address()).expect("meltemi listens");
    call(&mut good, 1);
    for bad in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"POST /thrift HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"*1\r\n$4\r\nPING\r\n",
        &[0; 16],
        &[0xff; 64],
    ] {
        let mut stream = connect(proxied.address()).expect("meltemi listens");
        stream.write_all(bad).expect("the connection is open");
        assert_eq!(until_closed(&mut stream), b"", "an answer to {bad:x?}");
    }
    call(&mut good, 2);
}

/// Its frame says where it ends, so the connection goes on.
#[test]
fn a_frame_that_cannot_be_read_is_answered() {
    let server = Scripted::echo();
    let proxied = Proxied::to(&[server.port()]);
    let mut stream = connect(proxied.address()).expect("meltemi listens");
    let name_too_long = [&[0x80, 1, 0, 1, 0x7f, 0xff, 0xff, 0xff][..], &[b'x'; 56]].concat();
    // The first message tells what the connection speaks.
    call(&mut stream, 1);
    for bad in [
        &name_too_long[..],
        &[0x80, 1, 0, 9, 0, 0, 0, 1, b'x', 0, 0, 0, 7, 0],
    ] {
        let length = u32::try_from(bad.len()).expect("small");
        let frame = framed(length, bad);
        stream.write_all(&frame).expect("the connection is open");
        let answer = Message::read(&mut stream).expect("an answer");
        let (kind, message) = answer.exception().expect("an exception");
        assert_eq!(kind, PROTOCOL_ERROR, "{message}");
        call(&mut stream, 2);
    }
}

#[test]
fn a_truncated_message_is_nobodys_call() {
    let server = Scripted::echo();
    let proxied = Proxied::to(&[server.port()]);
    let mut good = connect(proxied.address()).expect("meltemi listens");
    let message = Message::call("echoText", 7, text_field(1, "never whole"));
    for whole in [message.framed(), message.bytes()] {
        for length in [1, 3, 4, 5, 12, whole.len() - 12, whole.len() - 1] {
            let mut stream = connect(proxied.address()).expect("meltemi listens");
            stream
                .write_all(&whole[..length])
                .expect("the connection is open");
            stream
                .shutdown(Shutdown::Write)
                .expect("the connection is open");
            assert_eq!(
                until_closed(&mut stream),
                b"",
                "an answer to {length} bytes"
            );
        }
    }
    call(&mut good, 1);
    proxied.counts("meltemi_requests_total", &["outcome=\"ok\""], 1);
}

/// Sizes that a reader would take memory for. Each is said, and then nothing like it comes.
fn bombs() -> Vec<Vec<u8>> {
    let huge = 0x7fff_ffff_u32.to_be_bytes();
    let varint = [0xff, 0xff, 0xff, 0xff, 0x07];
    let mut bombs = vec![
        framed(0x3fff_ffff, &begun(true, &[])),
        framed(0x7fff_ffff, &begun(true, &[])),
        framed(0xffff_ffff, &begun(true, &[])),
        // Names.
        [&[0x80, 1, 0, 1][..], &huge, b"name"].concat(),
        [&[0x82, 0x21, 1][..], &varint, b"name"].concat(),
        framed(64, &[&[0x80, 1, 0, 1][..], &huge, &[b'x'; 56]].concat()),
    ];
    for binary in [true, false] {
        let size = if binary { &huge[..] } else { &varint };
        // Strings, a list<bool>, a map of bytes, in fields of their own.
        let fields: [&[u8]; 3] = if binary {
            [&[11, 0, 1], &[15, 0, 1, 2], &[13, 0, 1, 3, 3]]
        } else {
            [&[0x18], &[0x19, 0xf1], &[0x1b]]
        };
        for field in fields {
            let bomb = begun(binary, &[field, size, &[1; 100]].concat());
            // A frame with its right length passes as it is, for the server to refuse.
            if binary {
                let length = u32::try_from(bomb.len()).expect("small");
                bombs.push(framed(length, &bomb));
            }
            bombs.push(bomb);
        }
        // Structs in structs in structs.
        let deeper: &[u8] = if binary { &[12, 0, 1] } else { &[0x1c] };
        bombs.push(begun(binary, &deeper.repeat(100_000)));
    }
    bombs
}

/// Throws one bomb on each of many connections, and holds them all until the end.
fn throw(address: SocketAddr, bomb: &[u8], connections: usize) -> Vec<TcpStream> {
    (0..connections)
        .map(|_| {
            let mut stream = connect(address).expect("meltemi listens");
            // It may be refused at its first bytes, before the last are sent.
            let _ = stream.write_all(bomb);
            stream
        })
        .collect()
}

#[test]
fn size_bombs_of_clients_take_no_memory() {
    let server = Scripted::echo();
    let proxied = Proxied::to(&[server.port()]);
    let mut good = connect(proxied.address()).expect("meltemi listens");
    call(&mut good, 1);
    let before = proxied.peak_memory();
    let mut seq = 1;
    for bomb in bombs() {
        let held = throw(proxied.address(), &bomb, 20);
        seq += 1;
        call(&mut good, seq);
        for mut stream in held {
            let _ = stream.shutdown(Shutdown::Write);
            let said = until_closed(&mut stream);
            assert!(
                said.len() < 300,
                "{} bytes in answer to {bomb:x?}",
                said.len()
            );
        }
        let grown = proxied.peak_memory() - before;
        let start = bomb.get(..30).unwrap_or(&bomb);
        assert!(grown < SLACK, "{} KiB grown by {start:x?}", grown / 1024);
    }
    call(&mut good, 0);
}

#[test]
fn size_bombs_of_servers_take_no_memory() {
    for bomb in bombs() {
        // The same as an answer: types 1 (call) become 2 (reply).
        let answer = as_reply(&bomb);
        let server = Scripted::saying(answer.clone());
        let proxied = Proxied::to(&[server.port()]);
        let before = proxied.peak_memory();
        // Fewer than it takes to eject the endpoint.
        for seq in 0..4 {
            let mut stream = connect(proxied.address()).expect("meltemi listens");
            let request = Message::call("echoText", 1, text_field(1, "x")).framed();
            stream.write_all(&request).expect("the connection is open");
            // A frame with its right length passes as it is, for the client to refuse.
            let said = Message::read(&mut stream).expect("an answer");
            match said.exception() {
                Some((kind, message)) => assert_eq!(kind, INTERNAL_ERROR, "{seq}: {message}"),
                None => assert_eq!(said.framed(), answer),
            }
        }
        let grown = proxied.peak_memory() - before;
        let start = answer.get(..30).unwrap_or(&answer);
        assert!(grown < SLACK, "{} KiB grown by {start:x?}", grown / 1024);
    }
}

fn as_reply(bomb: &[u8]) -> Vec<u8> {
    let mut answer = bomb.to_vec();
    for at in [0, 4] {
        match answer.get_mut(at..at + 4) {
            Some([0x80, 1, 0, kind]) => *kind = 2,
            Some([0x82, kind, ..]) => *kind = 0x41,
            _ => {}
        }
    }
    answer
}

/// Bytes that are no answer: the call fails, in the client's words, and its connection goes on.
#[test]
fn garbage_of_a_server_fails_the_call_alone() {
    let Some(peers) = Peers::find() else { return };
    let call = Message::call("label", 0, Vec::new());
    let garbage = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0xff; 40],
        vec![0; 40],
        // Another message's answer, an answer in another protocol, a call.
        Message {
            seq: 99,
            ..call.reply("x")
        }
        .framed(),
        framed(
            20,
            &[
                &[0x82, 0x41, 0, 5][..],
                b"label",
                &[0x08, 1, b'x', 0, 0, 0, 0, 0, 0, 0, 0],
            ]
            .concat(),
        ),
        call.framed(),
    ];
    for bytes in garbage {
        let server = Scripted::saying(bytes.clone());
        let proxied = Proxied::to(&[server.port()]);
        for language in [Language::Python, Language::Node] {
            let mut client = peers.client(language);
            let calls = json!([["label"], ["label"]]);
            for answer in client.session(proxied.port(), Form::FRAMED_BINARY, &calls) {
                let told = &answer["application"];
                assert_eq!(
                    told["type"], INTERNAL_ERROR,
                    "{language} {bytes:x?}: {answer}"
                );
                let message = told["message"].as_str().unwrap_or_default();
                assert!(message.contains(HOST), "{message}");
            }
        }
        assert!(server.accepted() >= 1);
    }
}

/// The upgrade probe of Finagle's clients: a type-1 exception tells them to speak plainly.
#[test]
fn an_upgrade_probe_is_answered() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    for language in Language::ALL {
        let server = peers.server(language, "a", &[form]);
        let proxied = Proxied::to(&[server.port(form)]);
        let mut stream = connect(proxied.address()).expect("meltemi listens");
        let probe = Message::call("__can__finagle__trace__v3__", 0, vec![0]);
        stream
            .write_all(&probe.framed())
            .expect("the connection is open");
        let answer = Message::read(&mut stream).expect("an answer");
        assert_eq!((answer.kind, &answer.name), (EXCEPTION, &probe.name));
        let (kind, message) = answer.exception().expect("an exception");
        assert_eq!(kind, UNKNOWN_METHOD, "{message}");
        call(&mut stream, 1);
    }
}

/// Bursts of garbage over thousands of connections; a good connection sees none of it.
#[test]
fn garbage_from_ten_thousand_connections() {
    let server = Scripted::echo();
    let proxied = Proxied::to(&[server.port()]);
    let mut good = connect(proxied.address()).expect("meltemi listens");
    call(&mut good, 1);
    let throwers: Vec<_> = (0..4_u64)
        .map(|seed| {
            let address = proxied.address();
            thread::spawn(move || throw_garbage(address, seed, 2_500))
        })
        .collect();
    let mut seq = 1;
    while throwers.iter().any(|thrower| !thrower.is_finished()) {
        seq += 1;
        call(&mut good, seq);
    }
    for thrower in throwers {
        thrower
            .join()
            .expect("each connection was taken and closed");
    }
    call(&mut good, 0);
    let ready = proxied.meltemi.get("/ready").map(|answer| answer.status);
    assert_eq!(ready, Some(200));
}

/// Each connection sends 64 bytes, most behind what begins a message, and closes.
fn throw_garbage(address: SocketAddr, seed: u64, connections: u64) {
    let mut state = seed + 1;
    for number in 0..connections {
        let mut stream = connect(address).expect("meltemi listens");
        let mut bytes = match number % 4 {
            0 => Vec::new(),
            1 => begun(true, &[]),
            2 => begun(false, &[]),
            _ => framed(40, &begun(true, &[])),
        };
        // Not the end of a struct: that would make it a message.
        bytes.extend((0..64).map(|_| next(&mut state).max(1)));
        if stream.write_all(&bytes).is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
            until_closed(&mut stream);
        }
    }
}

/// A linear congruential generator's high bits.
fn next(state: &mut u64) -> u8 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    state.to_be_bytes()[0]
}
