//! The Meltemi proxy: one path from an accepted connection to an answer, for any protocol.

pub mod access_log;
pub mod balance;
pub mod config;
pub mod outlier;
pub mod telemetry;
pub mod xds;
pub mod engine;
pub mod protocols;
