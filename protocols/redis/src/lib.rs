//! Redis for Meltemi: what the core has to know of commands and replies.

#![warn(clippy::indexing_slicing)]

pub mod cluster;
pub mod command;
pub mod resp;
