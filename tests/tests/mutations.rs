//! What `requestMutation` and `responseMutation` of a route change on the wire, and what they leave alone.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use meltemi_tests::dubbo::wire::{self, Echo, Frame};
use meltemi_tests::thrift::wire::{
    Message, Scripted, connect, header_frame, read_frame, text_field,
};
use meltemi_tests::thrift::{HOST, Proxied};
use meltemi_tests::{Endpoint, Manifests, Meltemi};

const CHANGES: &str = "  requestMutation:\n  \
    - { key: lane, value: canary }\n  \
    - { key: secret, remove: true }\n  \
    - { key: asked, value: 'for ${method} of ${user}' }\n  \
    - { key: tenant, value: '${tenant-of-nobody}' }\n  \
  responseMutation:\n  \
    - { key: served, value: '${method}' }\n";

fn routes(host: &str) -> String {
    format!(
        "- name: canary\n  match: {{ attributes: {{ lane: {{ exact: canary }} }} }}\n  \
         route: [{{ destination: {{ host: nobody.test }} }}]\n\
         - name: all\n  route: [{{ destination: {{ host: {host} }} }}]\n{CHANGES}"
    )
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
}

/// A server that speaks THeader, with a key-value in its answers; what it got.
fn header_server() -> (Scripted, Receiver<Vec<u8>>) {
    let (got, seen) = mpsc::channel();
    let server = Scripted::start(move |mut stream| {
        while let Ok(frame) = read_frame(&mut stream) {
            got.send(frame).expect("the test looks");
            let reply = Message::call("label", 7, vec![]).reply("it");
            let answer = header_frame(&[(b"kept", b"here")], &reply.bytes());
            stream.write_all(&answer).expect("the proxy reads");
        }
    });
    (server, seen)
}

#[test]
fn key_values_of_thrift_headers_are_set_and_removed_both_ways() {
    let (server, seen) = header_server();
    let proxied = Proxied::with_routes(&[("v1", server.port())], &routes(HOST));
    let mut stream = connect(proxied.address()).expect("the proxy listens");
    let message = Message::call("label", 7, vec![0]).bytes();
    let pairs: [(&[u8], &[u8]); 3] = [(b"lane", b"stable"), (b"secret", b"hush"), (b"user", b"me")];
    for _ in 0..3 {
        stream
            .write_all(&header_frame(&pairs, &message))
            .expect("the proxy reads");
        let answer = read_frame(&mut stream).expect("an answer");
        assert!(has(&answer, "\u{6}served\u{5}label"), "{answer:x?}");
        assert!(has(&answer, "\u{4}kept\u{4}here") && answer.ends_with(b"it\0"));
        let asked = seen.recv().expect("a request");
        for text in [
            "\u{4}lane\u{6}canary",
            "\u{5}asked\u{f}for label of me",
            "\u{4}user\u{2}me",
        ] {
            assert!(has(&asked, text), "{text} of {asked:x?}");
        }
        for text in ["secret", "hush", "stable", "tenant"] {
            assert!(!has(&asked, text), "{text} of {asked:x?}");
        }
        assert!(asked.ends_with(&message));
    }
    proxied.counts("meltemi_mutations_refused_total", &[], 0);
}

#[test]
fn thrift_without_headers_goes_on_unchanged_and_is_counted() {
    let proxied = Proxied::with_routes(&[("v1", Scripted::echo().port())], &routes(HOST));
    let mut stream = connect(proxied.address()).expect("the proxy listens");
    let call = Message::call("echo", 3, text_field(1, "text"));
    for _ in 0..5 {
        stream.write_all(&call.framed()).expect("the proxy reads");
        assert_eq!(
            Message::read(&mut stream).expect("an answer"),
            call.reply("text")
        );
    }
    // The requests, and their answers.
    proxied.counts("meltemi_mutations_refused_total", &[], 10);
}

fn dubbo(port: u16) -> (Manifests, Meltemi, SocketAddr) {
    let manifests = Manifests::dubbo_gateway();
    let endpoint = Endpoint {
        port,
        version: "v1",
        locality: "r1/z1/s1",
    };
    manifests.service(HOST, &[endpoint]);
    manifests.routes(HOST, &routes(HOST));
    let meltemi = Meltemi::run(manifests.path());
    let address = meltemi.address("default/edge/dubbo");
    (manifests, meltemi, address)
}

/// Answers with a value, and with attachments if the caller is to have any.
fn provider() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    let port = listener.local_addr().expect("a bound socket").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                while let Ok(call) = Frame::read(&mut stream) {
                    let mut answer = call.echo();
                    answer.body = b"\x94\x05valueH\x04kept\x04hereZ".to_vec();
                    if !call.is_event() && stream.write_all(&answer.bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn attachments_of_dubbo_are_set_both_ways() {
    let echo = Echo::start();
    let (_manifests, meltemi, address) = dubbo(echo.port());
    let mut stream = wire::connect(address).expect("the proxy listens");
    for id in 1..=3 {
        let mut call = Frame::request(id, "org.Greeter", "sayHello", "you");
        let end = call.body.len() - 2;
        call.body
            .splice(end.., *b"H\x06secret\x04hush\x04user\x02meZ");
        stream.write_all(&call.bytes()).expect("the proxy reads");
        let echoed = Frame::read(&mut stream).expect("an answer");
        assert_eq!(echoed.id, id);
        for text in [
            "\u{4}lane\u{6}canary",
            "\u{5}asked\u{12}for sayHello of me",
            "\u{4}user\u{2}me",
        ] {
            assert!(has(&echoed.body, text), "{text} of {:x?}", echoed.body);
        }
        for text in ["secret", "hush", "tenant"] {
            assert!(!has(&echoed.body, text), "{text} of {:x?}", echoed.body);
        }
    }
    // Its answers have no attachments.
    let page = meltemi.get("/metrics").expect("the metrics").body;
    let line = "meltemi_mutations_refused_total{service=\"default/edge/dubbo\"} 3";
    assert!(page.contains(line), "{page}");

    let (_manifests, _meltemi, address) = dubbo(provider());
    let mut stream = wire::connect(address).expect("the proxy listens");
    let call = Frame::request(9, "org.Greeter", "sayHello", "you");
    stream.write_all(&call.bytes()).expect("the proxy reads");
    let answer = Frame::read(&mut stream).expect("an answer");
    assert!(has(&answer.body, "\u{6}served\u{8}sayHello"), "{answer:x?}");
    assert!(has(&answer.body, "\u{5}value") && has(&answer.body, "\u{4}kept\u{4}here"));
}
