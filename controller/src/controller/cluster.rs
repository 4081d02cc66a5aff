//! The pipeline on a cluster, once: for commands that answer a question.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::pipeline::Pipeline;
use crate::check::{Migration, Plan, Report};
use crate::index::Index;
use crate::manifest::{Kind, ObjectRef};
use crate::model::{Model, references};
use crate::schema::Settings;
use crate::source::directory::Directory;
use crate::source::kubernetes::{Listed, client, list, list_secrets, look};

/// Which cluster.
#[derive(Clone, Debug)]
pub struct ClusterRef {
    pub kubeconfig: PathBuf,
    /// The current one unless named.
    pub context: Option<String>,
}

/// What a cluster holds at one moment, with files as if they were applied to it.
pub struct Cluster {
    pipeline: Pipeline,
    report: Report,
    unknown: Vec<Kind>,
}

impl Cluster {
    /// # Errors
    /// When the kubeconfig leads nowhere, nobody answers, or a kind may not be listed.
    pub async fn read(
        cluster: &ClusterRef,
        files: &[PathBuf],
        mut settings: Settings,
    ) -> anyhow::Result<Self> {
        settings.gateways_apart = true;
        let kubeconfig: &Path = &cluster.kubeconfig;
        let client = client(Some(kubeconfig), cluster.context.as_deref()).await?;
        let Listed { objects, unknown } = list(&client, &settings).await?;
        // Who may not look there is told of objects alone.
        let seen = look(&client, &settings.root_namespace).await.ok();
        settings.beside_aeraki = seen.is_some_and(|seen| seen.aeraki.is_some());
        let mut pipeline = Pipeline::new(settings);
        for object in objects {
            pipeline.index.put(object);
        }
        pipeline.index.overlay(Directory::open(files).read());
        let named = unread_secrets(&pipeline.index);
        for secret in list_secrets(&client, &named).await? {
            pipeline.index.put(secret);
        }
        let report = pipeline.apply().report;
        Ok(Self {
            pipeline,
            report,
            unknown,
        })
    }

    /// Findings on the objects of the cluster and on the files.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The findings, and what the objects that were written for Aeraki mean here, as if every namespace were handed over.
    #[must_use]
    pub fn migration(mut self) -> Migration {
        self.pipeline.stand_beside_aeraki(false);
        let report = self.pipeline.apply().report;
        Migration::of(report, &self.pipeline.index)
    }

    /// The findings, and what waypoints change for the services that ask for them.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let root = &self.pipeline.settings.root_namespace;
        let objects = self.pipeline.objects();
        Plan::of(self.report.clone(), &self.pipeline.model, (objects, root))
    }

    /// Those of our own kinds that its API server does not know. Without those of others a cluster is as well.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let own = self.unknown.iter().filter(|kind| kind.is_own());
        own.map(|kind| kind.name()).collect()
    }

    pub(crate) fn model(&self) -> &Model {
        &self.pipeline.model
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.pipeline.settings
    }
}

/// The Secrets that objects name and no file has.
fn unread_secrets(index: &Index) -> BTreeSet<ObjectRef> {
    let named = index.known().flat_map(|object| references(object));
    let mut named: BTreeSet<_> = named.collect();
    for object in index.known() {
        named.remove(&object.id);
    }
    named
}
