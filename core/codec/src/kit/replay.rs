//! Inputs that a fuzzer has found, run again.

use std::{fs, path::Path};

/// Runs `target` over every file of a corpus' folder; returns how many there are.
///
/// # Panics
/// Where the folder cannot be read, or the target finds something.
pub fn replay(folder: &Path, target: impl Fn(&[u8])) -> usize {
    let shown = folder.display();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{shown}: {error}"));
    entries
        .map(|entry| {
            let read = entry.and_then(|entry| fs::read(entry.path()));
            target(&read.unwrap_or_else(|error| panic!("{shown}: {error}")));
        })
        .count()
}
