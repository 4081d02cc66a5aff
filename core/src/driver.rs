//! Sockets, threads and timers for the engine: everything that touches the operating system.
//!
//! Each worker is a thread that owns its [`Engine`], its connections and the poll that tells which
//! of them are ready outright. The dispatcher, on the caller's runtime, owns the listening sockets; it
//! hands every accepted one to the worker with the fewest connections and forwards the
//! configuration. Nothing else passes between threads, and nothing at all for a request.
//!
//! [`Engine`]: crate::engine::Engine

mod accept;
mod arrivals;
mod dns;
mod health_check;
mod limiter;
mod link;
mod listeners;
mod outlier;
mod overlay;
mod socket;
mod stream;
mod tls;
mod transfer;
mod tunnel;
mod turn;
mod worker;
mod workers;

pub use listeners::{ListenerState, ListenerStatus};
pub use socket::ListenError;

pub(crate) use accept::Acceptor;
pub(crate) use dns::{Addressed, Resolution, Resolver, SharedNames, resolve};
pub(crate) use health_check::HealthChecks;
pub(crate) use limiter::Limiter;
pub(crate) use listeners::{ListenerTable, Listeners};
pub(crate) use outlier::Outliers;
pub(crate) use overlay::{LeftOut, Overlay};
pub(crate) use workers::{Ended, Workers, WorkersOptions};
