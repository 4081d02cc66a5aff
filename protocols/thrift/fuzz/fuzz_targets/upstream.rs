//! Feeds what the fuzzer makes up to the codec of a connection to a server.
#![no_main]

#[path = "../targets.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the other target is another program"
)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::upstream(data));
