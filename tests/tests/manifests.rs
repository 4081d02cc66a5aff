//! `meltemi run` over manifests that it cannot accept: an exit status of 1 and a message that names the cause.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use meltemi_tests::{Endpoint, Manifests, Process, binary};

/// Runs it until it ends by itself; what it said.
fn refused(path: &std::path::Path) -> String {
    let mut command = Command::new(binary());
    command
        .args(["run", "--admin", "127.0.0.1:0", "-f"])
        .arg(path);
    let mut process = Process::spawn("meltemi", &mut command);
    let status = process.wait();
    assert_eq!(status.code(), Some(1), "{}", process.said());
    process.said()
}

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word:?} in\n{said}");
    }
}

fn service() -> Manifests {
    let manifests = Manifests::dubbo_gateway();
    let endpoint = Endpoint {
        port: 1,
        version: "v1",
        locality: "r1/z1/s1",
    };
    manifests.service("hello.test", &[endpoint]);
    manifests.routes("hello.test", "");
    manifests
}

#[test]
fn a_missing_directory() {
    let manifests = service();
    let missing = manifests.path().join("nowhere");
    assert_says(&refused(&missing), &["nowhere"]);
}

#[test]
fn a_duplicate_key() {
    let manifests = service();
    manifests.write(
        "twice.yaml",
        "apiVersion: v1\nkind: Service\nkind: Pod\nmetadata: { name: x }\n",
    );
    assert_says(&refused(manifests.path()), &["twice.yaml:3", "kind"]);
}

#[test]
fn a_bad_regex() {
    let manifests = service();
    manifests.routes(
        "hello.test",
        "- name: bad\n  match: { attributes: { method: { regex: '(' } } }\n  \
         route: [{ destination: { host: hello.test } }]",
    );
    assert_says(&refused(manifests.path()), &["hello-routes.yaml", "("]);
}

#[test]
fn an_alias_bomb() {
    let manifests = service();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    manifests.write("bomb.yaml", &bomb);
    assert_says(&refused(manifests.path()), &["bomb.yaml"]);
}

#[test]
fn an_address_in_use() {
    let manifests = service();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let port = taken
        .local_addr()
        .expect("a bound socket has an address")
        .port()
        .to_string();
    let file = manifests.path().join("gateway.yaml");
    let gateway = fs::read_to_string(&file).expect("the Gateway was written");
    manifests.write(
        "gateway.yaml",
        &gateway.replace("number: 0", &format!("number: {port}")),
    );
    assert_says(&refused(manifests.path()), &[&port, "in use"]);
}
