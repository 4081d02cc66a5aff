//! The engine between consumers and providers that speak Dubbo, or do not.
#![no_main]

#[path = "../speech.rs"]
mod speech;
#[path = "../../../../core/tests/support"]
mod support {
    pub(crate) mod trial;
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| support::trial::run(&[speech::speech()], data));
