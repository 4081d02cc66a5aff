//! What the loss of a connection says of its endpoint.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/pair.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod pair;

use std::time::Duration;

use meltemi_core::config::Address;
use pair::{ENDPOINT, Pair};

/// Before two endpoints that are asked in turn.
fn pair() -> Pair {
    let mut pair = Pair::before(&[ENDPOINT, "127.0.0.1:7001"], |_| {});
    pair.records = true;
    pair
}

/// Who is asked, and answers.
fn served_by(pair: &mut Pair, request: &str) -> Address {
    pair.ask(format!("{request}\n").as_bytes());
    let server = pair.carrier(request.as_bytes());
    pair.says(server, b"+value\n");
    pair.dialled[&server].clone()
}

/// Whose connection ends with a request on it.
fn lost_by(pair: &mut Pair, request: &str) -> Address {
    pair.ask(format!("{request}\n").as_bytes());
    let server = pair.carrier(request.as_bytes());
    pair.engine.end_of_file(server, pair.now);
    pair.settle();
    pair.dialled[&server].clone()
}

#[test]
fn who_may_have_died_is_not_asked_while_its_other_ends_are_on_their_way() {
    let mut pair = pair();
    let lost = lost_by(&mut pair, "GET one");
    for n in 0..4 {
        assert_ne!(served_by(&mut pair, &format!("GET soon{n}")), lost);
    }
    pair.wait(Duration::from_millis(100));
    let both = [0, 1].map(|n| served_by(&mut pair, &format!("GET later{n}")));
    assert!(both.contains(&lost), "it takes its part again: {both:?}");
}

#[test]
fn the_end_of_an_idle_connection_says_nothing() {
    let mut pair = pair();
    let first = served_by(&mut pair, "GET one");
    let idle = pair.carrier(b"GET one");
    pair.engine.end_of_file(idle, pair.now);
    pair.settle();
    let both = [0, 1].map(|n| served_by(&mut pair, &format!("GET next{n}")));
    assert!(both.contains(&first), "{both:?}");
}

#[test]
fn where_all_are_doubted_each_of_them_is_asked() {
    let mut pair = pair();
    let dead = lost_by(&mut pair, "GET one");
    let alive = lost_by(&mut pair, "GET two");
    assert_ne!(dead, alive);
    pair.refuses = Some(dead);
    for n in 0..4 {
        assert_eq!(served_by(&mut pair, &format!("GET three{n}")), alive);
    }
}
