//! What a destination's `fallback` does when none of its endpoints can be asked.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use meltemi_tests::thrift::wire::{Message, Scripted, connect, text_field};
use meltemi_tests::thrift::{HOST, Proxied};

/// A server that answers each call with its name.
fn named(name: &'static str) -> Scripted {
    Scripted::start(move |mut stream| {
        while let Ok(call) = Message::read(&mut stream) {
            if stream.write_all(&call.reply(name).framed()).is_err() {
                return;
            }
        }
    })
}

fn nobody() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    listener.local_addr().expect("a bound socket").port()
}

/// Everything to v1, else to v2, else to v3.
fn routes() -> String {
    format!(
        "- name: all\n  route:\n  - destination: {{ host: {HOST}, subset: v1 }}\n    \
         fallback: [{{ host: {HOST}, subset: v2 }}, {{ host: {HOST}, subset: v3 }}]\n"
    )
}

fn answer(stream: &mut TcpStream, seq: i32) -> Message {
    let call = Message::call("who", seq, text_field(1, "?"));
    stream.write_all(&call.framed()).expect("the proxy reads");
    let answer = Message::read(stream).expect("an answer");
    assert_eq!(answer.seq, seq);
    answer
}

#[test]
fn the_first_that_can_be_reached_answers() {
    let (first, second, third) = (named("first"), named("second"), named("third"));
    for (v1, v2, v3, expected) in [
        (first.port(), second.port(), third.port(), "first"),
        (nobody(), second.port(), third.port(), "second"),
        (nobody(), nobody(), third.port(), "third"),
    ] {
        let proxied = Proxied::with_routes(&[("v1", v1), ("v2", v2), ("v3", v3)], &routes());
        let mut stream = connect(proxied.address()).expect("the proxy listens");
        // More than it takes to eject who cannot be reached.
        for seq in 1..=50 {
            assert_eq!(answer(&mut stream, seq).text(0), Some(expected));
        }
        let served = format!(
            "destination=\"outbound|20880|{}|{HOST}\"",
            match expected {
                "first" => "v1",
                "second" => "v2",
                _ => "v3",
            }
        );
        assert_eq!(proxied.metric("meltemi_requests_total", &[&served]), 50);
    }
}

#[test]
fn where_nobody_is_left_the_caller_is_told_so() {
    let servers = [("v1", nobody()), ("v2", nobody()), ("v3", nobody())];
    let proxied = Proxied::with_routes(&servers, &routes());
    let mut stream = connect(proxied.address()).expect("the proxy listens");
    for seq in 1..=20 {
        let answer = answer(&mut stream, seq);
        let (_, text) = answer.exception().expect("an exception");
        assert!(text.contains("endpoint"), "{text}");
    }
}
