//! What is watched of a request takes no allocation. A program of one thread, without the test
//! harness: the count is the process's.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/pair.rs"]
mod pair;

use std::alloc::System;
use std::time::Duration;

use meltemi_codec::kit::sample::in_order::request;
use meltemi_core::config::Service;
use pair::Pair;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// More than are counted one by one, and so many keys that counters change hands.
const REQUESTS: usize = 2_000;

/// The allocations of many requests on a warm connection to a service that was changed so.
fn allocations(change: fn(&mut Service)) -> usize {
    let mut pair = Pair::new(change);
    pair.answers.reserve(64 * REQUESTS);
    let requests: Vec<_> = (0..REQUESTS)
        .map(|n| request(["GET", "SET"][n % 2], &format!("key:{n:06}")))
        .collect();
    let mut run = || {
        let before = ALLOCATOR.stats().allocations;
        for request in &requests {
            pair.call(request, Duration::from_micros(1), b"+ok\n");
        }
        ALLOCATOR.stats().allocations - before
    };
    run();
    run()
}

fn main() {
    let plain = allocations(|service| service.protocol = "sample-in-order".into());
    let watched = allocations(|service| {
        service.operation_metrics = true;
        service.slow_request_threshold = Some(Duration::from_secs(1));
    });
    println!("{plain} allocations of {REQUESTS} requests, {watched} where they are watched");
    assert!(
        watched <= plain,
        "{watched} allocations of {REQUESTS} requests that are watched, {plain} else"
    );
}
