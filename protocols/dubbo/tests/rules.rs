//! The numbered rules of Dubbo2 on the wire, as far as they concern a proxy.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "rules/alike.rs"]
mod alike;
#[path = "rules/calls.rs"]
mod calls;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/golden.rs"]
mod golden;
#[path = "rules/legs.rs"]
mod legs;
#[path = "rules/outcomes.rs"]
mod outcomes;
