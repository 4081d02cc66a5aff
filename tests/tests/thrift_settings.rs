//! What the settings of an ApplicationProtocol change.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use meltemi_tests::thrift::wire::{CALL, Message, Scripted, connect, text_field, until_closed};
use meltemi_tests::thrift::{Client, Form, Language, Peers, Proxied};
use meltemi_tests::{PATIENCE, until};
use serde_json::json;

use Language::{Java, Node, Python};

/// Node's servers answer whatever is ready first. That is out of order, so the setting has to say so; clients still
/// get their answers in order, also those that give all calls one number, as Python's do.
#[test]
fn answers_out_of_order_find_their_calls_by_number() {
    let Some(peers) = Peers::find() else { return };
    let mut quick = [Node, Python].map(|language| peers.client(language));
    for form in [
        Form::of("framed", "binary"),
        Form::of("buffered", "compact"),
        Form::of("framed", "json"),
        Form::of("framed", "compact").multiplexed(),
    ] {
        let mut server = peers.server(Node, "a", &[form]);
        let port = server.port(form);
        let proxied = Proxied::with_settings(&[port], &[("correlation", "id")]);
        let mut slow = peers.client(Node);
        let calls = json!([["slow", 60_000]]);
        slow.order(&Client::connecting(proxied.port(), form, &calls));
        server.has_begun();
        // Their numbers are those of the slow call's client too, and so may their connection be.
        let calls = json!([["slow", 100], ["echoText", "x"], ["refuse", 1], ["label"]]);
        for quick in &mut quick {
            let mut order = Client::connecting(proxied.port(), form, &calls);
            order["pipelined"] = json!(true);
            quick.order(&order);
            let answers = quick.answers();
            let refused = json!({ "refused": { "code": 1, "why": "a refuses" } });
            let value = |value: &str| json!({ "value": value });
            assert_eq!(
                answers,
                [value("a"), value("x"), refused, value("a")],
                "{form}"
            );
        }
        let workers = proxied.metric("meltemi_workers", &[]);
        assert!(proxied.connections_to(port) <= workers);
    }
}

/// A server that answers nothing until it is told to.
fn held() -> (Scripted, Receiver<(TcpStream, Message)>) {
    let (sender, receiver) = channel();
    let sender = Arc::new(Mutex::new(sender));
    let server = Scripted::start(move |mut stream| {
        let sender = sender.lock().expect("no panic").clone();
        while let Ok(call) = Message::read(&mut stream) {
            let answers = stream.try_clone().expect("a descriptor");
            if call.kind == CALL && sender.send((answers, call)).is_err() {
                return;
            }
        }
    });
    (server, receiver)
}

/// Eight clients with a call each: connections for as many as the depth needs.
#[test]
fn connections_are_shared_to_a_depth() {
    const CLIENTS: u64 = 8;
    for (settings, most) in [
        (&[("sharing", "pipeline"), ("depth", "4")][..], CLIENTS / 4),
        (&[], CLIENTS),
    ] {
        let (server, calls) = held();
        let proxied = Proxied::with_settings(&[server.port()], settings);
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let mut client = connect(proxied.address()).expect("meltemi listens");
            let text = format!("client {number}");
            // All count from the same number.
            let call = Message::call("echoText", 1, text_field(1, &text));
            client.write_all(&call.framed()).expect("it is open");
            clients.push((client, text));
        }
        let calls: Vec<_> = (0..CLIENTS)
            .map(|_| calls.recv_timeout(PATIENCE).expect("all calls arrive"))
            .collect();
        // Each worker has its own.
        let workers = proxied.metric("meltemi_workers", &[]);
        assert!(server.accepted() < most + workers, "{settings:?}");
        assert!(server.accepted() >= most, "{settings:?}");
        for (mut stream, call) in calls {
            let reply = call.reply(call.text(1).expect("its text"));
            stream.write_all(&reply.framed()).expect("meltemi reads");
        }
        for (mut client, text) in clients {
            let answer = Message::read(&mut client).expect("an answer");
            assert_eq!((answer.seq, answer.text(0)), (1, Some(text.as_str())));
        }
    }
}

/// Before 0.9.3 clients sent oneway calls as CALL, and servers never answer them.
#[test]
fn old_oneway_calls_are_not_waited_for() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    for language in [Python, Java] {
        let server = peers.server(language, "a", &[form]);
        let proxied = Proxied::with_settings(&[server.port(form)], &[("oneway", "fire,other")]);
        let mut stream = connect(proxied.address()).expect("meltemi listens");
        for seq in 0..10 {
            let fire = Message::call("fire", 100 + seq, text_field(1, "token"));
            let echo = Message::call("echoText", seq, text_field(1, "x"));
            let both = [fire.framed(), echo.framed()].concat();
            stream.write_all(&both).expect("the connection is open");
            let answer = Message::read(&mut stream).expect("an answer");
            assert_eq!((answer.name.as_str(), answer.seq), ("echoText", seq));
        }
        let mut client = peers.client(Java);
        let fired = client.session(proxied.port(), form, &json!([["fired", "token"]]));
        assert_eq!(fired, [json!({ "value": 10 })], "{language}");
    }
}

/// What says another transport than it should is none of this service's.
#[test]
fn a_transport_that_is_fixed_is_the_only_one() {
    let server = Scripted::echo();
    let proxied = Proxied::with_settings(&[server.port()], &[("transport", "framed")]);
    let call = Message::call("echoText", 1, text_field(1, "x"));
    let mut framed = connect(proxied.address()).expect("meltemi listens");
    framed.write_all(&call.framed()).expect("it is open");
    assert_eq!(
        Message::read(&mut framed).expect("an answer").text(0),
        Some("x")
    );
    let mut buffered = connect(proxied.address()).expect("meltemi listens");
    buffered.write_all(&call.bytes()).expect("it is open");
    let _ = buffered.shutdown(Shutdown::Write);
    assert_eq!(until_closed(&mut buffered), b"");
}

/// A setting that the plugin refuses is reported with its name and what would be right, and changes nothing.
#[test]
fn a_setting_that_is_wrong_is_reported() {
    let server = Scripted::echo();
    let proxied = Proxied::with_settings(&[server.port()], &[]);
    for (name, value, remedy) in [
        ("depth", "0", "1"),
        ("transports", "framed", "transport"),
        ("protocol", "xml", "compact"),
    ] {
        proxied.settings(&[(name, value)]);
        until(&format!("{name} is reported"), || {
            let said = proxied.meltemi.process().said();
            let line = said
                .lines()
                .find(|line| line.contains(&format!("`{name}`")))?;
            line.contains(remedy).then_some(())
        });
    }
    // What was in force still is.
    let mut stream = connect(proxied.address()).expect("meltemi listens");
    let call = Message::call("echoText", 1, text_field(1, "x"));
    stream.write_all(&call.framed()).expect("it is open");
    let answer = Message::read(&mut stream).expect("an answer");
    assert_eq!(answer.text(0), Some("x"));
}
