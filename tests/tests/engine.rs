//! The engine between clients and servers of each built-in protocol, over random choices: the fuzz
//! targets `engine` of the protocols, for a while.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;

#[path = "../../protocols/thrift/tests/support/messages.rs"]
#[allow(dead_code, unreachable_pub, reason = "tests use more of it")]
mod messages;

#[path = "../../protocols/dubbo/fuzz/speech.rs"]
mod dubbo;
#[path = "../../protocols/redis/fuzz/speech.rs"]
mod redis;
#[path = "../../protocols/thrift/fuzz/speech.rs"]
mod thrift;

#[path = "../../core/tests/support"]
mod support {
    pub(crate) mod trial;
}

/// `MELTEMI_TRIALS` schedules of each protocol.
fn trials() -> ProptestConfig {
    let trials = std::env::var("MELTEMI_TRIALS").ok();
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(trials.map_or(300, |trials| trials.parse().unwrap()))
    }
}

proptest! {
    #![proptest_config(trials())]

    #[test]
    fn dubbo_holds(choices in vec(any::<u8>(), 0..600)) {
        support::trial::run(&[dubbo::speech()], &choices);
    }

    #[test]
    fn thrift_holds(way in any::<u8>(), choices in vec(any::<u8>(), 0..600)) {
        support::trial::run(&[thrift::speech(way)], &choices);
    }

    #[test]
    fn redis_holds(follows in any::<bool>(), choices in vec(any::<u8>(), 0..600)) {
        support::trial::run(&[redis::speech(follows)], &choices);
    }
}
