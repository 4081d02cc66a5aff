//! Where roots are kept and published. Each write names the version that it replaces.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::kept::{Kept, Unusable};

/// In the controller's namespace.
pub(crate) const SECRET: &str = "meltemi-ca";
/// In each namespace that has proxies.
pub(crate) const CONFIG_MAP: &str = "meltemi-ca-root";
/// As in Istio's `istio-ca-root-cert`.
const ROOTS: &str = "root-cert.pem";

const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// Why roots are not kept, or not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// Somebody else was faster: what they wrote counts.
    #[error("the Secret was written by somebody else")]
    Conflict,
    #[error("the Secret {SECRET} of namespace {namespace}: {error}")]
    Api {
        namespace: String,
        error: kube::Error,
    },
    /// It is never overwritten.
    #[error(
        "the Secret {SECRET} of namespace {namespace} cannot be used: {error}; whoever deletes it has a new authority made"
    )]
    Unusable { namespace: String, error: Unusable },
}

pub(super) struct Store {
    client: Client,
    namespace: String,
}

/// What was read or written last.
pub(super) struct Held {
    pub(super) kept: Kept,
    object: Secret,
}

impl Store {
    pub(super) fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }

    /// None: there is none.
    pub(super) async fn read(&self) -> Result<Option<Held>, StoreError> {
        let found = self.secrets().get_opt(SECRET).await;
        let found = found.map_err(|error| self.failed(error))?;
        found.map(|object| self.held(object)).transpose()
    }

    /// In the place of what was `before`; without it, as a new one.
    pub(super) async fn write(
        &self,
        kept: &Kept,
        before: Option<&Held>,
    ) -> Result<Held, StoreError> {
        let metadata = ObjectMeta {
            name: Some(SECRET.to_owned()),
            ..ObjectMeta::default()
        };
        let object = match before {
            // With its version, and with labels that others have put there.
            Some(held) => held.object.clone(),
            None => Secret {
                metadata,
                ..Secret::default()
            },
        };
        let object = Secret {
            data: Some(kept.write()),
            ..object
        };
        let (secrets, params) = (self.secrets(), PostParams::default());
        let written = match before {
            Some(_) => secrets.replace(SECRET, &params, &object).await,
            None => secrets.create(&params, &object).await,
        };
        self.held(written.map_err(|error| self.failed(error))?)
    }

    /// What it was that somebody has deleted.
    pub(super) async fn restore(&self, held: &Held) -> Result<Held, StoreError> {
        self.write(&held.kept, None).await
    }

    /// Has a namespace's proxies believe these roots. One that is not there has none.
    pub(super) async fn publish(&self, namespace: &str, bundle: &str) -> Result<(), kube::Error> {
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        let found = maps.get_opt(CONFIG_MAP).await?;
        let known = found.as_ref().and_then(|map| map.data.as_ref()?.get(ROOTS));
        if known.is_some_and(|known| known == bundle) {
            return Ok(());
        }
        let data = BTreeMap::from([(ROOTS.to_owned(), bundle.to_owned())]);
        let params = PostParams::default();
        let written = match found {
            Some(map) => {
                let mut all = map.data.unwrap_or_default();
                all.extend(data);
                let map = ConfigMap {
                    data: Some(all),
                    ..map
                };
                maps.replace(CONFIG_MAP, &params, &map).await
            }
            None => {
                let map = ConfigMap {
                    metadata: ObjectMeta {
                        name: Some(CONFIG_MAP.to_owned()),
                        ..ObjectMeta::default()
                    },
                    data: Some(data),
                    ..ConfigMap::default()
                };
                maps.create(&params, &map).await
            }
        };
        match written {
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Ok(()),
            other => other.map(drop),
        }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn held(&self, object: Secret) -> Result<Held, StoreError> {
        let data = object.data.clone().unwrap_or_default();
        let kept = Kept::read(&data).map_err(|error| StoreError::Unusable {
            namespace: self.namespace.clone(),
            error,
        })?;
        Ok(Held { kept, object })
    }

    fn failed(&self, error: kube::Error) -> StoreError {
        match error {
            kube::Error::Api(status) if status.code == CONFLICT => StoreError::Conflict,
            error => StoreError::Api {
                namespace: self.namespace.clone(),
                error,
            },
        }
    }
}
