//! What a route's `mirror` does: copies go out, and whatever becomes of them, nobody who calls notices.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

use meltemi_tests::thrift::wire::{Message, ONEWAY, Scripted, connect, text_field};
use meltemi_tests::thrift::{HOST, Proxied};
use meltemi_tests::{Endpoint, Manifests, Meltemi};

const COPIES: &str = "copies.test";
const CLUSTER: &str = "outbound|20880||copies.test";

/// Before an endpoint on this port, with copies for one on another, and these lines in its route.
fn mirrored(to: u16, copies: u16, lines: &str) -> Proxied {
    let manifests = Manifests::thrift_gateway();
    for (host, port) in [(HOST, to), (COPIES, copies)] {
        let endpoint = Endpoint {
            port,
            version: "v1",
            locality: "r1/z1/s1",
        };
        manifests.service(host, &[endpoint]);
    }
    manifests.routes(
        HOST,
        &format!("- name: all\n  route: [{{ destination: {{ host: {HOST} }} }}]\n{lines}"),
    );
    let meltemi = Meltemi::run(manifests.path());
    Proxied { manifests, meltemi }
}

fn all() -> String {
    format!("  mirror: {{ host: {COPIES} }}\n")
}

/// So many calls, one after the other, each answered with its own text.
fn calls(stream: &mut TcpStream, from: i32, count: i32) {
    for seq in from..from + count {
        let text = format!("text {seq}");
        let call = Message::call("echo", seq, text_field(1, &text));
        stream.write_all(&call.framed()).expect("the proxy reads");
        let answer = Message::read(stream).expect("an answer");
        assert_eq!((answer.seq, answer.text(0)), (seq, Some(text.as_str())));
    }
}

fn copies(proxied: &Proxied, what: &str, wanted: u64) {
    let name = format!("meltemi_mirrored_{what}_total");
    proxied.counts(&name, &[&format!("cluster=\"{CLUSTER}\"")], wanted);
}

#[test]
fn copies_are_what_the_client_sent_and_their_answers_are_counted_and_dropped() {
    let (seen, copied) = mpsc::channel();
    let copies_go_to = Scripted::start(move |mut stream| {
        while let Ok(call) = Message::read(&mut stream) {
            let reply = call.reply("from the mirror").framed();
            let kind = call.kind;
            seen.send(call).expect("the test looks");
            if kind != ONEWAY && stream.write_all(&reply).is_err() {
                return;
            }
        }
    });
    let proxied = mirrored(Scripted::echo().port(), copies_go_to.port(), &all());
    let mut stream = connect(proxied.address()).expect("the proxy listens");
    calls(&mut stream, 1, 20);
    // They may go on several connections.
    let seen: Vec<_> = (1..=20).map(|_| copied.recv().expect("a copy")).collect();
    let seen = seen.iter().map(|copy| (copy.name.as_str(), copy.text(1)));
    let sent = (1..=20).map(|seq| format!("text {seq}"));
    let sent: Vec<_> = sent.collect();
    let sent = sent.iter().map(|text| ("echo", Some(text.as_str())));
    assert_eq!(seen.collect::<BTreeSet<_>>(), sent.collect());
    copies(&proxied, "requests", 20);
    copies(&proxied, "answers", 20);

    // More of those that nobody answers than copies may be under way.
    let one_way = Message {
        kind: ONEWAY,
        ..Message::call("tell", 0, text_field(1, "x"))
    };
    for _ in 0..2_000 {
        stream
            .write_all(&one_way.framed())
            .expect("the proxy reads");
        assert_eq!(copied.recv().expect("a copy").kind, ONEWAY);
    }
    copies(&proxied, "requests", 2_020);
    copies(&proxied, "answers", 20);
    copies(&proxied, "failures", 0);
    copies(&proxied, "left_out", 0);
}

#[test]
fn a_share_of_the_requests_is_copied() {
    let mirror = Scripted::echo();
    let lines = all() + "  mirrorPercentage: { value: 25 }\n";
    let proxied = mirrored(Scripted::echo().port(), mirror.port(), &lines);
    let mut stream = connect(proxied.address()).expect("the proxy listens");
    calls(&mut stream, 1, 1_000);
    let made = proxied.metric("meltemi_mirrored_requests_total", &[]);
    assert!((190..=310).contains(&made), "{made} of 1,000");

    let none = mirrored(
        Scripted::echo().port(),
        mirror.port(),
        &format!(
            "  mirrors: [{{ destination: {{ host: {COPIES} }}, percentage: {{ value: 0 }} }}]\n"
        ),
    );
    let mut stream = connect(none.address()).expect("the proxy listens");
    calls(&mut stream, 1, 100);
    copies(&none, "requests", 0);
}

/// Bytes that never end, an end in the middle, an answer that nobody asked for.
#[test]
fn a_mirror_that_misbehaves_costs_nothing() {
    let half = Message::call("echo", 1, text_field(1, "half")).framed();
    let mirrors = [
        Scripted::saying(vec![0; 1 << 20]).port(),
        Scripted::saying(half[..half.len() / 2].to_vec()).port(),
        Scripted::saying(
            [
                Message::call("other", 77, vec![0]).reply("?").framed(),
                half,
            ]
            .concat(),
        )
        .port(),
    ];
    for mirror in mirrors {
        let proxied = mirrored(Scripted::echo().port(), mirror, &all());
        let mut stream = connect(proxied.address()).expect("the proxy listens");
        calls(&mut stream, 1, 200);
        let made = proxied.metric("meltemi_requests_total", &["outcome=\"ok\""]);
        assert_eq!(made, 200);
    }
}

#[test]
fn copies_for_a_mirror_that_never_answers_are_bounded() {
    let silent = Scripted::start(|stream| {
        let _open = stream;
        loop {
            thread::park();
        }
    });
    let proxied = mirrored(Scripted::echo().port(), silent.port(), &all());
    let mut stream = connect(proxied.address()).expect("the proxy listens");
    calls(&mut stream, 1, 3_000);
    let made = proxied.metric("meltemi_mirrored_requests_total", &[]);
    let left_out = proxied.metric("meltemi_mirrored_left_out_total", &[]);
    assert_eq!(made + left_out, 3_000);
    assert!(left_out > 0, "all were made");
}
