//! The fuzz targets hold over their checked-in corpus, over every recorded frame, over damaged
//! frames and over random bytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/fuzz.rs"]
mod fuzz;
#[path = "support/golden.rs"]
mod golden;

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn targets_hold_over_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in fuzz::TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            target(&fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 5, "{name} has {inputs} inputs");
    }
}

#[test]
fn targets_hold_over_recorded_frames() {
    for golden in golden::frames() {
        assert!(golden.text("name").is_some());
        for (_, target) in fuzz::TARGETS {
            target(&golden.bytes);
            target(&golden.bytes[16..]);
        }
    }
}

fn damaged_frame() -> impl Strategy<Value = Vec<u8>> {
    let frames: Vec<Vec<u8>> = golden::frames()
        .into_iter()
        .map(|golden| golden.bytes)
        .filter(|bytes| bytes.len() < 1000)
        .collect();
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (prop::sample::select(frames), damage).prop_map(|(mut bytes, damage)| {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// Random bytes in which tags are frequent.
fn tags() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![
        any::<u8>(),
        prop::sample::select(b"CHMORSUVWXZNPQ\x00\x01\x02\x60\x61\x70\x78\x90\x91\x92".to_vec()),
        prop::sample::select(vec![
            0x92_u8, 0x93, 0x94, 0x96, 0xa4, 0xa5, 0xa6, 0x7f, 0x4a
        ]),
    ];
    vec(tag, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn targets_hold_over_damaged_frames(bytes in damaged_frame()) {
        for (_, target) in fuzz::TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn targets_hold_over_random_values(bytes in tags()) {
        fuzz::hessian_skip(&bytes);
        fuzz::jsonb_skip(&bytes);
    }
}
