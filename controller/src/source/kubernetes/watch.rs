//! The watch of one kind, through whatever happens to the API server.

use std::collections::BTreeMap;
use std::mem::replace;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt;
use kube::Client;
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::contact::{Contact, Contacts};
use super::object::Watched;
use super::{Change, Reached, contact, resource, scope};
use crate::manifest::{Decoded, Kind};
use crate::schema::Settings;
use crate::status::Record;

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

    /// `wanted`: kinds that are to be read anew, where they were not since then.
    pub(super) async fn run(self, mut wanted: Wanted) {
        // An older Istio has older versions only.
        let versions = self.kind.versions();
        let mut said = false;
        for version in versions.iter().cycle() {
            let resource = resource::of(self.kind, version);
            let Ok(ended) = self.follow(&resource, &mut wanted).await else {
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
    async fn follow(&self, resource: &ApiResource, wanted: &mut Wanted) -> Result<Ended, Unheard> {
        let (api, fields) = scope(&self.client, &self.settings, self.kind, resource);
        let config = watcher::Config {
            field_selector: fields,
            ..watcher::Config::default().timeout(WATCHED)
        };
        let begin = || watcher::watcher(api.clone(), config.clone()).boxed();
        let mut events = begin();
        let mut failures = Failures::default();
        let mut list = List::default();
        loop {
            let event = tokio::select! {
                event = events.next() => event.ok_or(Unheard)?,
                () = is_wanted(self.kind, wanted, list.began) => {
                    info!(kind = self.kind.name(), "clients know of more: all is read anew");
                    (events, list) = (begin(), List::default());
                    continue;
                }
            };
            match event {
                Ok(Event::Init) => list = List::default(),
                Ok(Event::InitApply(object)) => list.add(object, self.kind, resource),
                Ok(Event::InitDone) => self.tell_all(list.done()).await?,
                Ok(Event::Apply(object)) => {
                    let (version, record) = (object.version(), object.record(self.kind));
                    let decoded = Box::new(object.decode(self.kind, resource));
                    let applied = Change::Applied(decoded, record.map(Box::new));
                    self.tell_change(applied, version).await?;
                }
                Ok(Event::Delete(object)) => {
                    let deleted = Change::Deleted(object.id(self.kind));
                    self.tell_change(deleted, object.version()).await?;
                }
                Err(error) if is_refused(&error, NOT_FOUND) => return Ok(Ended::NotDefined),
                Err(error) if !self.kind.acts() && is_refused(&error, FORBIDDEN) => {
                    return Ok(Ended::NotPermitted);
                }
                Err(error) => self.rest(&error, &mut failures).await?,
            }
        }
    }

    /// Says why it failed, and waits a while.
    async fn rest(&self, error: &watcher::Error, failures: &mut Failures) -> Result<(), Unheard> {
        let pause = failures.pause(&self.contact);
        if is_gone(error) {
            info!(
                kind = self.kind.name(),
                "what changed is not known any more: all is read anew"
            );
        } else {
            self.contact.lose();
            warn!(kind = self.kind.name(), %error, ?pause, "the API server cannot be heard");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.changes.closed() => Err(Unheard),
        }
    }

    async fn tell_change(&self, change: Change, version: u64) -> Result<(), Unheard> {
        self.tell(change).await?;
        let read = Reached::Version(version);
        self.tell(Change::Read(self.kind, read)).await
    }

    async fn tell_all(&self, list: List) -> Result<(), Unheard> {
        let List {
            began,
            highest,
            objects,
            records,
        } = list;
        debug!(kind = self.kind.name(), objects = objects.len(), "listed");
        self.tell(Change::Listed(self.kind, objects, records))
            .await?;
        let read = Reached::List { highest, began };
        self.tell(Change::Read(self.kind, read)).await
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
                "the kind may not be read: what becomes of its objects at a waypoint, and which of them lead sidecars elsewhere, \
                 is not known; docs/reference/cluster.md has the role that permits it"
            ),
        }
    }
}

/// What is read of a kind before it was read to the end.
struct List {
    began: Instant,
    highest: u64,
    objects: Vec<Decoded>,
    records: Vec<Record>,
}

impl Default for List {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            highest: 0,
            objects: vec![],
            records: vec![],
        }
    }
}

impl List {
    /// It was read to its end; when it began is still known.
    fn done(&mut self) -> Self {
        let began = self.began;
        let next = Self {
            began,
            ..Self::default()
        };
        replace(self, next)
    }

    fn add(&mut self, object: Watched, kind: Kind, resource: &ApiResource) {
        self.highest = self.highest.max(object.version());
        self.records.extend(object.record(kind));
        self.objects.push(object.decode(kind, resource));
    }
}

/// When it was asked last that a kind be read anew.
type Wanted = watch::Receiver<BTreeMap<Kind, Instant>>;

/// Completes when it was asked after this.
async fn is_wanted(kind: Kind, wanted: &mut Wanted, began: Instant) {
    let is_later = |asked: &BTreeMap<Kind, Instant>| asked.get(&kind).is_some_and(|it| *it > began);
    if wanted.wait_for(is_later).await.is_err() {
        std::future::pending().await
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
