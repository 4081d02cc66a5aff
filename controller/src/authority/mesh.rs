//! A certificate that the CA of a mesh gives, as to any of its workloads.

use std::sync::Arc;

use meltemi_credentials::{CertificateAuthority, Issued, Undiallable, Workload};
use rustls::ServerConfig;
use tokio::sync::watch;
use tracing::warn;

use super::{Expiry, ServerSettings, server};

/// Asks for one, and again in time; until there is one nobody can connect.
///
/// Has to be called on a runtime.
///
/// # Errors
/// The CA cannot be dialled, or its roots or the token cannot be read.
pub fn from_mesh(ca: CertificateAuthority, expiry: Expiry) -> Result<ServerSettings, Undiallable> {
    let workload = ca.follow()?;
    let (made, now) = watch::channel(None);
    tokio::spawn(follow(workload, made, expiry));
    Ok(now)
}

async fn follow(
    mut workload: Workload,
    made: watch::Sender<Option<Arc<ServerConfig>>>,
    expiry: Expiry,
) {
    let mut shown: Option<Arc<Issued>> = None;
    loop {
        let issued = workload.borrow_and_update().issued.clone();
        let is_new = match (&issued, &shown) {
            (Some(issued), Some(shown)) => !Arc::ptr_eq(issued, shown),
            (None, None) => false,
            _ => true,
        };
        if is_new {
            made.send_replace(
                issued
                    .as_deref()
                    .and_then(|issued| settings(issued, &expiry)),
            );
            shown = issued;
        }
        tokio::select! {
            changed = workload.changed() => if changed.is_err() { return },
            () = made.closed() => return,
        }
    }
}

fn settings(issued: &Issued, expiry: &Expiry) -> Option<Arc<ServerConfig>> {
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    let roots = issued.trust.authorities().iter();
    let first = roots.map(|root| root.not_after).min();
    let own = issued.identity.certificate().not_after;
    expiry.set(seconds(own), first.map(seconds));
    let made = server(&issued.identity);
    made.inspect_err(|error| warn!(%error, "TLS cannot be set up with the certificate of the mesh"))
        .ok()
}
