//! redis-py's own tests pass through Meltemi as they pass directly.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use meltemi_tests::redis::{Proxied, Server, peers};

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

/// Tests that cannot pass through a proxy by their nature, or that measure what the machine is at.
const BY_NATURE: &[(&str, &str)] = &[
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

fn passed(home: &Path, address: SocketAddr, protocol: u8) -> BTreeSet<String> {
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
    let passed: BTreeSet<_> = lines.map(str::to_owned).collect();
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

fn by_nature(test: &str) -> bool {
    BY_NATURE.iter().any(|(name, _)| test.contains(name))
}

#[test]
fn every_test_of_redis_py_that_passes_directly_passes_through() {
    let Some(home) = peers().filter(|_| Server::is_installed()) else {
        return;
    };
    let home = home.as_path();
    // The protocols at once, on servers of their own: much of the time is waiting.
    let results: Vec<_> = std::thread::scope(|scope| {
        let runs = [2, 3].map(|protocol| {
            scope.spawn(move || {
                let direct = Server::start(&[]);
                let server = Server::start(&[]);
                let proxied = Proxied::start(&[("cache.demo", &server)], "");
                let through = proxied.address();
                std::thread::scope(|scope| {
                    let direct = scope.spawn(|| passed(home, direct.address(), protocol));
                    let through = passed(home, through, protocol);
                    (protocol, direct.join().unwrap(), through)
                })
            })
        });
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let mut broken = Vec::new();
    for (protocol, direct, through) in results {
        println!(
            "RESP{protocol}: {} pass directly, {} through",
            direct.len(),
            through.len()
        );
        assert!(direct.len() > 900, "only {} tests ran", direct.len());
        let missing = direct.difference(&through).filter(|test| !by_nature(test));
        broken.extend(missing.map(|test| format!("RESP{protocol}: {test}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
