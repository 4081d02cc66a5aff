//! Until when certificates count, for whoever shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::schedule::Time;

/// A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Expiry(Arc<Times>);

#[derive(Debug, Default)]
struct Times {
    /// 0: there is none.
    certificate: AtomicU64,
    root: AtomicU64,
}

impl Expiry {
    /// Of the certificate that proxies are shown, in seconds since 1970; none: there is none.
    #[must_use]
    pub fn certificate(&self) -> Option<u64> {
        known(&self.0.certificate)
    }

    /// Of the root that it is signed by, where that is known.
    #[must_use]
    pub fn root(&self) -> Option<u64> {
        known(&self.0.root)
    }

    pub(super) fn set(&self, certificate: Time, root: Option<Time>) {
        self.0.certificate.store(certificate, Relaxed);
        self.0.root.store(root.unwrap_or(0), Relaxed);
    }
}

fn known(time: &AtomicU64) -> Option<u64> {
    Some(time.load(Relaxed)).filter(|time| *time > 0)
}
