//! A small message of a sample protocol takes no allocation. A program of one thread, without the
//! test harness: the count is the process's.

use std::alloc::System;

use meltemi_codec::kit::{
    Corpus, Sample, allocations,
    sample::{ById, InOrder, by_id, in_order},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let count = || ALLOCATOR.stats().allocations;
    let before = count();
    drop(Box::new([0_u8; 16]));
    assert!(count() > before, "allocations are counted");

    let corpus = Corpus::new()
        .request(Sample::new("greet", by_id::request(7, "greet", b"hello")))
        .response(Sample::new("greeting", by_id::response(7, 0, 0, b"hi")).answers("greet"));
    allocations(&ById, &corpus, 0, &count).expect("by id");

    let corpus = Corpus::new()
        .request(Sample::new("get", in_order::request("GET", "a")))
        .response(Sample::new("got", in_order::response(b"value")).answers("get"));
    allocations(&InOrder, &corpus, 0, &count).expect("in order");
}
