//! Feeds what the fuzzer makes up to the codec of a connection to a server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    meltemi_codec::kit::fuzz_upstream(&meltemi_redis::protocol(), data);
});
