//! End-to-end tests over real peers, and their harness.
//!
//! A test starts real servers and clients ([`dubbo`], [`thrift`]) and the real `meltemi` binary ([`Meltemi`]) over
//! manifests in a temporary directory ([`Manifests`]), and asserts on what the clients report.
//! Where the peers are not built, `Peers::find` says in a line how to build them and the test passes,
//! unless `MELTEMI_REQUIRE_PEERS=1`.

pub mod certificates;
pub mod dns;
pub mod dubbo;
mod envoy;
pub mod history;
mod http;
mod initiator;
pub mod kubernetes;
mod manifests;
mod meltemi;
mod orders;
mod peers;
mod process;
mod proxied;
mod rate_limit;
pub mod redis;
pub mod relay;
mod source;
mod terminator;
pub mod thrift;
mod wait;
mod ztunnel;

pub use envoy::Envoy;
pub use http::{Response, get};
pub use initiator::Initiator;
pub use manifests::{Endpoint, Manifests};
pub use meltemi::{Meltemi, binary};
pub use process::Process;
pub use proxied::Proxied;
pub use rate_limit::RateLimitService;
pub use relay::both;
pub use source::connect_from;
pub use terminator::Terminator;
pub use wait::{PATIENCE, until};
pub use ztunnel::{Ztunnel, header};
