//! The pipeline on a directory: reads it, watches it, and publishes what is to be served.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::ads::{Published, Rejection};
use crate::check::Report;
use crate::diagnostic::{Diagnostic, SourceFile};
use crate::index::{Index, Objects};
use crate::model::Model;
use crate::schema::Settings;
use crate::source::Contents;
use crate::source::directory::{Directory, Watch};

#[cfg(feature = "kubernetes")]
mod cluster;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod pipeline;
#[cfg(feature = "kubernetes")]
mod queue;

#[cfg(feature = "kubernetes")]
pub use cluster::{Cluster, ClusterRef};
#[cfg(feature = "kubernetes")]
pub use kubernetes::{Definitions, KubernetesController};
pub(crate) use pipeline::Pipeline;
#[cfg(feature = "kubernetes")]
pub use queue::Queue;

/// Manifests in, resources out.
pub struct Controller {
    directory: Directory,
    pipeline: Pipeline,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub struct Update {
    pub resources: Arc<Published>,
    /// Findings on the newest versions, whether they took effect or not.
    pub report: Report,
}

/// What the controller has to say while it runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// Files changed, and what is valid of it is in force.
    Changed(Report),
    /// A proxy does not accept what was made of an object.
    Rejected(Diagnostic),
}

impl Controller {
    /// Standard input, where a path is `-`, is read here, once.
    #[must_use]
    pub fn open(paths: &[PathBuf], settings: Settings) -> Self {
        Self {
            directory: Directory::open(paths),
            pipeline: Pipeline::new(settings),
        }
    }

    /// Reads everything and puts in force what is valid of it.
    pub fn load(&mut self) -> Update {
        self.pipeline.index.update(self.directory.read());
        self.pipeline.apply()
    }

    /// As [`Self::load`]; none if nothing changed.
    pub fn reload(&mut self) -> Option<Update> {
        let changed = self.pipeline.index.update(self.directory.read());
        changed.then(|| self.pipeline.apply())
    }

    /// As [`Self::load`], with files in memory in the place of those on disk.
    pub fn load_files(&mut self, files: impl IntoIterator<Item = SourceFile>) -> Update {
        let files = files.into_iter();
        self.pipeline.index.update(Contents {
            files: files
                .map(|file| (file.name.clone(), Arc::new(file)))
                .collect(),
            problems: Vec::new(),
        });
        self.pipeline.apply()
    }

    fn look(&mut self, watch: &mut Watch) -> Option<Update> {
        let changed = self.pipeline.index.update(self.directory.look(watch));
        changed.then(|| self.pipeline.apply())
    }

    /// Watches the files and publishes each change, until nobody listens any more.
    ///
    /// The channel of `resources` is that of [`crate::ads::Server`]; [`Self::load`] came first.
    pub async fn run(
        mut self,
        resources: watch::Sender<Option<Arc<Published>>>,
        mut rejections: mpsc::Receiver<Rejection>,
        events: mpsc::Sender<Event>,
    ) {
        let mut watch = Watch::start();
        // What changed since the load, before the watch began.
        let mut update = self.look(&mut watch);
        loop {
            if let Some(update) = update.take() {
                resources.send_replace(Some(update.resources));
                if events.send(Event::Changed(update.report)).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = watch.changed() => update = self.look(&mut watch),
                Some(rejection) = rejections.recv() => {
                    let rejected = Event::Rejected(self.rejected(&rejection));
                    if events.send(rejected).await.is_err() {
                        return;
                    }
                }
                () = resources.closed() => return,
            }
        }
    }

    /// A proxy's complaint about a resource, as a finding on the object that it was made of.
    #[must_use]
    pub fn rejected(&self, rejection: &Rejection) -> Diagnostic {
        self.pipeline.rejected(rejection)
    }

    pub(crate) fn index(&self) -> &Index {
        &self.pipeline.index
    }

    pub(crate) fn model(&self) -> &Model {
        &self.pipeline.model
    }

    pub(crate) fn objects(&self) -> &Objects {
        self.pipeline.objects()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.pipeline.settings
    }
}

#[cfg(test)]
mod tests;
