//! Real providers that leave, in order or without a word, and consumers that share a connection.

use meltemi_tests::Proxied;
use meltemi_tests::dubbo::{Counts, Generation, Load, Peers};

use Generation::{V2_7_23, V3_3_6};

/// The consumers' own timeout, which no answer may wait for.
const CONSUMER_TIMEOUT_MS: u64 = 20_000;

fn assert_clean(counts: &Counts) {
    assert!(counts.is_clean(), "{counts:?}");
}

/// Waits until a run of 100 calls is as `wanted`; all that was counted on the way.
fn count_until(load: &mut Load, what: &str, wanted: impl Fn(&Counts) -> bool) -> Counts {
    load.runs_until(what, 100, wanted).0
}

fn both_answer(run: &Counts) -> bool {
    run.of("a") > 20 && run.of("b") > 20
}

fn only_b_answers(run: &Counts) -> bool {
    run.of("b") == run.made()
}

/// Calls in flight on the killed provider fail at once, in the protocol's words; later ones go to the other.
#[test]
fn a_killed_provider_costs_no_more_than_what_it_had() {
    let Some(peers) = Peers::find() else { return };
    for consumer in [V3_3_6, V2_7_23] {
        let (a, b) = (peers.provider(V3_3_6, "a"), peers.provider(V3_3_6, "b"));
        let proxied = Proxied::to(&[a.port(), b.port()]);
        let mut load = peers.load(consumer, proxied.address().port(), 64, None);
        assert_clean(&count_until(&mut load, "both answer", both_answer));
        a.crash();
        let mut counts = count_until(&mut load, "b answers all", only_b_answers);
        counts.add(load.stop());
        assert!(counts.wrong.is_empty(), "{counts:?}");
        // At most what was in flight: one call a thread.
        let errors: u64 = counts.errors.values().sum();
        assert!(
            errors <= 64,
            "{counts:?}\n{}",
            proxied.meltemi().process().said()
        );
        assert!(
            counts.slowest < CONSUMER_TIMEOUT_MS,
            "a call hung: {counts:?}"
        );
        assert!(
            !counts.errors.contains_key("RpcException(2)"),
            "a timeout instead of an answer: {counts:?}"
        );
    }
}

/// 3.3.6 finishes its calls in flight after READONLY: nobody notices that it leaves.
#[test]
fn a_provider_that_leaves_costs_nothing() {
    let Some(peers) = Peers::find() else { return };
    for consumer in [V3_3_6, V2_7_23] {
        let (a, b) = (peers.provider(V3_3_6, "a"), peers.provider(V3_3_6, "b"));
        let proxied = Proxied::to(&[a.port(), b.port()]);
        let mut load = peers.load(consumer, proxied.address().port(), 64, None);
        assert_clean(&count_until(&mut load, "both answer", both_answer));
        a.leave();
        assert_clean(&count_until(&mut load, "b answers all", only_b_answers));
        assert_clean(&load.stop());
    }
}

/// With nobody left a call is answered at once, in the protocol's words; when somebody returns, calls succeed.
#[test]
fn with_no_provider_left_every_call_is_answered() {
    let Some(peers) = Peers::find() else { return };
    let a = peers.provider(V2_7_23, "a");
    let proxied = Proxied::to(&[a.port()]);
    let mut load = peers.load(V2_7_23, proxied.address().port(), 8, None);
    assert_clean(&count_until(&mut load, "a answers", |run| run.of("a") > 0));
    a.crash();
    let failing = |run: &Counts| run.total() == 0;
    let counts = count_until(&mut load, "calls fail", failing);
    assert!(
        counts.wrong.is_empty() && counts.slowest < CONSUMER_TIMEOUT_MS,
        "{counts:?}"
    );
    load.stop();
}

/// The ids of 2.7.23 count from 0 in every process: on a shared upstream connection they collide.
#[test]
fn two_consumers_with_the_same_ids_share_an_upstream() {
    let Some(peers) = Peers::find() else { return };
    let provider = peers.provider(V2_7_23, "a");
    let proxied = Proxied::to(&[provider.port()]);
    let mut first = peers.load(V2_7_23, proxied.address().port(), 32, None);
    let mut second = peers.load(V2_7_23, proxied.address().port(), 32, None);
    for load in [&mut first, &mut second] {
        assert_clean(&load.runs_until("calls are answered", 2_000, |_| true).0);
    }
    assert_clean(&first.stop());
    assert_clean(&second.stop());
}

/// A provider that beats each second drops a connection on which it hears nothing for three.
#[test]
fn a_provider_that_beats_keeps_its_upstream() {
    let Some(peers) = Peers::find() else { return };
    for generation in [V3_3_6, V2_7_23] {
        let provider = peers.provider_with(generation, "a", &["--heartbeat", "1000"]);
        let proxied = Proxied::to(&[provider.port()]);
        let facts = peers.tell(V3_3_6, proxied.address().port(), &["heartbeat"]);
        assert!(facts.iter().all(|fact| fact.ok), "{facts:#?}");
    }
}

/// SIGTERM under load: what is in flight is answered, the consumers are told, and the process ends.
#[test]
fn meltemi_drains() {
    let Some(peers) = Peers::find() else { return };
    let provider = peers.provider(V3_3_6, "a");
    let proxied = Proxied::to(&[provider.port()]);
    let mut load = peers.load(V3_3_6, proxied.address().port(), 16, None);
    assert_clean(&load.runs_until("calls are answered", 500, |_| true).0);
    proxied.meltemi().process().signal("TERM");
    let refused = |run: &Counts| run.total() == 0;
    let (counts, _) = load.runs_until("calls are refused", 1, refused);
    assert!(
        counts.wrong.is_empty() && counts.slowest < CONSUMER_TIMEOUT_MS,
        "{counts:?}"
    );
    load.stop();
    let status = proxied.wait();
    assert!(status.success(), "{status}");
}
