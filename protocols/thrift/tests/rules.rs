//! The rules of Thrift on the wire, as far as they concern a proxy.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "rules/bodies.rs"]
mod bodies;
#[path = "rules/detection.rs"]
mod detection;
#[path = "support/golden.rs"]
mod golden;
#[path = "rules/headers.rs"]
mod headers;
#[path = "support/legs.rs"]
mod legs;
#[path = "support/messages.rs"]
mod messages;
#[path = "rules/order.rs"]
mod order;
#[path = "rules/outcomes.rs"]
mod outcomes;
#[path = "rules/replies.rs"]
mod replies;
#[path = "rules/settings.rs"]
mod settings;
