//! The fuzz targets of both legs hold over their checked-in corpus, over every recorded message and
//! every way of speaking, and over damaged messages.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/golden.rs"]
mod golden;
#[path = "support/messages.rs"]
mod messages;
#[path = "support/samples.rs"]
mod samples;
#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::Path;

use meltemi_codec::kit::{Sample, replay};
use proptest::{collection::vec, prelude::*};

/// A target's name, which is its corpus folder's too, and its body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 2] = [
    ("downstream", targets::downstream),
    ("upstream", targets::upstream),
];

/// Each choice of limits, with a choice of cuts: the first two bytes of an input.
const PLANS: [[u8; 2]; 4] = [[0, 6], [1, 13], [2, 30], [15, 40]];

/// The messages of all ways of speaking, recorded ones among them.
fn all() -> Vec<Sample> {
    let corpora = messages::ALL.into_iter().map(samples::corpus);
    corpora
        .flat_map(|corpus| [corpus.requests, corpus.responses].concat())
        .collect()
}

#[test]
fn targets_hold_over_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in TARGETS {
        let inputs = replay(&corpus.join(name), target);
        assert!(inputs > 5, "{name} has {inputs} inputs");
    }
}

#[test]
fn targets_hold_over_messages() {
    for sample in all() {
        for plan in PLANS {
            for (_, target) in TARGETS {
                target(&[&plan, sample.bytes.as_slice()].concat());
            }
        }
    }
}

/// Some bytes of a message are others, and another message follows.
fn damaged_messages() -> impl Strategy<Value = Vec<u8>> {
    let messages: Vec<Vec<u8>> = all()
        .into_iter()
        .map(|sample| sample.bytes)
        .filter(|bytes| bytes.len() < 1000)
        .collect();
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let message = prop::sample::select(messages);
    let plan = prop_oneof![prop::sample::select(PLANS.to_vec()), any::<[u8; 2]>()];
    (plan, message.clone(), damage, message).prop_map(|(plan, mut bytes, damage, next)| {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        [&plan, bytes.as_slice(), next.as_slice()].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn targets_hold_over_damaged_messages(bytes in damaged_messages()) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}
