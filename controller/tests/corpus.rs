//! The fuzz target holds over its checked-in corpus, and over damaged examples.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/fuzz.rs"]
mod fuzz;

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn the_target_holds_over_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/manifests");
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        fuzz::manifests(&fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 5, "{inputs} inputs");
}

/// All examples, as one file.
fn examples() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/dubbo");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files.iter().map(|path| fs::read_to_string(path).unwrap());
    texts.collect::<Vec<_>>().join("\n---\n").into_bytes()
}

/// The examples, and then a version with some bytes changed.
fn damaged_examples() -> impl Strategy<Value = Vec<u8>> {
    let letter = prop::sample::select(b"\n -:[]{}&*!|>'\"%@`#,?~019az".to_vec());
    let damage = vec((any::<prop::sample::Index>(), letter), 1..4);
    damage.prop_map(|damage| {
        let good = examples();
        let mut bad = good.clone();
        for (at, letter) in damage {
            let at = at.index(bad.len());
            bad[at] = letter;
        }
        [good, bad].join(&0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_target_holds_over_damaged_examples(data in damaged_examples()) {
        fuzz::manifests(&data);
    }
}
