//! Redis' own test suite passes through Meltemi as it passes directly.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use meltemi_tests::Meltemi;
use meltemi_tests::redis::{Server, Suite, Verdict, manifests};

/// The units that pass against a server that the suite did not start.
const UNITS: &[&str] = &[
    "unit/type/string",
    "unit/type/list",
    "unit/type/hash",
    "unit/type/set",
    "unit/type/zset",
    "unit/type/incr",
    "unit/type/stream",
    "unit/multi",
    "unit/pubsub",
    "unit/scripting",
    "unit/expire",
    "unit/scan",
    "unit/geo",
    "unit/bitops",
];

#[test]
fn every_test_that_passes_directly_passes_through_meltemi() {
    if !Server::is_installed() {
        return;
    }
    let suite = Suite::find()
        .expect("redis-server is there, the suite is not: run scripts/install-redis-suite");
    let only = std::env::var("MELTEMI_REDIS_UNIT").ok();
    let units = UNITS
        .iter()
        .filter(|unit| only.as_deref().is_none_or(|only| only == **unit));
    let (mut passed, mut broken) = (0, Vec::new());
    for unit in units {
        let (direct, proxied) = std::thread::scope(|scope| {
            let direct = scope.spawn(|| {
                let server = Server::start(&[]);
                suite.run(unit, server.address())
            });
            let server = Server::start(&[]);
            let files = manifests(&[server.address()]);
            // The suite takes for granted that what one connection wrote first happens first.
            let meltemi = Meltemi::run_with(files.path(), &["--workers", "1"]);
            let address = meltemi.address("default/edge/redis");
            let proxied = suite.run(unit, address);
            (direct.join().unwrap(), proxied)
        });
        for (name, verdicts) in direct {
            let count = |verdicts: &[Verdict]| {
                let passed = verdicts
                    .iter()
                    .filter(|verdict| **verdict == Verdict::Passed);
                passed.count()
            };
            let through = proxied.get(&name).map_or(&[][..], Vec::as_slice);
            let (expected, seen) = (count(&verdicts), count(through));
            passed += seen.min(expected);
            if seen < expected {
                broken.push(format!("{unit}: {name}: {through:?}"));
            }
        }
        println!("{unit}: {passed} passed so far, {} broken", broken.len());
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(only.is_some() || passed >= 1_200, "only {passed} tests ran");
}
