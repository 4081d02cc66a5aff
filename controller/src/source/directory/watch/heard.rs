//! What the file system's notifications say, as far as it outlives them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind};

use crate::source::directory::places::Places;

/// A file that is changed again and again without being closed is read all the same after this.
const LONGEST_UNFINISHED: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Heard {
    /// How long a change keeps a file from being read that is not closed behind it.
    unfinished: Duration,
    writing: Mutex<BTreeMap<PathBuf, Writing>>,
    /// A watched directory is another one now, or was not there.
    moved: AtomicBool,
}

/// A file that was changed and not closed yet.
#[derive(Clone, Copy, Debug)]
struct Writing {
    first: Instant,
    last: Instant,
}

impl Heard {
    pub(super) fn new(unfinished: Duration) -> Self {
        Self {
            unfinished,
            writing: Mutex::default(),
            moved: AtomicBool::new(false),
        }
    }

    /// Takes note of an event. False: nothing that is read can have changed.
    pub(super) fn matters(&self, event: notify::Result<Event>, places: &Places) -> bool {
        // What was missed may be anything.
        let Some(event) = event.ok().filter(|event| !event.need_rescan()) else {
            self.moved();
            return true;
        };
        let paths = event.paths.iter().filter(|path| places.concern(path));
        let paths: Vec<&PathBuf> = paths.collect();
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => {
                paths.iter().for_each(|path| self.changed(path));
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.finished(&paths),
            // Reading is not a change, and our own reading must not wake us again.
            EventKind::Access(_) => return false,
            EventKind::Create(_)
            | EventKind::Remove(_)
            | EventKind::Modify(ModifyKind::Name(_)) => {
                self.finished(&paths);
                if paths.iter().any(|path| places.lie_below(path)) {
                    self.moved();
                }
            }
            _ => {}
        }
        !paths.is_empty()
    }

    fn changed(&self, path: &Path) {
        let now = Instant::now();
        let mut writing = self.writing();
        // Where the end of an earlier change was not heard of, this is the first again.
        writing.retain(|_, writing| now < writing.last + LONGEST_UNFINISHED);
        let begun = Writing {
            first: now,
            last: now,
        };
        writing.entry(path.to_owned()).or_insert(begun).last = now;
    }

    fn finished(&self, paths: &[&PathBuf]) {
        let mut writing = self.writing();
        for path in paths {
            writing.remove(*path);
        }
    }

    /// Until when a file is not to be read.
    pub(super) fn unfinished(&self, file: &Path, now: Instant) -> Option<Instant> {
        let writing = *self.writing().get(file)?;
        let until = (writing.last + self.unfinished).min(writing.first + LONGEST_UNFINISHED);
        (now < until).then_some(until)
    }

    pub(super) fn moved(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// Whether directories have to be watched anew.
    pub(super) fn was_moved(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed)
    }

    fn writing(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Writing>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
