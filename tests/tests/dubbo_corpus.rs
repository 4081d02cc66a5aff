//! The engine with the Dubbo plugin holds over the checked-in corpus of the fuzz target.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "../../protocols/dubbo/fuzz/speech.rs"]
mod speech;
#[path = "../../core/tests/support"]
mod support {
    pub(crate) mod trial;
}

use std::{fs, path::Path};

#[test]
fn the_engine_holds_over_the_corpus() {
    let corpus =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocols/dubbo/fuzz/corpus/engine");
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let data = fs::read(entry.unwrap().path()).unwrap();
        support::trial::run(&[speech::speech()], &data);
        inputs += 1;
    }
    assert!(inputs > 5, "{inputs} inputs");
}
