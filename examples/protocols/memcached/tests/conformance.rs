//! The codec keeps every rule of the contract: one test for each, over the recorded messages.
//!
//! A rule that is broken says which message, where in it, what was expected and what to read.

#[path = "support/corpus.rs"]
mod corpus;

meltemi_codec::conformance!(memcached::Memcached, corpus::corpus());
