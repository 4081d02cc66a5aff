//! Feeds what the fuzzer makes up to the codec of a connection to a server.
//!
//! `cargo install cargo-fuzz`, then `cargo +nightly fuzz run upstream` in the directory above.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    meltemi_codec::kit::fuzz_upstream(&myproto::MyProto, data);
});
