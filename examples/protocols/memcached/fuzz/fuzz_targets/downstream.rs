//! Feeds what the fuzzer makes up to the codec of a client's connection.
//!
//! `cargo install cargo-fuzz`, then `cargo +nightly fuzz run downstream` in the directory above.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    meltemi_codec::kit::fuzz_downstream(&memcached::Memcached, data);
});
