//! `meltemi new-protocol`: a crate for a protocol of one's own, outside the workspace.

mod name;
mod source;
mod template;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};

use crate::{arguments::NewProtocol, output};

/// The repository, for crates that are not written on a machine with a checkout.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

pub(crate) use name::Name;

pub(crate) fn main(arguments: &NewProtocol) -> anyhow::Result<ExitCode> {
    let name = &arguments.name;
    let directory = arguments
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from(name.as_str()));
    if directory.exists() {
        bail!(
            "{} exists already, and nothing in it was touched; remove it, or choose another \
             place with --directory",
            directory.display()
        );
    }
    let source = source::find(arguments.meltemi.as_deref())?;
    for file in template::files(arguments.in_order) {
        let text = source.named(&name.put_into(file.text));
        write(&directory.join(file.path), &text)?;
    }
    output::answer(next(&directory))?;
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let told = || format!("cannot write {}", path.display());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(told)?;
    }
    fs::write(path, text).with_context(told)
}

/// What to do now.
fn next(directory: &Path) -> String {
    format!(
        "wrote {}; now\n  cd {}\n  cargo test\n  cargo run -- run -f manifests",
        directory.display(),
        directory.display()
    )
}
