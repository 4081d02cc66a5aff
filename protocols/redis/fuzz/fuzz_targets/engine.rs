//! The engine between clients and servers that speak Redis, or do not. The first byte chooses how.
#![no_main]

#[path = "../speech.rs"]
mod speech;
#[path = "../../../../core/tests/support"]
mod support {
    pub(crate) mod trial;
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((choice, data)) = data.split_first() {
        support::trial::run(&[speech::speech(choice & 1 == 1)], data);
    }
});
