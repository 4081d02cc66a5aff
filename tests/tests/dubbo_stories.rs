//! Every story of a real consumer against a real provider: through Meltemi it sees exactly what it sees directly.

use meltemi_tests::Proxied;
use meltemi_tests::dubbo::{Fact, Generation, Peers};

use Generation::{V2_7_23, V3_3_6};

const COMMON: [&str; 14] = [
    "basic",
    "objects",
    "text",
    "sizes",
    "exceptions",
    "unknown",
    "attachments",
    "generic",
    "oneway",
    "async",
    "heartbeat",
    "timeout",
    "echo",
    "group",
];

/// What both sides can speak: other serializations need the same generation, callbacks a 2.7 consumer.
fn stories(consumer: Generation, provider: Generation) -> Vec<&'static str> {
    let mut stories = COMMON.to_vec();
    match (consumer, provider) {
        (V2_7_23, V2_7_23) => {
            stories.extend([
                "java",
                "compactedjava",
                "nativejava",
                "fastjson",
                "gson",
                "kryo",
            ]);
        }
        (V3_3_6, V3_3_6) => stories.push("fastjson2"),
        _ => {}
    }
    stories
}

fn assert_all_ok(facts: &[Fact]) {
    let failed: Vec<_> = facts.iter().filter(|fact| !fact.ok).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn same_directly_and_through_meltemi(consumer: Generation, provider: Generation) {
    let Some(peers) = Peers::find() else { return };
    let stories = stories(consumer, provider);
    let provider = peers.provider(provider, "v1");
    let direct = peers.tell(consumer, provider.port(), &stories);
    assert_all_ok(&direct);

    let meltemi = Proxied::to(&[provider.port()]);
    let proxied = peers.tell(consumer, meltemi.address().port(), &stories);
    let differ: Vec<_> = direct
        .iter()
        .zip(&proxied)
        .filter(|(direct, proxied)| direct != proxied)
        .collect();
    assert!(
        differ.is_empty(),
        "(directly, through Meltemi): {differ:#?}\n{}",
        meltemi.meltemi().process().said()
    );
    assert_eq!(direct.len(), proxied.len());
}

#[test]
fn consumer_3_3_6_to_provider_3_3_6() {
    same_directly_and_through_meltemi(V3_3_6, V3_3_6);
}

#[test]
fn consumer_3_3_6_to_provider_2_7_23() {
    same_directly_and_through_meltemi(V3_3_6, V2_7_23);
}

#[test]
fn consumer_2_7_23_to_provider_3_3_6() {
    same_directly_and_through_meltemi(V2_7_23, V3_3_6);
}

#[test]
fn consumer_2_7_23_to_provider_2_7_23() {
    same_directly_and_through_meltemi(V2_7_23, V2_7_23);
}

/// A callback goes from the provider to the consumer that subscribed, on its own connection.
#[test]
fn callbacks_reach_the_consumer_directly() {
    let Some(peers) = Peers::find() else { return };
    for generation in [V2_7_23, V3_3_6] {
        let provider = peers.provider(generation, "v1");
        assert_all_ok(&peers.tell(V2_7_23, provider.port(), &["callback"]));
    }
}

/// Sixty-four threads over one connection: each gets its own answers.
#[test]
fn threads_get_their_own_answers() {
    let Some(peers) = Peers::find() else { return };
    for (consumer, generation) in [
        (V3_3_6, V3_3_6),
        (V2_7_23, V2_7_23),
        (V2_7_23, V3_3_6),
        (V3_3_6, V2_7_23),
    ] {
        let provider = peers.provider(generation, "v1");
        let meltemi = Proxied::to(&[provider.port()]);
        for port in [provider.port(), meltemi.address().port()] {
            let mut load = peers.load(consumer, port, 64, None);
            let (counts, _) = load.runs_until("each thread has called often", 5_000, |_| true);
            assert!(counts.is_clean(), "{counts:?}");
            let last = load.stop();
            assert!(last.is_clean(), "{last:?}");
        }
    }
}
