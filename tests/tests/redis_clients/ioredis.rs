//! The tests of ioredis 2.4, the last release whose package has them, on that release and on newer ones.
//!
//! `tests/peers/redis/ioredis` has what they expect around them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use meltemi_tests::redis::{Server, peers};

use super::{ByNature, Passed, compare};

/// The files about one server. Left out are those about clusters and sentinels, which bring servers of their
/// own, and those that need none.
const FILES: &[&str] = &[
    "connection",
    "drop_buffer_support",
    "fatal_error",
    "lazy_connect",
    "monitor",
    "pipeline",
    "pub_sub",
    "ready_check",
    "reconnect_on_error",
    "scan_stream",
    "scripting",
    "select",
    "send_command",
    "string_numbers",
    "transaction",
    "transformer",
    "watch-exec",
];

const BY_NATURE: &[ByNature] = &[
    (
        "monitor should receive commands",
        "expects the first command that the server tells of to be the client's own, but the proxy may \
         say HELLO before it, on a connection that it opens for it",
    ),
    (
        "monitor should continue monitoring after reconnection",
        "newer releases say that they are ready before the server has heard MONITOR; directly it fails as \
         often",
    ),
];

/// The names of the tests that passed, and that connected to the server meanwhile.
fn passed(home: &Path, address: SocketAddr, version: &str) -> Passed {
    let home = home.join("ioredis");
    let modules = home.join("node_modules");
    let around = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/redis/ioredis");
    let files = FILES
        .iter()
        .map(|file| format!("node_modules/ioredis-2/test/functional/{file}.js"));
    let output = Command::new("timeout")
        .args(["--kill-after=5", "240", "node", "--no-deprecation"])
        .arg(modules.join("mocha/bin/mocha.js"))
        .args(["--no-config", "--no-package", "--timeout", "5000"])
        .arg("--require")
        .arg(around.join("setup.js"))
        .arg("--reporter")
        .arg(around.join("reporter.js"))
        .args(files)
        .env("NODE_PATH", &modules)
        .env("IOREDIS", version)
        .env("REDIS_ADDRESS", address.to_string())
        .current_dir(&home)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    for failed in text.lines().filter(|line| line.starts_with("FAILED")) {
        println!("{version} {address}: {failed}");
    }
    assert!(
        output.status.success(),
        "{version}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("PASSED\t"));
    lines.map(|name| name.trim_end().to_owned()).collect()
}

#[test]
fn every_test_of_ioredis_that_passes_directly_passes_through() {
    let Some(home) = peers().filter(|_| Server::is_installed()) else {
        return;
    };
    let suite = |version: &str, address| passed(&home, address, version);
    let versions = ["ioredis-2", "ioredis-5", "ioredis-6"];
    compare(&versions, suite, BY_NATURE, 100);
}
