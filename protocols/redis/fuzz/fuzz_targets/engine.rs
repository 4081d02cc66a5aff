//! The engine between clients and servers that speak Redis, or do not.
#![no_main]

#[path = "../speech.rs"]
mod speech;
#[path = "../../../../core/tests/support"]
mod support {
    pub(crate) mod trial;
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| support::trial::run(&[speech::speech()], data));
