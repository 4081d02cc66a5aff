//! What `scripts/install-redis-peers` fetches.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory of them; else a line that says how to fetch them.
///
/// # Panics
/// When they are not there and `MELTEMI_REQUIRE_PEERS=1`.
#[must_use]
pub fn peers() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install-redis-peers");
    let output = Command::new(script).arg("--check").output().ok()?;
    if output.status.success() {
        let home = String::from_utf8_lossy(&output.stdout);
        return Some(PathBuf::from(home.trim()));
    }
    let required = env::var_os("MELTEMI_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(
        !required,
        "the peers of Redis are not there: run scripts/install-redis-peers"
    );
    eprintln!("skipped: needs the peers of Redis; scripts/install-redis-peers fetches them");
    None
}
