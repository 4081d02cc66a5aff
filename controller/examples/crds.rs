//! Writes the CustomResourceDefinitions of the chart from the tables by which manifests are decoded.
//!
//! `cargo run --package meltemi-controller --example crds` writes them; with `--check` nothing is written, and the names of
//! those that differ are printed with exit status 1.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, bail};
use meltemi_controller::crd;

fn main() -> anyhow::Result<ExitCode> {
    let check = match env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => bail!("unknown argument {other}; the only one is --check"),
    };
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/meltemi-crds/templates");
    let mut code = ExitCode::SUCCESS;
    for manifest in crd::all()? {
        let path = chart.join(&manifest.file);
        if !check {
            fs::write(&path, manifest.text)
                .with_context(|| format!("cannot write {}", path.display()))?;
        } else if fs::read_to_string(&path).ok() != Some(manifest.text) {
            eprintln!(
                "charts/meltemi-crds/templates/{} is out of date: `just gen` writes it",
                manifest.file
            );
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
