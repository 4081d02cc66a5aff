//! The Meltemi proxy: one path from an accepted connection to an answer, for any protocol.

pub mod config;
pub mod xds;
