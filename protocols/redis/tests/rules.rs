//! What the codecs have to keep, one test for each rule of Redis on the wire and each decision.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "rules/blocking.rs"]
mod blocking;
#[path = "rules/channels.rs"]
mod channels;
#[path = "rules/connection.rs"]
mod connection;
#[path = "rules/keys.rs"]
mod keys;
#[path = "support/legs.rs"]
mod legs;
#[path = "rules/login.rs"]
mod login;
#[path = "rules/outcomes.rs"]
mod outcomes;
#[path = "rules/requests.rs"]
mod requests;
#[path = "rules/servers.rs"]
mod servers;
#[path = "rules/settings.rs"]
mod settings;
#[path = "rules/transactions.rs"]
mod transactions;
#[path = "support/words.rs"]
mod words;
