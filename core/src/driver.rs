//! Sockets, threads and timers for the engine: everything that touches the operating system.
//!
//! Each worker is a thread that owns its [`Engine`], its connections and the poll that tells which
//! of them are ready outright. All of them accept connections; one that has more than another hands what
//! it accepted to the one with the fewest. The caller's runtime opens and closes the listening sockets
//! and forwards the configuration. Nothing else passes between threads, and nothing at all for a request.
//!
//! [`Engine`]: crate::engine::Engine

mod accept;
mod arrivals;
mod crew;
mod dns;
mod health_check;
mod limiter;
mod link;
mod listeners;
mod outlier;
mod overlay;
mod pulse;
mod shakes;
mod socket;
mod sources;
mod stream;
mod tls;
mod transfer;
mod tunnel;
mod turn;
mod worker;
mod workers;

pub use listeners::{ListenerState, ListenerStatus};
pub use socket::ListenError;

pub(crate) use dns::{Addressed, Resolution, Resolver, SharedNames, resolve};
pub(crate) use health_check::HealthChecks;
pub(crate) use limiter::Limiter;
pub(crate) use listeners::{Acceptor, ListenerTable, Listeners};
pub(crate) use outlier::Outliers;
pub(crate) use overlay::{LeftOut, Overlay};
pub(crate) use pulse::Vitals;
pub(crate) use workers::{Ended, Workers, WorkersOptions};
