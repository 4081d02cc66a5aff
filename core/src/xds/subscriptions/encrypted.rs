//! The listeners with TLS, joined with the secrets that they name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Table;
use crate::config::{Listener, Secret};
use crate::tls::{Tls, ToClients};

/// What was published of them, so that TLS that did not change keeps its identity.
#[derive(Debug, Default)]
pub(super) struct Encrypted(HashMap<String, Arc<Tls<ToClients>>>);

impl Encrypted {
    /// All listeners, as they are to be published.
    pub(super) fn join(
        &mut self,
        listeners: &Table<Listener>,
        secrets: &Table<Secret>,
    ) -> BTreeMap<String, Arc<Listener>> {
        let before = std::mem::take(&mut self.0);
        let joined = listeners.held().map(|(name, listener)| {
            let Some(asked) = &listener.tls else {
                return (name.to_owned(), Arc::clone(listener));
            };
            let tls = asked.with_secrets(|secret| secrets.get(secret), before.get(name));
            self.0.insert(name.to_owned(), Arc::clone(&tls));
            let listener = Listener {
                tls: Some(tls),
                ..Listener::clone(listener)
            };
            (name.to_owned(), Arc::new(listener))
        });
        joined.collect()
    }
}
