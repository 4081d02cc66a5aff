//! The real peers of a protocol, which `scripts/install-peers` builds.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory that holds the peers of a protocol, if they are built; else a line that says how to build them.
///
/// # Panics
/// When they are not built and `MELTEMI_REQUIRE_PEERS=1`.
pub(crate) fn home(protocol: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the workspace");
    let check = Command::new(root.join("scripts/install-peers"))
        .args(["--check", protocol])
        .output();
    let home = check
        .ok()
        .filter(|check| check.status.success())
        .and_then(|check| {
            let home = String::from_utf8(check.stdout).ok()?;
            Some(PathBuf::from(home.trim_end()))
        });
    if home.is_none() {
        let required = env::var_os("MELTEMI_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(
            !required,
            "the peers of {protocol} are not built; `scripts/install-peers` builds them"
        );
        // Past the capture of `println`: a test left out is worth a line even where all pass.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: needs the real peers of {protocol}; `scripts/install-peers` builds them"
        );
    }
    home
}
