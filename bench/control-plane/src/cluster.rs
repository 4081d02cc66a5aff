//! The API server, filled and changed.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use meltemi_tests::kubernetes::{ApiServer, Programs};
use serde_json::Value;

use crate::world::{Kind, POD, Size};

/// How many objects are made at a time.
const AT_A_TIME: usize = 16;

pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    pub(crate) client: Client,
}

impl Cluster {
    /// An API server that knows Istio's kinds and ours.
    pub(crate) async fn start() -> Result<Self> {
        let started = tokio::task::spawn_blocking(|| {
            let server = ApiServer::start()?;
            server.install_crds(&Programs::own_crds());
            server.install_crds(&server.programs().istio_crds());
            Some(server)
        });
        let server = started.await?;
        let server = server.context("no kube-apiserver: run scripts/install-k8s")?;
        let config = Kubeconfig::read_from(server.kubeconfig())?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(config, &options).await?;
        let client = Client::try_from(config)?;
        Ok(Self { server, client })
    }

    pub(crate) async fn fill(&self, size: Size) -> Result<()> {
        for (kind, objects) in size.objects() {
            let making = objects.into_iter().map(|object| self.create(kind, object));
            let making = stream::iter(making).buffer_unordered(AT_A_TIME);
            making.try_collect::<()>().await?;
        }
        let statuses = size.statuses();
        let running = statuses
            .iter()
            .map(|status| self.change_status(POD, status));
        let running = stream::iter(running).buffer_unordered(AT_A_TIME);
        running.try_collect::<()>().await
    }

    async fn create(&self, kind: Kind, object: Value) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(object)?;
        let api = self.api(kind, object.metadata.namespace.as_deref());
        api.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Writes an object over the one of its name.
    pub(crate) async fn change(&self, kind: Kind, object: &Value) -> Result<()> {
        let (api, name) = self.named(kind, object);
        let merge = Patch::Merge(object);
        api.patch(name, &PatchParams::default(), &merge).await?;
        Ok(())
    }

    /// The same with its status, and nothing else of it.
    pub(crate) async fn change_status(&self, kind: Kind, object: &Value) -> Result<()> {
        let (api, name) = self.named(kind, object);
        let merge = Patch::Merge(object);
        api.patch_status(name, &PatchParams::default(), &merge)
            .await?;
        Ok(())
    }

    fn named<'a>(&self, kind: Kind, object: &'a Value) -> (Api<DynamicObject>, &'a str) {
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        (self.api(kind, metadata["namespace"].as_str()), name)
    }

    pub(crate) fn api(&self, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        let resource = kind.resource();
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }
}

/// Many hold it.
pub(crate) type Shared = Arc<Cluster>;
