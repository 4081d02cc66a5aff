//! Runs the body of the same name over what the fuzzer makes up.
#![no_main]
#![allow(dead_code)]

#[path = "../../tests/support/fuzz.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::proxy_protocol(data));
