//! What replicas tell each other of their proxies, so that the one that leads can speak for all.
//!
//! ```text
//! ads::Clients -> share -> its own Lease -> roll -> peers -> programmed    (of the leader)
//! ```
//!
//! Each has a Lease of its own, with a digest of what its proxies say: of each object, for which versions of what was made
//! of it, and what they together answer. Who does not renew its Lease has no say any more. Everything but `lease` is without
//! I/O and clock.

mod digest;
mod lease;
mod peers;
mod roll;
mod share;
#[cfg(test)]
mod simulation;

pub(crate) use lease::{ADMIN, HOST, Leases, REPLICA_OF, label as replica_label};
pub use lease::{About, Replica};
pub(super) use peers::Peers;
pub(super) use roll::Live;
