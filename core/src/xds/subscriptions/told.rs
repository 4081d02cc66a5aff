//! Services and clusters whose plugins are told something secret, joined with the secrets that have it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Kind, Table};
use crate::config::{Cluster, Secret, SecretValue, Service, Setting};

/// What has settings of a plugin.
pub(super) trait Told: Kind + Clone + PartialEq {
    fn settings(&self) -> impl Iterator<Item = &Setting>;
    fn settings_mut(&mut self) -> impl Iterator<Item = &mut Setting>;

    /// The names of the secrets that it needs for them.
    fn secrets(&self) -> impl Iterator<Item = &str> {
        self.settings().filter_map(|it| it.secret.as_deref())
    }
}

impl Told for Service {
    fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter()
    }

    fn settings_mut(&mut self) -> impl Iterator<Item = &mut Setting> {
        self.settings.iter_mut()
    }
}

impl Told for Cluster {
    fn settings(&self) -> impl Iterator<Item = &Setting> {
        let check = self.health_check.iter().flat_map(|it| &it.protocol);
        self.settings
            .iter()
            .chain(check.flat_map(|it| &it.settings))
    }

    fn settings_mut(&mut self) -> impl Iterator<Item = &mut Setting> {
        let check = self.health_check.iter_mut().flat_map(|it| &mut it.protocol);
        self.settings
            .iter_mut()
            .chain(check.flat_map(|it| &mut it.settings))
    }
}

/// What was published of those that need secrets, so that one that did not change keeps its identity.
#[derive(Debug)]
pub(super) struct Filled<T>(HashMap<String, Arc<T>>);

impl<T> Default for Filled<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Told> Filled<T> {
    /// All of them, as they are to be published. One whose secret is not there is left out: who may be
    /// let in, or what a server is shown, is not known then.
    pub(super) fn join<C: FromIterator<(String, Arc<T>)>>(
        &mut self,
        asked: &Table<T>,
        secrets: &Table<Secret>,
    ) -> C {
        let before = std::mem::take(&mut self.0);
        let joined = asked.held().filter_map(|(name, asked)| {
            if asked.secrets().next().is_none() {
                return Some((name.to_owned(), Arc::clone(asked)));
            }
            let joined = with_secrets(asked.as_ref(), secrets)
                .inspect_err(|secret| {
                    let kind = super::type_url::<T>();
                    tracing::error!(
                        name,
                        kind,
                        secret,
                        "the control plane gives no such secret: what needs it is not used"
                    );
                })
                .ok()?;
            let before = before.get(name).filter(|before| ***before == joined);
            let joined = before.map_or_else(|| Arc::new(joined), Arc::clone);
            self.0.insert(name.to_owned(), Arc::clone(&joined));
            Some((name.to_owned(), joined))
        });
        joined.collect()
    }
}

/// The name of a secret that is not there, or holds no text, where there is one.
fn with_secrets<T: Told>(asked: &T, secrets: &Table<Secret>) -> Result<T, String> {
    let mut joined = asked.clone();
    for setting in joined.settings_mut() {
        let Some(name) = &setting.secret else {
            continue;
        };
        match secrets.get(name).map(|secret| &secret.value) {
            Some(SecretValue::Text(text)) => setting.value.clone_from(&text.0),
            _ => return Err(name.clone()),
        }
    }
    Ok(joined)
}
