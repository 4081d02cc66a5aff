//! The authority that vouches for the controller to its proxies: kept in a Secret, replaced in time, its roots published
//! wherever proxies are.
//!
//! Whoever leads writes: the Secret, and a ConfigMap in each namespace that has proxies. Every replica reads the Secret and
//! signs a certificate of its own by it, whose key never leaves the process. Each write names the version that it
//! replaces, so that two who both believe that they lead end up with one authority.

use std::slice;
use std::sync::Arc;

use meltemi_tls::{ClientCheck, Identity, Versions};
use rustls::ServerConfig;
use tokio::sync::watch;

mod expiry;
mod files;
mod keeper;
mod kept;
mod mesh;
mod root;
mod schedule;
mod store;

pub use expiry::Expiry;
pub use files::{FilesError, from_files};
pub use keeper::{Keeper, Namespaces, Settings};
pub use mesh::from_mesh;
pub(crate) use store::{CONFIG_MAP, SECRET};

/// What connections begin with, as of now; none: there is no certificate yet.
pub type ServerSettings = watch::Receiver<Option<Arc<ServerConfig>>>;

/// For HTTP/2, whose clients show who they are by other means than certificates.
fn server(identity: &Identity) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config =
        meltemi_tls::server(slice::from_ref(identity), ClientCheck::None, Versions::Any)?;
    Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
