//! Calls in flight together: their answers come in their order, and few connections carry them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use meltemi_tests::thrift::wire::{
    CALL, Message, ONEWAY, REPLY, Scripted, connect, number_field, text_field,
};
use meltemi_tests::thrift::{Client, Form, HOST, Language, Peers, Proxied};
use meltemi_tests::{PATIENCE, until};
use serde_json::{Value, json};

use Language::{Java, Node, Python};

fn slow(seq: i32, delay: i32) -> Vec<u8> {
    Message::call("slow", seq, number_field(1, delay)).framed()
}

fn echo(seq: i32, text: &str) -> Vec<u8> {
    Message::call("echoText", seq, text_field(1, text)).framed()
}

/// A slow call first, the rest behind it in the same packet; sequence numbers as clients may well choose them.
#[test]
fn answers_wait_for_the_slow_one_before_them() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    for language in [Python, Java] {
        let server = peers.server(language, "a", &[form]);
        let proxied = Proxied::to(&[server.port(form)]);
        let mut stream = connect(proxied.address()).expect("meltemi listens");
        let seqs = [5, 5, 0, -1, i32::MAX, i32::MIN];
        let mut calls = slow(4, 200);
        for seq in seqs {
            calls.extend(echo(seq, &format!("after {seq}")));
        }
        stream.write_all(&calls).expect("the connection is open");
        let first = Message::read(&mut stream).expect("an answer");
        assert_eq!((first.name.as_str(), first.seq), ("slow", 4));
        assert_eq!(first.text(0), Some("a"));
        for seq in seqs {
            let answer = Message::read(&mut stream).expect("an answer");
            assert_eq!((answer.kind, answer.seq), (REPLY, seq), "{language}");
            assert_eq!(answer.text(0), Some(format!("after {seq}").as_str()));
        }
        assert_eq!(proxied.connections_to(server.port(form)), 1);
    }
}

/// The same where each call has a server of its own: the quick one answers first, and waits for the slow one.
#[test]
fn answers_of_two_servers_keep_the_order_of_their_calls() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let mut a = peers.server(Python, "a", &[form]);
    let b = peers.server(Java, "b", &[form]);
    let routes = format!(
        "- match: {{ attributes: {{ method: {{ exact: slow }} }} }}\n  \
         route: [{{ destination: {{ host: {HOST}, subset: v1 }} }}]\n\
         - route: [{{ destination: {{ host: {HOST}, subset: v2 }} }}]\n"
    );
    let servers = [("v1", a.port(form)), ("v2", b.port(form))];
    let proxied = Proxied::with_routes(&servers, &routes);
    let mut client = peers.client(Python);
    let calls = json!([["slow", 300], ["label"], ["slow", 1], ["label"]]);
    let mut order = Client::connecting(proxied.port(), form, &calls);
    order["pipelined"] = json!(true);
    client.order(&order);
    a.has_begun();
    let values = ["a", "b", "a", "b"].map(|value| json!({ "value": value }));
    assert_eq!(client.answers(), values);
}

/// The libraries that pipeline, each with servers that answer in order.
#[test]
fn clients_that_pipeline_get_their_own_answers() {
    let Some(peers) = Peers::find() else { return };
    let mut clients = [Python, Node].map(|language| (language, peers.client(language)));
    let forms = [
        Form::of("framed", "compact"),
        Form::of("buffered", "binary"),
        Form::of("buffered", "compact"),
        Form::of("framed", "json"),
        Form::of("framed", "lax"),
    ];
    let a = peers.server(Python, "a", &forms);
    let b = peers.server(Java, "a", &forms);
    for form in forms {
        let proxied = Proxied::to(&[a.port(form), b.port(form)]);
        let mut calls = vec![json!(["slow", 50])];
        let mut values = vec![json!({ "value": "a" })];
        for number in 0..100 {
            calls.push(json!(["echoNumber", number]));
            values.push(json!({ "value": number }));
            calls.push(json!(["refuse", number]));
            values.push(json!({ "refused": { "code": number, "why": "a refuses" } }));
        }
        for (language, client) in &mut clients {
            let mut order = Client::connecting(proxied.port(), form, &Value::from(calls.clone()));
            order["pipelined"] = json!(true);
            client.order(&order);
            assert_eq!(client.answers(), values, "{language} {form}");
        }
        let connections =
            proxied.connections_to(a.port(form)) + proxied.connections_to(b.port(form));
        assert!(connections <= 2, "{connections} connections, {form}");
    }
}

