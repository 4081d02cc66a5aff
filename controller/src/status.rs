//! What people see of their objects in the cluster: `status`, written by the replica that leads, and Events.
//!
//! ```text
//! source -> record -+                   proxies -> ads::Clients -> other replicas
//!                   +-> ledger -> desired <- programmed <-+------------+
//! pipeline ---------+                |
//!                                 change -> writer -> API server
//! ```
//!
//! Everything but `writer`, `events` and `replicas/lease` is without I/O and clock.

mod condition;
mod desired;
mod events;
mod expected;
mod gateways;
mod ledger;
mod mismatches;
mod parent;
mod programmed;
mod rate;
mod record;
mod replicas;
#[cfg(test)]
mod story;
mod term;
mod verdict;
mod writer;

pub(crate) use condition::{Condition, Kind, State, Truth, Wanted};
pub(crate) use events::events;
pub(crate) use gateways::{GatewayNews, LedNews, News};
pub(crate) use ledger::{Ledger, Mark, Resolved};
pub(crate) use programmed::Answer;
pub(crate) use rate::Rate;
pub(crate) use record::{KINDS, Record};
pub(crate) use replicas::{ADMIN, HOST, Leases, REPLICA_OF, replica_label};
pub use replicas::{About, Replica};
pub(crate) use writer::{Writer, now};
