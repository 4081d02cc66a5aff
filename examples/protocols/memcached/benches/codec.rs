//! What a message costs in the codec: `cargo bench -p memcached`.
//!
//! Allocations have a bound, which fails the bench: a proxy that allocates for each request is
//! slow in ways that no profile of a small test shows.

#[path = "../tests/support/corpus.rs"]
mod corpus;

use std::{alloc::System, hint::black_box, time::Instant};

use meltemi_codec::{Decoded, Frame, FromClient, Limits, Opening, Protocol, kit};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use memcached::Memcached;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations that one request, or one answer, may take.
const ALLOWED: usize = 0;
const ROUNDS: u32 = 200_000;

fn main() {
    let count = || ALLOCATOR.stats().allocations;
    let corpus = corpus::corpus();
    if let Err(broken) = kit::allocations(&Memcached, &corpus, ALLOWED, &count) {
        eprintln!("{broken}");
        std::process::exit(1);
    }
    let limits = Limits {
        whole: Limits::WHOLE,
        frame: Memcached.traits().frame_limit,
    };
    for sample in &corpus.requests {
        let mut down = Memcached.downstream(limits);
        let mut up = Memcached.upstream(limits, &Opening::default());
        let mut out = Vec::new();
        let start = Instant::now();
        for _ in 0..ROUNDS {
            out.clear();
            let decoded = down.decode(black_box(&sample.bytes), &mut out);
            if let Ok(Decoded::Message(message)) = decoded
                && let FromClient::Request(request) = message.event
            {
                let frame = Frame {
                    bytes: &sample.bytes,
                    whole: true,
                    memo: &request.memo,
                };
                up.forward(1, frame, &mut out);
            }
        }
        let each = start.elapsed() / ROUNDS;
        println!("{:12} {:8} bytes {each:?}", sample.name, sample.bytes.len());
    }
}
