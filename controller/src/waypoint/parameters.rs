//! ConfigMaps that Gateways name with overrides, each read by itself: at once when it is first named, and again from time to
//! time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use tokio::time::timeout;
use tracing::warn;

use super::overrides::Overrides;

/// How old what was read may be.
pub(super) const AGE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);

/// Namespace and name.
pub(super) type Key = (String, String);

/// What was read of each.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<Key, Reading>);

#[derive(Debug)]
struct Reading {
    at: Instant,
    /// Or why it cannot be used.
    overrides: Result<Overrides, String>,
}

impl Parameters {
    /// None: not read yet.
    pub(super) fn get(&self, key: &Key) -> Option<Result<&Overrides, &str>> {
        let read = self.0.get(key)?;
        Some(read.overrides.as_ref().map_err(String::as_str))
    }

    /// When one of them is to be read again.
    pub(super) fn wakes(&self) -> Option<Instant> {
        self.0.values().map(|read| read.at + AGE).min()
    }

    /// Reads those that are named and are not known, or old; others are forgotten.
    pub(super) async fn look(&mut self, client: &Client, named: &BTreeSet<Key>) {
        self.0.retain(|key, _| named.contains(key));
        for key in named {
            let now = Instant::now();
            if self.0.get(key).is_some_and(|read| now < read.at + AGE) {
                continue;
            }
            let (namespace, name) = key;
            let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
            let read = timeout(PATIENCE, api.get_opt(name)).await;
            let overrides = match read {
                Ok(Ok(Some(object))) => {
                    let data = object.data.unwrap_or_default();
                    Overrides::parse(&data).map_err(|error| error.to_string())
                }
                Ok(Ok(None)) => Err("there is no such ConfigMap".to_owned()),
                Ok(Err(error)) => Err(format!("it cannot be read: {error}")),
                Err(_) => Err("it cannot be read: no answer in time".to_owned()),
            };
            let before = self.0.get(key).map(|read| &read.overrides);
            if let Err(error) = &overrides
                && before != Some(&overrides)
            {
                warn!(namespace, name, error, "overrides cannot be used");
            }
            let reading = Reading { at: now, overrides };
            self.0.insert(key.clone(), reading);
        }
    }

    #[cfg(test)]
    pub(super) fn with(key: Key, overrides: Result<Overrides, String>) -> Self {
        let reading = Reading {
            at: Instant::now(),
            overrides,
        };
        Self([(key, reading)].into())
    }
}
