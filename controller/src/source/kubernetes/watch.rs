//! The watch of one kind, through whatever happens to the API server.

use std::mem::take;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt;
use kube::Client;
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::contact::{Contact, Contacts};
use super::{Change, contact, resource, scope};
use crate::manifest::Kind;
use crate::schema::Settings;

/// How often it is looked whether a kind is defined by now.
const DEFINED_BY_NOW: Duration = Duration::from_secs(5);

/// The pause after a failure, which doubles with each and is lengthened by chance, so that not all come back at once.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A watch is asked for anew after so many seconds; one of which even bookmarks, which come each minute, stay away is
/// given up shortly after.
pub(super) const WATCHED: u32 = 85;

const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;
/// What it remembers is too old for a watch to go on from.
const GONE: u16 = 410;

pub(super) struct Watch {
    kind: Kind,
    client: Client,
    contact: Arc<Contact>,
    settings: Settings,
    changes: mpsc::Sender<Change>,
}

/// Nobody hears it any more.
struct Unheard;

/// Why a watch ended that is still heard.
#[derive(Clone, Copy)]
enum Ended {
    NotDefined,
    /// And nothing hangs on the kind.
    NotPermitted,
}

impl Watch {
    pub(super) fn new(
        kind: Kind,
        client: &Client,
        (settings, contacts): (&Settings, &Contacts),
        changes: mpsc::Sender<Change>,
    ) -> Self {
        let contact = contacts.of(kind);
        Self {
            kind,
            client: contact::noted(client.clone(), &contact),
            contact,
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
            let Ok(ended) = self.follow(&resource).await else {
                return;
            };
            if Some(version) != versions.last() {
                continue;
            }
            if !said {
                ended.say(self.kind);
                said = true;
            }
            if self.tell(Change::Unknown(self.kind)).await.is_err() {
                return;
            }
            tokio::time::sleep(DEFINED_BY_NOW).await;
        }
    }

    /// Tells of everything until the kind turns out not to be defined.
    async fn follow(&self, resource: &ApiResource) -> Result<Ended, Unheard> {
        let (api, fields) = scope(&self.client, &self.settings, self.kind, resource);
        let config = watcher::Config {
            field_selector: fields,
            ..watcher::Config::default().timeout(WATCHED)
        };
        let begin = || watcher::watcher(api.clone(), config.clone()).boxed();
        let mut events = begin();
        let mut failures = Failures::default();
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
                Err(error) if is_refused(&error, NOT_FOUND) => return Ok(Ended::NotDefined),
                Err(error) if !self.kind.acts() && is_refused(&error, FORBIDDEN) => {
                    return Ok(Ended::NotPermitted);
                }
                Err(error) => {
                    let pause = failures.pause(&self.contact);
                    if is_gone(&error) {
                        info!(
                            kind = self.kind.name(),
                            "what changed is not known any more: all is read anew"
                        );
                    } else {
                        self.contact.lose();
                        warn!(kind = self.kind.name(), %error, ?pause, "the API server cannot be heard");
                    }
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

impl Ended {
    fn say(self, kind: Kind) {
        let kind = kind.name();
        match self {
            Self::NotDefined => info!(kind, "the API server does not know the kind yet"),
            Self::NotPermitted => warn!(
                kind,
                "the kind may not be read: what a waypoint changes for its objects is not told"
            ),
        }
    }
}

/// How often it failed in a row.
pub(super) struct Failures {
    pauses: ExponentialBackoff,
    last: Instant,
}

impl Default for Failures {
    fn default() -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_jitter()
            .without_max_times();
        Self {
            pauses: pauses.build(),
            last: Instant::now(),
        }
    }
}

impl Failures {
    /// How long to wait after another one. What was heard since the last begins a new row.
    pub(super) fn pause(&mut self, contact: &Contact) -> Duration {
        if contact.is_after(self.last) {
            *self = Self::default();
        }
        self.last = Instant::now();
        self.pauses.next().unwrap_or(LONGEST_PAUSE)
    }
}

/// Said by a watch that runs, or instead of one.
pub(super) fn is_gone(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status) => status.code == GONE,
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == GONE,
        _ => false,
    }
}

fn is_refused(error: &watcher::Error, code: u16) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == code,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
