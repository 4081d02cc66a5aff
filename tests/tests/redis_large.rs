//! Pipelines of any depth, and values larger than what is kept of a message.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;

use meltemi_tests::redis::{Proxied, Server, Wire, encode};

const LARGE: usize = 8 * 1024 * 1024;

fn start() -> Option<(Server, Proxied)> {
    if !Server::is_installed() {
        return None;
    }
    let server = Server::start(&[]);
    let proxied = Proxied::start(&[("cache.demo", &server)], "");
    Some((server, proxied))
}

#[test]
fn a_pipeline_may_be_of_any_depth() {
    let Some((_server, proxied)) = start() else {
        return;
    };
    const DEPTH: usize = 50_000;
    let mut client = proxied.connect();
    let mut writer = client.writer();
    let writing = thread::spawn(move || {
        use std::io::Write;
        let mut bytes = Vec::new();
        for n in 0..DEPTH {
            let text = n.to_string();
            bytes.extend(match n % 3 {
                0 => encode(&[b"ECHO", text.as_bytes()]),
                1 => encode(&[b"INCR", b"n"]),
                _ => b"*0\r\nPING\r\n\r\n".to_vec(),
            });
        }
        writer.write_all(&bytes).unwrap();
    });
    for n in 0..DEPTH {
        let expected = match n % 3 {
            0 => n.to_string(),
            1 => format!(":{}", n / 3 + 1),
            _ => "+PONG".to_owned(),
        };
        assert_eq!(client.reply(), expected);
    }
    writing.join().unwrap();
}

#[test]
fn a_large_value_keeps_its_place_and_holds_up_nobody() {
    let Some((server, proxied)) = start() else {
        return;
    };
    let value = "0123456789abcdef".repeat(LARGE / 16);
    let (mut a, mut b) = (proxied.connect(), proxied.connect());
    a.command("SET small 1");
    a.command(&format!("SET large {value}"));
    a.command("GET small");
    assert_eq!(
        (a.reply(), a.reply(), a.reply()),
        ("+OK".into(), "+OK".into(), "1".into())
    );
    a.command("GET small");
    a.command("GET large");
    a.command("STRLEN large");
    a.command("MGET small large small");
    // Its answers are not read yet.
    for _ in 0..100 {
        assert_eq!(b.call("GET small"), "1");
    }
    assert_eq!(a.reply(), "1");
    assert!(a.reply() == value);
    assert_eq!(a.reply(), format!(":{LARGE}"));
    assert!(a.reply() == format!("[1 {value} 1]"));
    let memory = server.connect().call("CLIENT LIST");
    assert!(memory.lines().count() < 8, "{memory}");
}

#[test]
fn messages_come_between_answers_and_never_within_a_large_one() {
    let Some((_server, proxied)) = start() else {
        return;
    };
    let value = "x".repeat(LARGE);
    let (mut a, mut b) = (proxied.connect(), proxied.connect());
    assert_eq!(b.call(&format!("SET large {value}")), "+OK");
    assert!(a.call("HELLO 3").starts_with('{'));
    assert_eq!(a.call("SUBSCRIBE ch"), "push[subscribe ch :1]");
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let published = scope.spawn(|| publish(&mut b, &stop));
        let (mut answers, mut messages) = (0, 0);
        while answers < 12 {
            a.command("GET large");
            loop {
                let reply = a.reply();
                if reply == "push[message ch hello]" {
                    messages += 1;
                    continue;
                }
                assert!(
                    reply == value,
                    "{} bytes: {:?}",
                    reply.len(),
                    reply.get(..80)
                );
                answers += 1;
                break;
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let published = published.join().unwrap();
        while messages < published {
            assert_eq!(a.reply(), "push[message ch hello]");
            messages += 1;
        }
    });
}

/// Returns how many messages it was.
fn publish(client: &mut Wire, stop: &std::sync::atomic::AtomicBool) -> usize {
    let mut published = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        assert_eq!(client.call("PUBLISH ch hello"), ":1");
        published += 1;
    }
    published
}
