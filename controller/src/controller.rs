//! The pipeline on a directory: reads it, watches it, and publishes what is to be served.

use std::path::PathBuf;
use std::sync::Arc;

use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use meltemi_proto::meltemi::config::v1::Service;
use prost::Name as _;
use tokio::sync::{mpsc, watch};

use crate::ads::{Rejection, Resources};
use crate::check::Report;
use crate::diagnostic::{Code, Diagnostic, SourceFile};
use crate::index::{Index, Objects};
use crate::manifest::Object;
use crate::model::{self, Cluster, Model, Server};
use crate::resolution::{Resolution, resolve};
use crate::schema::Settings;
use crate::source::Contents;
use crate::source::directory::{Directory, Watch};
use crate::translate::{secrets_of_cluster, secrets_of_server, translate};

/// Manifests in, resources out.
pub struct Controller {
    directory: Directory,
    settings: Settings,
    index: Index,
    /// What is in force.
    model: Model,
    objects: Objects,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub struct Update {
    pub resources: Arc<Resources>,
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
        let objects = Objects::new();
        let (model, _) = model::build(&objects, &settings);
        Self {
            directory: Directory::open(paths),
            settings,
            index: Index::default(),
            model,
            objects,
        }
    }

    /// Reads everything and puts in force what is valid of it.
    pub fn load(&mut self) -> Update {
        self.index.update(self.directory.read());
        self.apply()
    }

    /// As [`Self::load`]; none if nothing changed.
    pub fn reload(&mut self) -> Option<Update> {
        self.index
            .update(self.directory.read())
            .then(|| self.apply())
    }

    /// As [`Self::load`], with files in memory in the place of those on disk.
    pub fn load_files(&mut self, files: impl IntoIterator<Item = SourceFile>) -> Update {
        let files = files.into_iter();
        self.index.update(Contents {
            files: files
                .map(|file| (file.name.clone(), Arc::new(file)))
                .collect(),
            problems: Vec::new(),
        });
        self.apply()
    }

    fn look(&mut self, watch: &mut Watch) -> Option<Update> {
        self.index
            .update(self.directory.look(watch))
            .then(|| self.apply())
    }

    fn apply(&mut self) -> Update {
        let Resolution {
            model,
            objects,
            findings,
        } = resolve(&self.index, &self.settings);
        self.index.accept(&objects);
        let report = Report {
            diagnostics: findings,
            objects: objects.len(),
        };
        let resources = Arc::new(translate(&model, self.settings.place()));
        (self.model, self.objects) = (model, objects);
        Update { resources, report }
    }

    /// Watches the files and publishes each change, until nobody listens any more.
    ///
    /// The channel of `resources` is that of [`crate::ads::Server`]; [`Self::load`] came first.
    pub async fn run(
        mut self,
        resources: watch::Sender<Option<Arc<Resources>>>,
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
        let Rejection {
            node, name, reason, ..
        } = rejection;
        let message = format!("the proxy {node} rejects {name}: {reason}");
        let diagnostic = Diagnostic::error(Code::RejectedByProxy, message);
        match self.source_of(rejection) {
            Some(object) => object.finding(diagnostic, object.at),
            None => diagnostic,
        }
    }

    fn source_of(&self, rejection: &Rejection) -> Option<&Object> {
        let Rejection {
            type_url,
            name,
            reason,
            ..
        } = rejection;
        let server = self
            .model
            .servers
            .iter()
            .find(|s| s.name.to_string() == *name);
        if *type_url == RouteConfiguration::type_url() {
            return server?
                .rules
                .get(route_index(reason)?)
                .map(|rule| &*rule.source);
        }
        if *type_url == Listener::type_url() {
            return server.map(|server| &*server.source);
        }
        if *type_url == Service::type_url() {
            return server.map(|server| &**server.decides());
        }
        let clusters = &self.model.clusters;
        let cluster = match *type_url == Secret::type_url() {
            true => clusters.values().find(|cluster| needs(cluster, name)),
            false => clusters.get(&name.parse().ok()?),
        };
        let Some(cluster) = cluster else {
            let mut servers = self.model.servers.iter();
            let server = servers.find(|server| shows(server, name));
            return server.map(|server| &*server.source);
        };
        self.objects.get(&cluster.source).map(|object| &**object)
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Whether the cluster needs the secret of this name.
fn needs(cluster: &Cluster, secret: &str) -> bool {
    let mut secrets = cluster.tls.iter().flat_map(secrets_of_cluster);
    secrets.any(|known| known.name == secret)
}

/// Whether the server needs it.
fn shows(server: &Server, secret: &str) -> bool {
    let mut secrets = server.tls.iter().flat_map(secrets_of_server);
    secrets.any(|known| known.name == secret)
}

/// The route that a reason speaks of: `routes[3].match…`.
fn route_index(reason: &str) -> Option<usize> {
    let (_, rest) = reason.split_once("routes[")?;
    rest.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests;
