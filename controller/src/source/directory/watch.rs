//! Word that something under the watched paths may have changed.
//!
//! Notifications of the file system say when to look; what changed is told by the contents alone.
//! Where they fail (network file systems, watch limits) a look every ten seconds takes their place.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time;

use super::places::Places;

mod heard;

use heard::Heard;

/// Changes within this time of each other count as one.
const SETTLE: Duration = Duration::from_millis(100);

/// A writer that never rests does not keep changes from being seen.
const LONGEST_SETTLE: Duration = Duration::from_millis(500);

const POLL: Duration = Duration::from_secs(10);

/// A file that was changed and is not closed is not read for so long after each change.
const UNFINISHED: Duration = Duration::from_secs(2);

pub(crate) struct Watch {
    /// One word is as good as many.
    words: mpsc::Receiver<()>,
    say: mpsc::Sender<()>,
    heard: Arc<Heard>,
    /// What the watcher minds.
    armed: Places,
    watcher: Option<RecommendedWatcher>,
    has_warned: bool,
    /// There was word of a change, and nobody has looked yet.
    is_due: bool,
    poll: Duration,
    /// When to look without a word.
    look_at: Instant,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self::with(POLL, UNFINISHED)
    }

    fn with(poll: Duration, unfinished: Duration) -> Self {
        let (say, words) = mpsc::channel(1);
        Self {
            words,
            say,
            heard: Arc::new(Heard::new(unfinished)),
            armed: Places::default(),
            watcher: None,
            has_warned: false,
            is_due: false,
            poll,
            look_at: Instant::now() + poll,
        }
    }

    /// Watches these places from now on. True: what was read before may be out of date, since they
    /// were not all watched then.
    pub(super) fn arm(&mut self, places: Places) -> bool {
        let is_stale = self.heard.was_moved();
        if places == self.armed && self.watcher.is_some() && !is_stale {
            return false;
        }
        match self.watcher(&places) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                self.watcher = None;
                self.warn(&error);
            }
        }
        self.armed = places;
        self.watcher.is_some()
    }

    fn watcher(&mut self, places: &Places) -> notify::Result<RecommendedWatcher> {
        let (say, heard, minded) = (self.say.clone(), Arc::clone(&self.heard), places.clone());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<_>| {
            if heard.matters(event, &minded) {
                let _ = say.try_send(());
            }
        })?;
        for directory in places.directories() {
            let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) else {
                continue;
            };
            if matches!(error.kind, notify::ErrorKind::PathNotFound) {
                self.heard.moved();
            } else if places.is_whole(directory) {
                self.warn(&error);
            }
        }
        Ok(watcher)
    }

    fn warn(&mut self, error: &notify::Error) {
        if !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!(%error, "files cannot be watched; they are read every 10 s instead");
        }
    }

    /// Until when a file is not to be read, since somebody is writing it.
    pub(super) fn unfinished(&self, file: &Path, now: Instant) -> Option<Instant> {
        self.heard.unfinished(file, now)
    }

    /// Somebody has looked; the next look is due then, if not before.
    pub(super) fn looked(&mut self, again: Option<Instant>, now: Instant) {
        let poll = now + self.poll;
        self.look_at = again.map_or(poll, |again| again.min(poll));
        self.is_due = false;
    }

    /// Returns when it is time to look: some time after the first change, when all is quiet again.
    /// May be dropped and called again.
    pub(crate) async fn changed(&mut self) {
        if !self.is_due {
            let word = time::timeout_at(self.look_at.into(), self.words.recv()).await;
            if word.is_err() {
                return;
            }
            self.is_due = true;
        }
        let quiet =
            async { while let Ok(Some(())) = time::timeout(SETTLE, self.words.recv()).await {} };
        // Either it became quiet, or it has been noisy for long enough.
        let _ = time::timeout(LONGEST_SETTLE, quiet).await;
    }
}

#[cfg(test)]
mod tests;
