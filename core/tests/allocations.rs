//! A request that is passed on takes no allocation, watched or not. A program of one thread, without the test
//! harness: the count is the process's.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/pair.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod pair;

use std::alloc::System;
use std::time::Duration;

use meltemi_codec::kit::sample::in_order::request;
use pair::Pair;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// More than are counted one by one, and so many keys that counters change hands.
const REQUESTS: usize = 2_000;
const ANSWER: &[u8] = b"+ok\n";

/// The allocations of many requests on a warm connection.
fn allocations(pair: &mut Pair, requests: &[Vec<u8>]) -> usize {
    pair.answers.clear();
    let before = ALLOCATOR.stats().allocations;
    for request in requests {
        pair.call(request, Duration::from_micros(1), ANSWER);
    }
    let taken = ALLOCATOR.stats().allocations - before;
    assert_eq!(pair.answers.len(), requests.len() * ANSWER.len());
    taken
}

fn main() {
    let before = ALLOCATOR.stats().allocations;
    let requests: Vec<_> = (0..REQUESTS)
        .map(|n| request(["GET", "SET"][n % 2], &format!("key:{n:06}")))
        .collect();
    let counted = ALLOCATOR.stats().allocations - before;
    assert!(counted >= REQUESTS, "allocations are counted");

    let mut pair = Pair::new(|service| service.operation_metrics = false);
    allocations(&mut pair, &requests);
    let plain = allocations(&mut pair, &requests);
    pair.configure(|service| {
        service.operation_metrics = true;
        service.slow_request_threshold = Some(Duration::from_secs(1));
    });
    allocations(&mut pair, &requests);
    let watched = allocations(&mut pair, &requests);

    let page = pair.telemetry.render();
    let line = format!(r#"operation="GET",outcome="ok"}} {REQUESTS}"#);
    assert!(page.contains(&line), "they are watched: {page}");
    assert_eq!(plain, 0, "allocations of {REQUESTS} requests");
    assert_eq!(watched, 0, "allocations where they are watched");
}
