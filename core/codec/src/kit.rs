//! The conformance kit: what every protocol has to do, as tests, and two small protocols that do it.

pub mod sample;
