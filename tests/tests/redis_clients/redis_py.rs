//! redis-py's own tests, in RESP2 and RESP3.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use meltemi_tests::redis::{Server, peers};

use super::{ByNature, Passed, compare};

/// The files about one server. Left out are those about clusters, sentinels, TLS and modules, and the
/// asynchronous twins of those that mostly wait.
const FILES: &[&str] = &[
    "commands",
    "pipeline",
    "lock",
    "monitor",
    "scripting",
    "function",
    "encoding",
    "connection_pool",
    "connection",
    "hash",
    "multiprocessing",
    "cache",
    "asyncio/commands",
    "asyncio/pipeline",
    "asyncio/connection_pool",
    "asyncio/scripting",
    "asyncio/encoding",
    "asyncio/hash",
];

const BY_NATURE: &[ByNature] = &[
    (
        "test_client_kill",
        "looks for its connections among the server's by their names, but plain connections serve all",
    ),
    (
        "test_client_list_after_client_setname",
        "looks for its connection among the server's by its name",
    ),
    (
        "test_readonly_invalid_cluster_state",
        "expects READONLY to be refused by a server that is no node, which the proxy does not know of: it \
         keeps in mind that the client reads from replicas, and says OK",
    ),
    (
        "TestRedisCommands::test_auth",
        "logs in as a user that may not SELECT, in a database other than the first: on a connection of \
         its own it was selected before",
    ),
];

fn passed(home: &Path, address: SocketAddr, protocol: &str) -> Passed {
    let files = FILES.iter().map(|file| match file.split_once('/') {
        Some((_, file)) => format!("tests/test_asyncio/test_{file}.py"),
        None => format!("tests/test_{file}.py"),
    });
    let home = home.join("redis-py");
    let output = Command::new("timeout")
        .args(["--kill-after=5", "300", "python3", "-B", "-m", "pytest"])
        .args(["-q", "-rp", "-p", "no:cacheprovider", "-p", "no:warnings"])
        .args(["-o", "asyncio_mode=auto", "--timeout=60"])
        .args(["-m", "not redismod and not onlycluster and not ssl"])
        .arg(format!("--redis-url=redis://{address}/9"))
        .arg(format!("--protocol={protocol}"))
        .args(files)
        .env("PYTHONPATH", &home)
        .current_dir(&home)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter_map(|line| line.strip_prefix("PASSED "));
    let passed: Passed = lines.map(str::to_owned).collect();
    println!(
        "{protocol} {address}: {}",
        text.lines().last().unwrap_or_default()
    );
    assert!(
        !passed.is_empty(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    passed
}

#[test]
fn every_test_of_redis_py_that_passes_directly_passes_through() {
    let Some(home) = peers().filter(|_| Server::is_installed()) else {
        return;
    };
    let suite = |resp: &str, address| passed(&home, address, resp.trim_start_matches("RESP"));
    compare(&["RESP2", "RESP3"], suite, BY_NATURE, 900);
}
