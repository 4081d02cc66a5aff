//! Redis Cluster, and keys divided among servers that are none: where a key lives, and how a
//! request is served by several shards.

mod keyed;
mod merge;
pub mod refusal;
mod reply;
mod scan;
pub mod slot;
pub mod splitter;
pub mod topology;

pub use splitter::{Splitter, Unit};
pub use topology::ClusterTopology;
