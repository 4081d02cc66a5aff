use serde_json::json;

use super::super::story::{Story, router};
use super::*;
use crate::ads::FakeProxy;
use crate::fixture::ROUTER;

#[test]
fn what_is_written_is_not_written_again() {
    let mut story = Story::valid();
    story.passes(Duration::from_secs(60));
    // The first, and the first word on proxies.
    assert_eq!(story.writes, [router(), router()]);
    let status = story.status(&router());
    story.set_status(&router(), status);
    story.passes(Duration::from_secs(60));
    assert_eq!(story.writes.len(), 2);
}

#[test]
fn a_late_word_of_a_write_is_not_taken_for_what_is_there() {
    let mut story = Story::valid();
    let due = story.due();
    let outcome = story.write_unheard(&due[0]);
    story.term.wrote(&due[0], outcome, story.now);
    assert!(story.due().is_empty());
    // The next replaces the one that was not heard of.
    story.now += Duration::from_secs(2);
    story.due();
    story.now += Duration::from_secs(2);
    let due = story.due();
    assert!(matches!(
        story.write_unheard(&due[0]),
        Outcome::Written { .. }
    ));
}

#[test]
fn who_was_overtaken_waits_for_word_of_it() {
    let mut story = Story::valid();
    let due = story.due();
    story.term.wrote(&due[0], Outcome::Outdated, story.now);
    assert!(story.due().is_empty());
    story.set_status(&router(), json!({"protocol": "theirs"}));
    assert_eq!(story.due().len(), 1, "another version is heard of");
    // Where no word comes, it tries again.
    let due = story.due();
    story.term.wrote(&due[0], Outcome::Outdated, story.now);
    story.now += Duration::from_secs(2);
    assert_eq!(story.due().len(), 1);
}

#[test]
fn failures_are_repeated_less_and_less_often() {
    let mut story = Story::valid();
    let mut pauses = vec![];
    for _ in 0..9 {
        let due = story.due();
        story.term.wrote(&due[0], Outcome::Failed, story.now);
        let failed = story.now;
        while story.due().is_empty() {
            story.now += Duration::from_millis(500);
        }
        pauses.push((story.now - failed).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    // What others write over and over does not hurry it.
    let due = story.due();
    story.term.wrote(&due[0], Outcome::Failed, story.now);
    story.set_status(&router(), json!({}));
    assert!(story.due().is_empty());
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut story = Story::valid();
    let due = story.due();
    story.delete(&router());
    assert!(matches!(story.write(&due[0]), Outcome::Outdated));
    story.term.wrote(&due[0], Outcome::Outdated, story.now);
    assert!(story.due().is_empty());
    assert!(story.term.pauses.is_empty());
    story.apply(ROUTER);
    assert_eq!(story.due().len(), 1);
}

#[test]
fn a_rolling_restart_of_500_proxies_writes_none_of_1000_statuses() {
    const GATEWAYS: usize = 50;
    let mut story = Story::of_many(GATEWAYS, 20);
    let connect = |story: &Story| FakeProxy::connect(&story.clients, "proxy");
    let mut proxies: Vec<Vec<FakeProxy>> = (0..GATEWAYS).map(|_| vec![]).collect();
    for (gateway, of_gateway) in proxies.iter_mut().enumerate() {
        for _ in 0..10 {
            let mut proxy = connect(&story);
            proxy.take(&story.scope(gateway));
            of_gateway.push(proxy);
        }
    }
    let waits = |story: &mut Story, time| {
        story.now += time;
        story.settle();
    };
    waits(&mut story, Duration::ZERO);
    waits(&mut story, Duration::from_secs(3));
    // Each once as it came, and once when the proxies had it.
    assert_eq!(story.writes.len(), 2 * 1000);
    for _ in 0..10 {
        // Of each Gateway one goes, and another comes that takes its time.
        for (gateway, of_gateway) in proxies.iter_mut().enumerate() {
            drop(of_gateway.remove(0));
            let mut proxy = connect(&story);
            proxy.hear(&story.scope(gateway));
            of_gateway.push(proxy);
        }
        waits(&mut story, Duration::from_millis(500));
        for (gateway, of_gateway) in proxies.iter_mut().enumerate() {
            let newest = of_gateway.last_mut().expect("it has come");
            newest.take_after_answer(&story.scope(gateway));
        }
    }
    for _ in 0..3 {
        waits(&mut story, Duration::from_secs(3));
    }
    assert_eq!(story.writes.len(), 2 * 1000);
}
