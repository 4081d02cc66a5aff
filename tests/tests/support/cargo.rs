//! Cargo in a directory outside of the workspace, with what the workspace has built already.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace.
pub(crate) fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie in the workspace")
}

/// Versions as the workspace has them, so that nothing is built a second time and no new release
/// of anything changes what a test says.
pub(crate) fn pin_versions(directory: &Path) {
    fs::copy(root().join("Cargo.lock"), directory.join("Cargo.lock")).expect("the lock file");
}

/// The target directory that this test was built in.
fn target() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let target = test.ancestors().nth(3);
    target.expect("a test lies in PROFILE/deps").to_owned()
}

/// `program` in `directory`, where a Cargo shares the target directory and the profile.
pub(crate) fn command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(directory)
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_INCREMENTAL", "0")
        .env("RUST_BACKTRACE", "0");
    // What the workspace's own Cargo told this test is not for another one.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}
