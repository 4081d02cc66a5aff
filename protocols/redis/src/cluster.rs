//! Redis Cluster.

pub(crate) mod reply;
