//! A small command and its answer take no allocation. A program of one thread, without the test
//! harness: the count is the process's.

use std::alloc::System;

use meltemi_codec::kit::{Corpus, Sample, allocations};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let count = || ALLOCATOR.stats().allocations;
    let before = count();
    drop(Box::new([0_u8; 16]));
    assert!(count() > before, "allocations are counted");

    let mut corpus = Corpus::new();
    for (line, answer) in [
        ("GET k", "$5\r\nvalue\r\n"),
        ("SET k v EX 10", "+OK\r\n"),
        ("INCR k", ":7\r\n"),
        ("MGET a b", "*2\r\n$-1\r\n$1\r\nb\r\n"),
        ("HGETALL h", "%1\r\n+f\r\n~1\r\n,1.5\r\n"),
        ("CONFIG GET x", "*0\r\n"),
        ("EVAL return(1) 1 k", "*1\r\n*1\r\n:1\r\n"),
        ("BLPOP k 1", "*-1\r\n"),
        (
            "LPUSH k x",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        (
            "GET far",
            "-LOADING Redis is loading the dataset in memory\r\n",
        ),
    ] {
        let mut bytes = Vec::new();
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        meltemi_redis::resp::write::command(&words, &mut bytes);
        corpus = corpus
            .request(Sample::new(line, bytes))
            .response(Sample::new(format!("{line}, answered"), answer).answers(line));
    }
    allocations(&meltemi_redis::protocol(), &corpus, 0, &count).expect("a small command");
}
