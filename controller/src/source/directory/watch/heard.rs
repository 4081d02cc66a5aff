//! What the file system's notifications say, as far as it outlives them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::ModifyKind;
use notify::{Event, EventKind};

use crate::source::directory::places::Places;

#[derive(Debug, Default)]
pub(super) struct Heard {
    /// A watched directory is another one now, or was not there.
    moved: AtomicBool,
}

impl Heard {
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
            // Reading is not a change, and our own reading must not wake us again.
            EventKind::Access(_) => return false,
            EventKind::Create(_)
            | EventKind::Remove(_)
            | EventKind::Modify(ModifyKind::Name(_))
                if paths.iter().any(|path| places.lie_below(path)) =>
            {
                self.moved();
            }
            _ => {}
        }
        !paths.is_empty()
    }

    pub(super) fn moved(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// Whether directories have to be watched anew.
    pub(super) fn was_moved(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed)
    }
}
