//! The fuzz targets of both legs hold over their checked-in corpus, over every recorded frame and
//! over damaged frames.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/golden.rs"]
mod golden;

use std::path::Path;

use meltemi_codec::kit::{fuzz_downstream, fuzz_upstream, replay};
use proptest::{collection::vec, prelude::*};

/// A target's name, which is its corpus folder's too, and its body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 2] = [
    ("downstream", |data| {
        fuzz_downstream(&meltemi_dubbo::protocol(), data);
    }),
    ("upstream", |data| {
        fuzz_upstream(&meltemi_dubbo::protocol(), data);
    }),
];

/// Each choice of limits, with a choice of cuts: the first two bytes of an input.
const PLANS: [[u8; 2]; 4] = [[0, 6], [1, 13], [2, 30], [15, 40]];

#[test]
fn targets_hold_over_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in TARGETS {
        let inputs = replay(&corpus.join(name), target);
        assert!(inputs > 5, "{name} has {inputs} inputs");
    }
}

#[test]
fn targets_hold_over_recorded_frames() {
    for golden in golden::frames() {
        for plan in PLANS {
            for (_, target) in TARGETS {
                target(&[&plan, golden.bytes.as_slice()].concat());
            }
        }
    }
}

/// Some bytes of a recorded frame are others, and another frame follows.
fn damaged_frames() -> impl Strategy<Value = Vec<u8>> {
    let frames: Vec<Vec<u8>> = golden::frames()
        .into_iter()
        .map(|golden| golden.bytes)
        .filter(|bytes| bytes.len() < 1000)
        .collect();
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let frame = prop::sample::select(frames);
    let plan = prop_oneof![prop::sample::select(PLANS.to_vec()), any::<[u8; 2]>()];
    (plan, frame.clone(), damage, frame).prop_map(|(plan, mut bytes, damage, next)| {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        [&plan, bytes.as_slice(), next.as_slice()].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn targets_hold_over_damaged_frames(bytes in damaged_frames()) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}
