//! Feeds what the fuzzer makes up to the codec of a connection to a client.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    meltemi_codec::kit::fuzz_downstream(&meltemi_redis::protocol(), data);
});
