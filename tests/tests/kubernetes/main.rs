//! A real API server on one side, real proxies and clients on the other.
//!
//! One executable, so that its tests have API servers one after the other ([`ApiServer`]) instead of starting some.
//!
//! [`ApiServer`]: meltemi_tests::kubernetes::ApiServer

mod aeraki;
mod ambient;
mod bad_input;
mod breaks;
mod cluster;
mod commands;
mod crds;
mod detach;
mod equivalence;
mod fleet;
mod gateway_api;
mod held;
mod lag;
mod mesh_identity;
mod metrics;
mod mismatches;
mod permissions;
mod replicas;
mod scopes;
mod secrets;
mod sidecars;
mod soak;
mod status;
mod tls;
mod waypoint;
mod whoami;
