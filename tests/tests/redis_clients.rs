//! Tests of clients that others wrote pass through Meltemi as they pass directly.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread::ScopedJoinHandle;

use meltemi_tests::redis::{Proxied, Server};

#[path = "redis_clients/ioredis.rs"]
mod ioredis;
#[path = "redis_clients/redis_py.rs"]
mod redis_py;

/// The names of the tests that passed.
type Passed = BTreeSet<String>;

/// A test that cannot pass through a proxy by its nature, or that measures what the machine is at: a part of
/// its name, and the reason.
type ByNature = (&'static str, &'static str);

/// Runs a suite at each of these versions, on a server directly and on one through Meltemi. All at once: much
/// of the time is waiting.
///
/// # Panics
/// When a test that passes directly does not pass through, or fewer than so many pass.
fn compare(
    versions: &[&str],
    suite: impl Fn(&str, SocketAddr) -> Passed + Sync,
    by_nature: &[ByNature],
    at_least: usize,
) {
    let both = &|version| directly_and_through(|address| suite(version, address));
    let results: Vec<_> = std::thread::scope(|scope| {
        let run = |&version| (version, scope.spawn(move || both(version)));
        let runs: Vec<_> = versions.iter().map(run).collect();
        let join = |(version, run): (_, ScopedJoinHandle<'_, _>)| (version, run.join().unwrap());
        runs.into_iter().map(join).collect()
    });
    let mut broken = Vec::new();
    for (version, (direct, through)) in results {
        let (count, others) = (direct.len(), through.len());
        println!("{version}: {count} pass directly, {others} through");
        assert!(count >= at_least, "{version}: only {count} tests pass");
        let by_nature = |test: &&String| by_nature.iter().any(|(name, _)| test.contains(name));
        let missing = direct.difference(&through).filter(|test| !by_nature(test));
        broken.extend(missing.map(|test| format!("{version}: {test}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// On servers of their own, at once.
fn directly_and_through(suite: impl Fn(SocketAddr) -> Passed + Sync) -> (Passed, Passed) {
    let direct = Server::start(&[]);
    let server = Server::start(&[]);
    let proxied = Proxied::start(&[("cache.demo", &server)], "");
    let address = proxied.address();
    std::thread::scope(|scope| {
        let direct = scope.spawn(|| suite(direct.address()));
        let through = suite(address);
        (direct.join().unwrap(), through)
    })
}
