//! The fuzz targets hold over their checked-in corpus, and over random choices.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/fuzz.rs"]
mod fuzz;

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_engine_holds_over_random_choices(choices in vec(any::<u8>(), 0..600)) {
        fuzz::engine(&choices);
    }
}
