//! A small message takes no allocation, and a hostile one no more than it has bytes. A program of
//! one thread, without the test harness: the count is the process's.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/golden.rs"]
mod golden;
#[path = "support/messages.rs"]
mod messages;
#[path = "support/samples.rs"]
mod samples;

use std::alloc::System;

use meltemi_codec::{AttributeKey, Frame, FromClient, Limits, Protocol, kit::allocations};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use messages::{ALL, CALL, bare, framed};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let count = || ALLOCATOR.stats().allocations;
    let before = count();
    drop(Box::new([0_u8; 16]));
    assert!(count() > before, "allocations are counted");

    let thrift = meltemi_thrift::protocol();
    for speech in ALL {
        let corpus = samples::corpus(speech);
        allocations(&thrift, &corpus, 0, &count).unwrap_or_else(|broken| {
            panic!("{speech:?}: {broken}");
        });
    }
    bombs();
    arguments();
}

fn limits() -> Limits {
    Limits {
        whole: Limits::WHOLE,
        frame: meltemi_thrift::protocol().traits().frame_limit,
    }
}

/// Counts and lengths that the message does not hold, and depth.
fn bombs() {
    let bodies: [(&str, &[u8]); 5] = [
        ("binary", &[15, 0, 1, 2, 0x7f, 0xff, 0xff, 0xff]),
        ("binary", &[11, 0, 1, 0, 0xf0, 0, 0]),
        ("binary", &[12, 0, 1].repeat(60)),
        ("compact", &[0x19, 0xf1, 0xff, 0xff, 0xff, 0x07]),
        ("compact", &[0x1c].repeat(60)),
    ];
    for (protocol, body) in bodies {
        let mut client = meltemi_thrift::protocol().downstream(limits());
        let bomb = bare(protocol, CALL, "m", 1, body);
        let mut out = Vec::with_capacity(4096);
        let before = ALLOCATOR.stats().bytes_allocated;
        let _refused = client.decode(&bomb, &mut out);
        let taken = ALLOCATOR.stats().bytes_allocated - before;
        // The stack of open containers, which is bounded.
        assert!(taken < 8 * 1024, "{protocol} {body:x?} takes {taken} bytes");
    }
}

/// A string that an argument is said to be, and is not.
fn arguments() {
    let thrift = meltemi_thrift::protocol();
    let mut client = thrift.downstream(limits());
    let body = [11, 0, 1, 0x06, 0x40, 0, 0, b'x'];
    let bytes = framed(&bare("binary", CALL, "m", 1, &body));
    let event = client.decode(&bytes, &mut Vec::new()).unwrap();
    let meltemi_codec::Decoded::Message(message) = event else {
        panic!("{event:?}");
    };
    let FromClient::Request(request) = message.event else {
        panic!("no request");
    };
    let frame = Frame {
        bytes: &bytes,
        whole: true,
        memo: &request.memo,
    };
    let key = AttributeKey::resolve(thrift.attributes(), "arg.1");
    let before = ALLOCATOR.stats().bytes_allocated;
    assert_eq!(client.attribute(frame, &key), None);
    let taken = ALLOCATOR.stats().bytes_allocated - before;
    assert!(taken < 4096, "an argument takes {taken} bytes");
}
