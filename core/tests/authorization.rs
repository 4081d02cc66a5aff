//! Who may use a service: what is answered, what reaches a server, who has to leave.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/pair.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod pair;

use std::time::Duration;

use meltemi_core::config::Service;
use meltemi_policy::authorization::{
    Action, Clause, Condition, Patterns, Policies, Policy, Rule, Subject,
};
use pair::Pair;

const FRONT: &str = "spiffe://td/ns/shop/sa/front";

fn rule(conditions: Vec<Subject>) -> Rule {
    let conditions = conditions.into_iter().map(|subject| Condition {
        subject,
        invert: false,
    });
    let any = vec![conditions.collect()];
    Rule {
        clauses: vec![Clause { any }],
    }
}

fn principal(text: &str) -> Subject {
    Subject::Principal(Patterns::new([text]))
}

fn verb(text: &str) -> Subject {
    Subject::Attribute("verb".into(), Patterns::new([text]))
}

fn with(action: Action, conditions: Vec<Subject>) -> impl FnOnce(&mut Service) {
    let rules = vec![rule(conditions)];
    move |service| service.authorization = Policies::new(vec![Policy { action, rules }])
}

fn pair(action: Action, conditions: Vec<Subject>) -> Pair {
    let mut pair = Pair::new(with(action, conditions));
    pair.records = true;
    pair
}

fn is_denied(pair: &Pair) -> bool {
    pair.answers.windows(13).any(|it| it == b"access denied")
}

fn metric(pair: &Pair, name: &str) -> u64 {
    let page = pair.telemetry.render();
    let start = format!("meltemi_authorization_{name}_total{{");
    let line = page.lines().find(|line| line.starts_with(&start)).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn who_may_do_nothing_is_told_so_and_closed() {
    let mut pair = pair(Action::Allow, vec![principal("td/ns/shop/sa/back")]);
    pair.engine.identified(pair.client, FRONT);
    pair.ask(b"GET key\n");
    assert!(is_denied(&pair), "{}", pair.answers.escape_ascii());
    assert!(pair.dialled.is_empty());
    assert_eq!(pair.closed, [pair.client]);
    assert_eq!(metric(&pair, "not_allowed"), 1);
}

#[test]
fn who_is_known_only_after_a_handshake_is_judged_then() {
    let mut pair = pair(Action::Allow, vec![principal("td/ns/shop/sa/front")]);
    // Nothing has come of it yet: what it may do is not known.
    pair.configure(with(Action::Allow, vec![principal("*/sa/front")]));
    assert!(pair.closed.is_empty());
    pair.engine.identified(pair.client, FRONT);
    pair.ask(b"GET key\n");
    let server = pair.carrier(b"GET key");
    pair.says(server, b"+value\n");
    assert_eq!(pair.answers, b"+value\n");
}

#[test]
fn each_request_is_judged_where_its_message_decides() {
    let mut pair = pair(Action::Deny, vec![verb("DEL")]);
    pair.ask(b"GET key\nDEL key\nGET other\n");
    let server = pair.carrier(b"GET key");
    assert_eq!(pair.carrier(b"GET other"), server);
    let sent = pair.asked.iter().flat_map(|(_, bytes)| bytes.clone());
    assert_eq!(sent.collect::<Vec<_>>(), b"GET key\nGET other\n");
    pair.says(server, b"+1\n+2\n");
    let answers = String::from_utf8(pair.answers.clone()).unwrap();
    let lines: Vec<_> = answers.lines().collect();
    assert_eq!((lines[0], lines[2], lines.len()), ("+1", "+2", 3));
    assert!(is_denied(&pair), "{answers}");
    assert!(pair.closed.is_empty());
    assert_eq!(metric(&pair, "denied"), 1);
}

#[test]
fn whoever_may_no_longer_be_there_gets_what_it_is_owed_and_leaves() {
    let mut pair = pair(Action::Deny, vec![principal("other/*")]);
    pair.engine.identified(pair.client, FRONT);
    pair.wait(Duration::from_millis(1));
    pair.ask(b"GET key\n");
    let server = pair.carrier(b"GET key");
    pair.configure(with(Action::Deny, vec![principal("td/*")]));
    assert!(!pair.engine.wants_read(pair.client));
    assert!(pair.closed.is_empty(), "it waits for an answer");
    pair.says(server, b"+value\n");
    let answers = String::from_utf8(pair.answers.clone()).unwrap();
    assert!(answers.contains("+value\n"), "{answers}");
    assert_eq!(pair.closed, [pair.client]);
    assert_eq!(metric(&pair, "connections_denied"), 1);
}

#[test]
fn what_was_bound_under_other_policies_is_let_go() {
    let mut pair = pair(Action::Deny, vec![verb("DEL")]);
    pair.ask(b"HOLD one\n");
    let server = pair.carrier(b"HOLD one");
    pair.says(server, b"+held\n");
    // The same once more.
    pair.configure(with(Action::Deny, vec![verb("DEL")]));
    assert!(pair.closed.is_empty());
    pair.configure(with(Action::Deny, vec![verb("HOLD")]));
    assert!(pair.closed.contains(&server), "it would go on");
    assert!(pair.engine.is_idle());
}

#[test]
fn what_is_audited_is_served_and_counted() {
    let mut pair = pair(Action::Audit, vec![verb("GET")]);
    pair.ask(b"GET key\nPUT key 1\n.\nGET key\n");
    pair.carrier(b"PUT key");
    assert_eq!(metric(&pair, "audited"), 2);
    assert_eq!(metric(&pair, "denied"), 0);
}