/// Node's servers answer what is ready first: in order that fails, call by call and at once, and the log says which
/// setting helps.
#[test]
fn a_server_out_of_order_is_found_out() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let server = peers.server(Node, "a", &[form]);
    let proxied = Proxied::to(&[server.port(form)]);
    let mut client = peers.client(Node);
    let calls = json!([["slow", 60_000], ["label"], ["label"]]);
    let mut order = Client::connecting(proxied.port(), form, &calls);
    order["pipelined"] = json!(true);
    client.order(&order);
    // The third may arrive when that is found out already, and is then answered on another connection.
    for answer in client.answers().iter().take(2) {
        assert_eq!(answer["application"]["type"], 6, "{answer}");
    }
    let said = proxied.meltemi.process().said();
    assert!(said.contains("correlation: id"), "{said}");
    let waiting = client.calls(&json!([["slow", 1], ["label"]]));
    assert_eq!(waiting, ["a", "a"].map(|value| json!({ "value": value })));
}

/// Oneway calls are delivered, and their neighbours' answers are not taken for theirs.
#[test]
fn oneway_calls_between_others_are_not_answered() {
    let Some(peers) = Peers::find() else { return };
    let mut client = peers.client(Java);
    let form = Form::FRAMED_BINARY;
    for language in Language::ALL {
        let server = peers.server(language, "a", &[form]);
        let proxied = Proxied::to(&[server.port(form)]);
        let mut stream = connect(proxied.address()).expect("meltemi listens");
        let mut bytes = Vec::new();
        for seq in 0..20 {
            let fire = Message {
                kind: ONEWAY,
                ..Message::call("fire", 1_000 + seq, text_field(1, "token"))
            };
            bytes.extend(fire.framed());
            bytes.extend(echo(seq, "x"));
        }
        stream.write_all(&bytes).expect("the connection is open");
        for seq in 0..20 {
            let answer = Message::read(&mut stream).expect("an answer");
            assert_eq!((answer.name.as_str(), answer.seq), ("echoText", seq));
        }
        // Node's server may not have come to the last of them when it answers.
        let fired = json!([["fired", "token"]]);
        until("all have arrived", || {
            let answers = client.session(proxied.port(), form, &fired);
            assert!(answers[0]["value"].as_u64() <= Some(20), "{answers:?}");
            (answers[0]["value"] == 20).then_some(())
        });
    }
}

/// A server that answers nothing until it is told to, and says how many calls it has.
fn held() -> (Scripted, Arc<Mutex<Vec<TcpStream>>>, Receiver<Message>) {
    let (sender, receiver) = channel();
    let (sender, streams) = (Mutex::new(sender), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&streams);
    let server = Scripted::start(move |mut stream| {
        let answers = stream.try_clone().expect("a descriptor");
        kept.lock().expect("no panic").push(answers);
        let sender = sender.lock().expect("no panic").clone();
        while let Ok(call) = Message::read(&mut stream) {
            if call.kind == CALL && sender.send(call).is_err() {
                return;
            }
        }
    });
    (server, streams, receiver)
}

/// A hundred calls of each of four clients in flight: a connection a client, shared with nobody meanwhile; the next
/// client gets one of those.
#[test]
fn a_client_in_flight_has_a_connection_to_itself() {
    let (server, streams, calls) = held();
    let proxied = Proxied::to(&[server.port()]);
    let mut clients: Vec<_> = (0..4)
        .map(|_| connect(proxied.address()).expect("meltemi listens"))
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        for seq in 0..100 {
            let call = echo(seq, &format!("{number}"));
            client.write_all(&call).expect("the connection is open");
        }
    }
    for _ in 0..400 {
        calls.recv_timeout(PATIENCE).expect("all calls arrive");
    }
    // How many connections, not how many calls.
    assert_eq!(server.accepted(), 4);
    assert_eq!(proxied.connections_to(server.port()), 4);
    for stream in streams.lock().expect("no panic").iter_mut() {
        for seq in 0..100 {
            let reply = Message::call("echoText", seq, Vec::new()).reply("held");
            stream.write_all(&reply.framed()).expect("meltemi reads");
        }
    }
    for client in &mut clients {
        for seq in 0..100 {
            assert_eq!(Message::read(client).expect("an answer").seq, seq);
        }
    }
    // Later calls, one after another, need no more than that.
    for _ in 0..20 {
        let mut client = connect(proxied.address()).expect("meltemi listens");
        client.write_all(&echo(1, "later")).expect("it is open");
        let _ = calls.recv_timeout(PATIENCE).expect("it arrives");
        drop(client);
    }
    assert!(server.accepted() <= 24, "{}", server.accepted());
}

