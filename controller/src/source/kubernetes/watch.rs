//! The watch of one kind, through whatever happens to the API server.

use std::mem::take;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Client;
use kube::core::ApiResource;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::{Change, resource, scope};
use crate::manifest::Kind;
use crate::schema::Settings;

/// How often it is looked whether a kind is defined by now.
const DEFINED_BY_NOW: Duration = Duration::from_secs(5);

const NOT_FOUND: u16 = 404;

pub(super) struct Watch {
    kind: Kind,
    client: Client,
    settings: Settings,
    changes: mpsc::Sender<Change>,
}

/// Nobody hears it any more.
struct Unheard;

/// Why a watch ended that is still heard.
struct NotDefined;

impl Watch {
    pub(super) fn new(
        kind: Kind,
        client: Client,
        settings: &Settings,
        changes: mpsc::Sender<Change>,
    ) -> Self {
        Self {
            kind,
            client,
            settings: settings.clone(),
            changes,
        }
    }

    pub(super) async fn run(self) {
        // An older Istio has older versions only.
        let versions = self.kind.versions();
        let mut said = false;
        for version in versions.iter().cycle() {
            let resource = resource::of(self.kind, version);
            let Ok(NotDefined) = self.follow(&resource).await else {
                return;
            };
            if Some(version) != versions.last() {
                continue;
            }
            if !said {
                info!(
                    kind = self.kind.name(),
                    "the API server does not know the kind yet"
                );
                said = true;
            }
            if self.tell(Change::Unknown(self.kind)).await.is_err() {
                return;
            }
            tokio::time::sleep(DEFINED_BY_NOW).await;
        }
    }

    /// Tells of everything until the kind turns out not to be defined.
    async fn follow(&self, resource: &ApiResource) -> Result<NotDefined, Unheard> {
        let (api, fields) = scope(&self.client, &self.settings, self.kind, resource);
        let config = watcher::Config {
            field_selector: fields,
            ..watcher::Config::default()
        };
        let mut events = watcher::watcher(api, config).boxed();
        let mut backoff = DefaultBackoff::default();
        let (mut listed, mut records) = (vec![], vec![]);
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => {
                    listed.clear();
                    records.clear();
                }
                Ok(Event::InitApply(object)) => {
                    records.extend(object.record(self.kind));
                    listed.push(object.decode(self.kind, resource));
                }
                Ok(Event::InitDone) => {
                    debug!(kind = self.kind.name(), objects = listed.len(), "listed");
                    let (listed, records) = (take(&mut listed), take(&mut records));
                    self.tell(Change::Listed(self.kind, listed, records))
                        .await?;
                }
                Ok(Event::Apply(object)) => {
                    let record = object.record(self.kind).map(Box::new);
                    let decoded = object.decode(self.kind, resource);
                    self.tell(Change::Applied(Box::new(decoded), record))
                        .await?;
                }
                Ok(Event::Delete(object)) => {
                    self.tell(Change::Deleted(object.id(self.kind))).await?;
                }
                Err(error) if is_not_defined(&error) => return Ok(NotDefined),
                Err(error) => {
                    let pause = backoff.next().unwrap_or(DEFINED_BY_NOW);
                    warn!(kind = self.kind.name(), %error, ?pause, "the API server cannot be heard");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.changes.closed() => return Err(Unheard),
                    }
                }
            }
        }
        Err(Unheard)
    }

    async fn tell(&self, change: Change) -> Result<(), Unheard> {
        self.changes.send(change).await.map_err(|_| Unheard)
    }
}

fn is_not_defined(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == NOT_FOUND,
        _ => false,
    }
}
