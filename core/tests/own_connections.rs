//! Connections that serve one client: how long they may be silent, whom they go back to, and what becomes
//! of them when their client has left.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/pair.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod pair;

use std::time::Duration;

use meltemi_core::config::{Fault, Share};
use pair::Pair;

fn pair() -> Pair {
    let mut pair = Pair::new(|_| {});
    pair.records = true;
    pair
}

#[test]
fn a_request_that_waits_outlives_its_servers_silence() {
    let mut pair = pair();
    pair.ask(b"POP list\n");
    let server = pair.carrier(b"POP list");
    pair.wait(Duration::from_secs(3000));
    assert!(pair.answers.is_empty() && pair.closed.is_empty());
    pair.says(server, b"+element\n");
    assert_eq!(pair.answers, b"+element\n");
    // Another is given up as ever.
    pair.ask(b"GET key\n");
    pair.wait(Duration::from_secs(200));
    assert!(pair.answers.len() > 9, "it is told that there is no answer");
}

#[test]
fn a_client_that_leaves_takes_what_it_waits_on_along() {
    let mut pair = pair();
    pair.ask(b"POP list\n");
    let server = pair.carrier(b"POP list");
    pair.engine.failed(pair.client, pair.now);
    pair.settle();
    assert!(
        pair.closed.contains(&server),
        "an element would have no reader"
    );
    assert!(pair.engine.is_idle());
}

#[test]
fn a_deadline_takes_the_connection_along_too() {
    let mut pair = pair();
    pair.ask(b"POP list deadline=5000\n");
    let server = pair.carrier(b"POP list");
    pair.wait(Duration::from_secs(6));
    assert_eq!(pair.closed, [server]);
    assert!(
        pair.answers.starts_with(b"!15"),
        "{}",
        pair.answers.escape_ascii()
    );
}

#[test]
fn what_pins_anew_behind_a_release_stays_pinned() {
    let mut pair = pair();
    pair.ask(b"HOLD one\n");
    let server = pair.carrier(b"HOLD one");
    pair.says(server, b"+held\n");
    pair.ask(b"FREE one\nHOLD two\n");
    assert_eq!(pair.carrier(b"HOLD two"), server);
    pair.says(server, b"+freed\n+held\n");
    pair.ask(b"GET key\n");
    assert_eq!(pair.carrier(b"GET key"), server);
    pair.says(server, b"+value\n");
    pair.engine.failed(pair.client, pair.now);
    pair.settle();
    assert!(pair.closed.contains(&server), "nobody else may have it");
}

#[test]
fn a_release_that_the_server_never_had_frees_nothing() {
    let fault = Fault {
        share: Share::ALL,
        operations: vec!["FREE".to_owned()],
        delay: None,
        error: Some("fault".to_owned()),
    };
    let mut pair = Pair::new(|service| service.faults = vec![fault]);
    pair.records = true;
    pair.ask(b"HOLD one\n");
    let server = pair.carrier(b"HOLD one");
    pair.says(server, b"+held\n");
    pair.ask(b"FREE one\n");
    assert_eq!(pair.closed, [server]);
    pair.ask(b"GET key\n");
    assert_ne!(pair.carrier(b"GET key"), server);
}
