//! The fuzz targets hold over their checked-in corpus, and over random choices.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/fuzz.rs"]
mod fuzz;

use std::path::Path;

use meltemi_codec::kit::replay;
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn targets_hold_over_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in fuzz::TARGETS {
        let inputs = replay(&corpus.join(name), target);
        assert!(inputs > 5, "{name} has {inputs} inputs");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_engine_holds_over_random_choices(choices in vec(any::<u8>(), 0..600)) {
        fuzz::engine(&choices);
    }
}
