//! The Meltemi proxy: one path from an accepted connection to an answer, for any protocol.

pub mod access_log;
pub mod admin;
pub mod balance;
pub mod buckets;
pub mod circuit;
pub mod config;
mod dial;
pub mod dns;
pub mod driver;
pub mod engine;
pub mod health_check;
pub mod hot_keys;
mod mismatches;
pub mod outlier;
pub mod protocols;
pub mod proxy;
pub mod proxy_protocol;
pub mod rate_limit;
pub mod telemetry;
pub mod tls;
mod tunnel;
pub mod xds;
