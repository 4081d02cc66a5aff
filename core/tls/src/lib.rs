//! TLS with endpoints and with clients, as far as it needs neither a socket nor a clock: certificates,
//! keys and the settings of both sides made of them. Of files only those are read that a system keeps
//! its authorities in.
//!
//! The control plane checks with it what manifests hold, the data plane dials and serves with it, so that what
//! the one accepts the other can use.

mod certificate;
mod client;
mod identity;
mod name;
mod principal;
mod server;
mod several;
mod trust;
mod verify;

pub use certificate::Certificate;
pub use client::{ServerCheck, client};
pub use identity::{Identity, IdentityError};
pub use name::{InvalidName, PeerName};
pub use principal::{identity, principal};
pub use server::{ClientCheck, Versions, server};
pub use trust::{Trust, TrustError};
pub use verify::words;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one that everything here is made with.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