/// Many clients, one call after another each: connections are used again.
#[test]
fn connections_are_used_again() {
    let server = Scripted::echo();
    let proxied = Proxied::to(&[server.port()]);
    for number in 0..200 {
        let mut client = connect(proxied.address()).expect("meltemi listens");
        for seq in 0..5 {
            let text = format!("{number} {seq}");
            client.write_all(&echo(seq, &text)).expect("it is open");
            let answer = Message::read(&mut client).expect("an answer");
            assert_eq!((answer.seq, answer.text(0)), (seq, Some(text.as_str())));
        }
    }
    // Not more than there are workers, each of which has its own.
    let workers = proxied.metric("meltemi_workers", &[]);
    assert!(server.accepted() <= workers, "{}", server.accepted());
}

/// A client that leaves with calls in flight: nobody else gets their answers.
#[test]
fn answers_of_a_client_that_left_reach_nobody() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let mut server = peers.server(Python, "a", &[form]);
    let proxied = Proxied::to(&[server.port(form)]);
    for number in 0..10 {
        let mut gone = connect(proxied.address()).expect("meltemi listens");
        gone.write_all(&[slow(1, 20), echo(2, "not for you")].concat())
            .expect("the connection is open");
        server.has_begun();
        drop(gone);
        let mut stream = connect(proxied.address()).expect("meltemi listens");
        let text = format!("mine {number}");
        stream.write_all(&echo(2, &text)).expect("it is open");
        let answer = Message::read(&mut stream).expect("an answer");
        assert_eq!(answer.text(0), Some(text.as_str()));
    }
}

/// A half-closed client still gets all its answers.
#[test]
fn a_client_that_has_closed_its_sending_side_gets_its_answers() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY;
    let server = peers.server(Python, "a", &[form]);
    let proxied = Proxied::to(&[server.port(form)]);
    let mut stream = connect(proxied.address()).expect("meltemi listens");
    stream
        .write_all(&[slow(1, 100), echo(2, "last")].concat())
        .expect("the connection is open");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("the connection is open");
    assert_eq!(Message::read(&mut stream).expect("an answer").seq, 1);
    assert_eq!(Message::read(&mut stream).expect("an answer").seq, 2);
    assert_eq!(stream.read(&mut [0]).expect("its end"), 0);
}

/// Messages that are larger than what is stored pass through, both ways, between small ones.
#[test]
fn large_messages_pass_between_small_ones() {
    let Some(peers) = Peers::find() else { return };
    let forms = [
        Form::of("framed", "binary"),
        Form::of("buffered", "binary"),
        Form::of("buffered", "compact"),
    ];
    let server = peers.server(Java, "a", &forms);
    for form in forms {
        let proxied = Proxied::to(&[server.port(form)]);
        let size = 1024 * 1024;
        let handles = [Python, Node].map(|language| {
            let mut client = peers.client(language);
            let port = proxied.port();
            thread::spawn(move || {
                let calls = json!([
                    ["label"],
                    ["measure", "m".repeat(size)],
                    ["label"],
                    ["produce", size],
                    ["label"],
                ]);
                (language, client.session(port, form, &calls))
            })
        });
        for handle in handles {
            let (language, answers) = handle.join().expect("no panic");
            assert_eq!(answers[1]["value"], size, "{language} {form}");
            let produced = answers[3]["value"].as_str().map(str::len);
            assert_eq!(produced, Some(size), "{language} {form}");
            for label in [0, 2, 4] {
                assert_eq!(answers[label]["value"], "a", "{language} {form}");
            }
        }
    }
}
