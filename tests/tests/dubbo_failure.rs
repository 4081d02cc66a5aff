//! Real providers that leave, in order or without a word, and consumers that share a connection.

use meltemi_tests::dubbo::{Counts, Generation, Load, Peers, Provider};
use meltemi_tests::{Endpoint, Manifests, Meltemi, until};

use Generation::{V2_7_23, V3_3_6};

/// The consumers' own timeout, which no answer may wait for.
const CONSUMER_TIMEOUT_MS: u64 = 20_000;

fn proxied(providers: &[&Provider]) -> (Manifests, Meltemi, u16) {
    let manifests = Manifests::dubbo_gateway();
    let endpoint = |provider: &&Provider| Endpoint {
        port: provider.port(),
        version: "v1",
        locality: "r1/z1/s1",
    };
    let endpoints: Vec<_> = providers.iter().map(endpoint).collect();
    manifests.service("probe.test", &endpoints);
    manifests.routes("probe.test", "");
    let meltemi = Meltemi::run(manifests.path());
    let port = meltemi.address("default/edge/dubbo").port();
    (manifests, meltemi, port)
}

/// Marks until `wanted`; all that was counted on the way.
fn count_until(load: &mut Load, what: &str, wanted: impl Fn(&Counts) -> bool) -> Counts {
    let mut all = Counts::default();
    until(what, || {
        let counts = load.mark();
        let done = wanted(&counts);
        all.add(counts);
        done.then_some(())
    });
    all
}

fn both_answer(counts: &Counts) -> bool {
    counts.of("a") > 100 && counts.of("b") > 100
}

fn only_b_answers(counts: &Counts) -> bool {
    counts.of("b") > 200 && counts.of("a") == 0 && counts.errors.is_empty()
}

/// Calls in flight on the killed provider fail at once, in the protocol's words; later ones go to the other.
#[test]
fn a_killed_provider_costs_no_more_than_what_it_had() {
    let Some(peers) = Peers::find() else { return };
    for consumer in [V3_3_6, V2_7_23] {
        let (a, b) = (peers.provider(V3_3_6, "a"), peers.provider(V3_3_6, "b"));
        let (_manifests, meltemi, port) = proxied(&[&a, &b]);
        let mut load = peers.load(consumer, port, 64, None);
        count_until(&mut load, "both answer", both_answer).assert_clean();
        a.crash();
        let mut counts = count_until(&mut load, "b answers all", only_b_answers);
        counts.add(load.stop());
        assert!(counts.wrong.is_empty(), "{counts:?}");
        // At most what was in flight: one call a thread.
        let errors: u64 = counts.errors.values().sum();
        assert!(errors <= 64, "{counts:?}\n{}", meltemi.process().said());
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
        let (_manifests, _meltemi, port) = proxied(&[&a, &b]);
        let mut load = peers.load(consumer, port, 64, None);
        count_until(&mut load, "both answer", both_answer).assert_clean();
        a.leave();
        count_until(&mut load, "b answers all", only_b_answers).assert_clean();
        load.stop().assert_clean();
    }
}

/// With nobody left a call is answered at once, in the protocol's words; when somebody returns, calls succeed.
#[test]
fn with_no_provider_left_every_call_is_answered() {
    let Some(peers) = Peers::find() else { return };
    let a = peers.provider(V2_7_23, "a");
    let (_manifests, _meltemi, port) = proxied(&[&a]);
    let mut load = peers.load(V2_7_23, port, 8, None);
    count_until(&mut load, "a answers", |counts| counts.of("a") > 100).assert_clean();
    a.crash();
    let failing =
        |counts: &Counts| counts.total() == 0 && counts.errors.values().sum::<u64>() > 100;
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
    let (_manifests, _meltemi, port) = proxied(&[&provider]);
    let mut first = peers.load(V2_7_23, port, 32, None);
    let mut second = peers.load(V2_7_23, port, 32, None);
    for load in [&mut first, &mut second] {
        count_until(load, "calls are answered", |counts| counts.total() > 2_000).assert_clean();
    }
    first.stop().assert_clean();
    second.stop().assert_clean();
}

/// SIGTERM under load: what is in flight is answered, the consumers are told, and the process ends.
#[test]
fn meltemi_drains() {
    let Some(peers) = Peers::find() else { return };
    let provider = peers.provider(V3_3_6, "a");
    let (_manifests, meltemi, port) = proxied(&[&provider]);
    let mut load = peers.load(V3_3_6, port, 16, None);
    count_until(&mut load, "calls are answered", |counts| {
        counts.total() > 500
    })
    .assert_clean();
    meltemi.process().signal("TERM");
    let counts = count_until(&mut load, "calls are refused", |counts| counts.total() == 0);
    assert!(
        counts.wrong.is_empty() && counts.slowest < CONSUMER_TIMEOUT_MS,
        "{counts:?}"
    );
    load.stop();
    let status = meltemi.wait();
    assert!(status.success(), "{status}");
}
