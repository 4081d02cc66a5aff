//! Writes the pages of the reference that are made of the tables by which manifests are decoded.
//!
//! `cargo run --package meltemi-controller --example reference` writes them; with `--check` nothing
//! is written, and the names of those that differ are printed with exit status 1.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, bail};
use meltemi_controller::reference;

fn main() -> anyhow::Result<ExitCode> {
    let check = match env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => bail!("unknown argument {other}; the only one is --check"),
    };
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = package.join("../docs/reference");
    let path = pages.join("metarouter.md");
    let page = reference::meta_router();
    if !check {
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if fs::read_to_string(&path).is_ok_and(|written| written == page) {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("docs/reference/metarouter.md is out of date: `just gen` writes it");
    Ok(ExitCode::FAILURE)
}
