//! Redis Cluster.

mod reply;
pub mod slot;
