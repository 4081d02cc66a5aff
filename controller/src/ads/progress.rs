//! How far what is served was read, so that a replica that lags rolls nobody back.
//!
//! Each response to a delta stream says up to which version of each kind it was made, and a client says so again when it
//! reconnects. A replica that has not read as far tells it nothing before it has. Versions are those of the API server, and
//! compared within a kind alone. That they grow holds as long as its store has one history, and the last of them may be that
//! of an object that is gone: so a kind that was read anew after the client had come counts as well, whatever its
//! version is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::manifest::Kind;

/// How long a client is told nothing by a replica that lags; then it may find another one. Shorter than what a proxy waits
/// for answers before it takes them for absent.
const PATIENCE: Duration = Duration::from_secs(10);
/// A lag that is not over by then is not one of a watch that works.
const USUAL: Duration = Duration::from_millis(500);
/// Between two readings of a kind that clients wait for.
const READ_AGAIN: Duration = Duration::from_secs(3);

/// Of each kind the version of its last change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(BTreeMap<Kind, u64>);

/// What one replica has read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Read {
    versions: Versions,
    /// When the last whole reading of a kind began.
    since: BTreeMap<Kind, Instant>,
    text: Arc<str>,
}

/// A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    read: watch::Sender<Arc<Read>>,
    /// Kinds that are to be read anew, since clients wait for them.
    wanted: watch::Sender<BTreeMap<Kind, Instant>>,
}

/// A client that was served more than was read here.
#[derive(Debug)]
pub(super) struct Ahead {
    served: Versions,
    since: Instant,
    /// When it is asked that what lacks is read anew.
    asks: Instant,
    read: watch::Receiver<Arc<Read>>,
    progress: Progress,
}

/// It was not read in time.
#[derive(Debug, thiserror::Error)]
#[error("this controller has not read yet what the client was served before: {0}")]
pub(super) struct Lags(Versions);

impl Versions {
    /// As they were written; none of a text that is somebody else's. Kinds that are not known here are left out.
    pub(super) fn read(text: &str) -> Self {
        let parts = text.split(',').map(|part| {
            let (name, version) = part.split_once('=')?;
            let known = Kind::ALL.iter().find(|kind| named(**kind) == name);
            Some((known.copied(), version.parse().ok()?))
        });
        let parts: Option<Vec<(Option<Kind>, u64)>> = parts.collect();
        let known = parts.unwrap_or_default().into_iter();
        Self(known.filter_map(|(kind, of)| Some((kind?, of))).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is higher here.
    fn beyond(&self, other: &Self) -> Self {
        let is_beyond = |(kind, of): &(&Kind, &u64)| other.0.get(kind).is_none_or(|it| it < of);
        let beyond = self.0.iter().filter(is_beyond);
        Self(beyond.map(|(kind, of)| (*kind, *of)).collect())
    }
}

/// In a word.
fn named(kind: Kind) -> String {
    match kind.group() {
        "" => kind.name().to_owned(),
        group => format!("{}.{group}", kind.name()),
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (kind, version)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{}={version}", named(*kind))?;
        }
        Ok(())
    }
}

#[cfg(feature = "kubernetes")]
impl Read {
    /// All objects of a kind, of which this is the highest version, by a reading that began then.
    pub(crate) fn listed(&mut self, kind: Kind, highest: u64, began: Instant) {
        self.since.insert(kind, began);
        self.changed(kind, highest);
    }

    pub(crate) fn changed(&mut self, kind: Kind, version: u64) {
        let known = self.versions.0.entry(kind).or_default();
        *known = version.max(*known);
    }
}

impl Read {
    /// What of it is not known here. What kind nobody reads here cannot be missed.
    fn lacks(&self, served: &Versions, since: Instant) -> Versions {
        let mut lacking = served.beyond(&self.versions);
        let is_new = |kind: &Kind| self.since.get(kind).is_some_and(|began| *began > since);
        lacking
            .0
            .retain(|kind, _| self.versions.0.contains_key(kind) && !is_new(kind));
        lacking
    }
}

impl Progress {
    /// What is served was made of this.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn is(&self, read: &Read) {
        self.read.send_if_modified(|known| {
            let is_new = known.versions != read.versions || known.since != read.since;
            if is_new {
                let text = read.versions.to_string().into();
                *known = Arc::new(Read {
                    text,
                    ..read.clone()
                });
            }
            is_new
        });
    }

    /// How many clients wait for it to be as far as they were told.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn waiting(&self) -> usize {
        self.read.receiver_count()
    }

    /// Told when somebody waits for a kind to be read anew.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn wanted(&self) -> watch::Receiver<BTreeMap<Kind, Instant>> {
        self.wanted.subscribe()
    }

    /// None: as much was read here.
    pub(super) fn behind(&self, served: &Versions) -> Option<Ahead> {
        let since = Instant::now();
        let lacks = self.read.borrow().lacks(served, since);
        (!lacks.is_empty()).then(|| Ahead {
            served: served.clone(),
            since,
            asks: since + USUAL,
            read: self.read.subscribe(),
            progress: self.clone(),
        })
    }

    /// What a client that was served `before`, too, is told of how far it was read; what is known here is forgotten there.
    pub(super) fn told(&self, before: &mut Versions) -> Arc<str> {
        let read = self.read.borrow();
        if before.is_empty() {
            return read.text.clone();
        }
        *before = before.beyond(&read.versions);
        let mut both = read.versions.clone();
        both.0
            .extend(before.0.iter().map(|(kind, of)| (*kind, *of)));
        both.to_string().into()
    }

    fn want(&self, lacking: &Versions) {
        let now = Instant::now();
        self.wanted.send_if_modified(|wanted| {
            let mut is_new = false;
            for kind in lacking.0.keys() {
                let asked = wanted.get(kind);
                if asked.is_none_or(|asked| now >= *asked + READ_AGAIN) {
                    wanted.insert(*kind, now);
                    is_new = true;
                }
            }
            is_new
        });
    }
}

impl Ahead {
    /// Completes once all of it was read; where that takes too long, with what was not.
    pub(super) async fn is_met(&mut self) -> Result<(), Lags> {
        let late = tokio::time::Instant::from_std(self.since + PATIENCE);
        loop {
            let read = self.read.borrow_and_update().clone();
            let lacking = read.lacks(&self.served, self.since);
            if lacking.is_empty() {
                return Ok(());
            }
            tokio::select! {
                changed = self.read.changed() => if changed.is_err() {
                    return Err(Lags(lacking));
                },
                () = sleep_until(late) => return Err(Lags(lacking)),
                () = sleep_until(self.asks.into()) => {
                    self.progress.want(&lacking);
                    self.asks += USUAL;
                }
            }
        }
    }
}

#[cfg(all(test, feature = "kubernetes"))]
mod tests;
