//! What the configuration stream has come to, for `/metrics` and `/ready`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use meltemi_proto::envoy::service::discovery::v3::DeltaDiscoveryResponse;

use super::table::Rejection;

/// Counters of one client; written by it, read by anyone.
#[derive(Debug, Default)]
pub struct Stats {
    connected: AtomicBool,
    accepted: AtomicU64,
    rejected: AtomicU64,
    snapshots: AtomicU64,
    last_success: AtomicU64,
    last_connected: AtomicU64,
    refused: Mutex<BTreeMap<(String, String), Refused>>,
}

/// A resource whose newest version was refused. What was in force before it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub type_url: String,
    pub name: String,
    pub version: String,
    pub reason: String,
}

/// The resources that a response tells of.
pub(super) struct Told {
    type_url: String,
    names: Vec<String>,
}

impl Told {
    pub(super) fn by(response: &DeltaDiscoveryResponse) -> Self {
        let changed = response.resources.iter().map(|resource| &resource.name);
        Self {
            type_url: response.type_url.clone(),
            names: changed
                .chain(&response.removed_resources)
                .cloned()
                .collect(),
        }
    }
}

impl Stats {
    /// Whether there is a stream to the control plane.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    /// Responses of which every resource was applied.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Responses of which some resource was refused.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }

    /// Snapshots published.
    pub fn snapshots(&self) -> u64 {
        self.snapshots.load(Relaxed)
    }

    /// When the last snapshot was published, in seconds since 1970; 0 is never.
    pub fn last_success(&self) -> u64 {
        self.last_success.load(Relaxed)
    }

    /// For how many seconds nobody could say whether the configuration is still the control plane's: 0 while there is a
    /// stream, which brings each change. Where there never was one, since 1970.
    pub fn age(&self) -> u64 {
        match self.is_connected() {
            true => 0,
            false => now().saturating_sub(self.last_connected.load(Relaxed)),
        }
    }

    pub(super) fn connected(&self) {
        self.connected.store(true, Relaxed);
    }

    pub(super) fn disconnected(&self) {
        if self.connected.swap(false, Relaxed) {
            self.last_connected.store(now(), Relaxed);
        }
    }

    /// The resources whose newest version was refused, by type and name.
    pub fn refused(&self) -> Vec<Refused> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn received(&self, told: &Told, rejected: &[Rejection]) {
        let counter = match rejected {
            [] => &self.accepted,
            _ => &self.rejected,
        };
        counter.fetch_add(1, Relaxed);
        let mut refused = self.lock();
        let key = |name: &String| (told.type_url.clone(), name.clone());
        for name in &told.names {
            refused.remove(&key(name));
        }
        for rejection in rejected {
            let entry = Refused {
                type_url: told.type_url.clone(),
                name: rejection.name.clone(),
                version: rejection.version.clone(),
                reason: rejection.reason.to_string(),
            };
            refused.insert(key(&rejection.name), entry);
        }
    }

    /// A panic elsewhere leaves whole entries behind.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn published(&self) {
        self.snapshots.fetch_add(1, Relaxed);
        self.last_success.store(now(), Relaxed);
    }
}

/// In seconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use meltemi_proto::envoy::service::discovery::v3::Resource;

    use super::*;
    use crate::config::Invalid;

    #[test]
    fn a_configuration_ages_while_there_is_no_stream() {
        let stats = Stats::default();
        assert!(stats.age() > 1_700_000_000);
        stats.connected();
        assert_eq!(stats.age(), 0);
        stats.disconnected();
        assert!(stats.age() < 60);
        let before = now() - 100;
        stats.last_connected.store(before, Relaxed);
        // An attempt that fails makes it no younger.
        stats.disconnected();
        assert!((100..160).contains(&stats.age()));
    }

    fn told(names: &[&str], removed: &[&str]) -> Told {
        let resources = names.iter().map(|name| Resource {
            name: (*name).to_owned(),
            ..Resource::default()
        });
        Told::by(&DeltaDiscoveryResponse {
            type_url: "t".into(),
            resources: resources.collect(),
            removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
            ..DeltaDiscoveryResponse::default()
        })
    }

    fn rejection(name: &str) -> Rejection {
        Rejection {
            name: name.into(),
            version: "v".into(),
            reason: Invalid::new("field", "is missing"),
        }
    }

    #[test]
    fn a_refusal_is_told_until_the_resource_is_accepted_or_withdrawn() {
        let stats = Stats::default();
        let names = |stats: &Stats| -> Vec<String> {
            stats
                .refused()
                .into_iter()
                .map(|refused| refused.name)
                .collect()
        };
        let bad = ["a", "b"].map(rejection);
        stats.received(&told(&["a", "b", "c"], &[]), &bad);
        assert_eq!(names(&stats), ["a", "b"]);
        stats.received(&told(&["c"], &[]), &[]);
        assert_eq!(
            names(&stats),
            ["a", "b"],
            "another resource says nothing of them"
        );
        stats.received(&told(&["a"], &["b"]), &[rejection("a")]);
        assert_eq!(names(&stats), ["a"]);
        stats.received(&told(&["a"], &[]), &[]);
        assert!(names(&stats).is_empty());
        assert_eq!((stats.accepted(), stats.rejected()), (2, 2));
    }
}
