//! Redis for Meltemi.
#![warn(clippy::indexing_slicing)]

pub mod cluster;
pub mod command;
pub mod resp;
