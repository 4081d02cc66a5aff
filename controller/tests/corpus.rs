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

/// The manifests of an example, as one file.
fn example(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut files: Vec<_> = fs::read_dir(folder.join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files.iter().map(|path| fs::read_to_string(path).unwrap());
    texts.collect::<Vec<_>>().join("\n---\n").into_bytes()
}

/// An example, and then a version with some bytes changed.
fn damaged_example() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop::sample::select(vec!["dubbo", "redis", "redis-cluster"]);
    let letter = prop::sample::select(b"\n -:[]{}&*!|>'\"%@`#,?~019az".to_vec());
    let damage = vec((any::<prop::sample::Index>(), letter), 1..4);
    (name, damage).prop_map(|(name, damage)| {
        let good = example(name);
        let mut bad = good.clone();
        for (at, letter) in damage {
            let at = at.index(bad.len());
            bad[at] = letter;
        }
        (good, bad)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_target_holds_over_damaged_examples((good, bad) in damaged_example()) {
        fuzz::manifests(&[good, bad].join(&0));
    }
}

/// Each character of a Secret in turn replaced by each that means something in YAML.
#[test]
fn no_report_on_damaged_secrets_shows_one() {
    let good = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\nstringData:\n  \
        password: correcthorsebattery\n";
    for at in 0..good.len() {
        for letter in "\n -:[]{}&*!|>'\"%@`#,?~019az".chars() {
            let mut text = good.to_owned();
            text.replace_range(at..=at, &letter.to_string());
            let report = fuzz::report(&text);
            // Damaged, it may be shorter on either side, but not both.
            for part in ["correctho", "rsebattery"] {
                assert!(!report.contains(part), "{text}\n{report}");
            }
        }
    }
}
