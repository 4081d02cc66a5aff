use super::super::replicas::Peers;
use super::super::story::{Story, router};
use super::*;
use crate::ads::FakeProxy;
use crate::fixture::{ROUTER, SERVICE};

const ROUTES: &str = "default/edge/tcp-metaprotocol-dubbo";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn says(story: &Story) -> String {
    story.says(&router(), "Programmed")
}

#[test]
fn without_proxies_it_is_unknown_and_with_them_true() {
    let mut story = Story::valid();
    story.settle();
    assert_eq!(says(&story), "Unknown/Pending");
    story.passes(seconds(3));
    assert_eq!(says(&story), "Unknown/NoProxies");
    let proxy = story.proxy();
    story.passes(seconds(1));
    assert_eq!(says(&story), "Unknown/NoProxies", "it settles first");
    story.passes(seconds(2));
    assert_eq!(says(&story), "True/Programmed");
    // Nobody lost its controller: it left.
    story.passes(seconds(60));
    drop(proxy);
    story.passes(seconds(3));
    assert_eq!(says(&story), "Unknown/NoProxies");
}

#[test]
fn a_proxy_that_refuses_or_says_nothing_is_told_apart() {
    let mut story = Story::valid();
    let _taken = story.proxy();
    let mut refusing = FakeProxy::connect(&story.clients, "r").refusing(ROUTES);
    refusing.take(&story.resources);
    story.passes(seconds(5));
    assert_eq!(says(&story), "False/RejectedByProxy");
    let condition = story
        .condition(&router(), "Programmed")
        .expect("a condition");
    assert!(condition.message.contains(ROUTES) && condition.message.contains("not as it likes it"));
    drop(refusing);
    story.passes(seconds(5));
    assert_eq!(says(&story), "True/Programmed");

    let mut silent = FakeProxy::connect(&story.clients, "s");
    silent.hear(&story.resources);
    story.passes(seconds(1));
    assert_eq!(
        says(&story),
        "True/Programmed",
        "it has the time that others have"
    );
    story.passes(seconds(4));
    assert_eq!(says(&story), "False/NotAcknowledged");
    silent.answer();
    silent.take(&story.resources);
    story.passes(seconds(5));
    assert_eq!(says(&story), "True/Programmed");
}

#[test]
fn endpoints_are_no_part_of_it() {
    let mut story = Story::valid();
    let _proxy = story.proxy();
    story.passes(seconds(5));
    let written = story.writes.len();
    // Nobody has asked for these, and nobody takes them.
    story.apply(&SERVICE.replace("10.0.0.2", "10.0.0.3"));
    story.passes(seconds(10));
    assert_eq!(story.writes.len(), written);
    assert_eq!(says(&story), "True/Programmed");
}

#[test]
fn another_generation_is_judged_by_who_has_it() {
    let mut story = Story::valid();
    let mut proxy = story.proxy();
    story.passes(seconds(5));
    story.apply(
        &ROUTER
            .replace("weight: 90", "weight: 80")
            .replace("weight: 10", "weight: 20"),
    );
    story.settle();
    let generations = |story: &Story| {
        ["Accepted", "Programmed"].map(|kind| {
            let condition = story.condition(&router(), kind).expect("a condition");
            condition.observed_generation
        })
    };
    assert_eq!(generations(&story), [2, 1]);
    proxy.take(&story.resources);
    story.passes(seconds(5));
    assert_eq!(generations(&story), [2, 2]);
    assert_eq!(says(&story), "True/Programmed");
}

#[test]
fn a_rolling_restart_of_many_proxies_writes_nothing() {
    let mut story = Story::valid();
    let mut proxies: Vec<_> = (0..500).map(|_| story.proxy()).collect();
    story.passes(seconds(5));
    assert_eq!(says(&story), "True/Programmed");
    let written = story.writes.len();
    // At each moment one is gone, one has only connected, and one was sent everything and has not answered.
    for chunk in 0..100 {
        let of_chunk = chunk * 5..(chunk + 1) * 5;
        proxies.drain(0..5);
        let mut came: Vec<_> = of_chunk
            .map(|_| FakeProxy::connect(&story.clients, "new"))
            .collect();
        story.passes(Duration::from_millis(250));
        came.iter_mut()
            .for_each(|proxy| proxy.hear(&story.resources));
        story.passes(Duration::from_millis(250));
        came.iter_mut()
            .for_each(|proxy| proxy.take_after_answer(&story.resources));
        proxies.extend(came);
    }
    story.passes(seconds(10));
    assert_eq!(story.writes.len(), written);
}

#[test]
fn a_new_leader_waits_for_proxies_to_come_back() {
    let mut story = Story::valid();
    let proxy = story.proxy();
    story.passes(seconds(5));
    drop(proxy);
    story.term = crate::status::term::Term::new(story.now, Peers::none());
    let written = story.writes.len();
    story.passes(seconds(10));
    assert_eq!(says(&story), "True/Programmed");
    let _again = story.proxy();
    story.passes(seconds(60));
    assert_eq!(story.writes.len(), written);
}
