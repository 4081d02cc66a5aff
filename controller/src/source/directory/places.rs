//! Where a change would be heard of: the directories with manifests, and whatever leads to them.
//!
//! A path may change its meaning above its last name: a directory is moved away and made anew, or
//! a link is turned to another target. So every name on the way is minded, links included.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::walk::{Found, is_hidden};

/// More links than this on one way lead in a circle.
const MOST_LINKS: u32 = 40;

/// All paths in it are without links, so that each directory has one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Directories of which every entry may be a manifest.
    whole: BTreeSet<PathBuf>,
    /// Entries of other directories.
    entries: BTreeSet<PathBuf>,
}

impl Places {
    pub(super) fn of(paths: &[PathBuf], found: &Found) -> Self {
        let mut places = Self {
            whole: found.directories.iter().cloned().collect(),
            entries: BTreeSet::new(),
        };
        let links = found.files.iter().filter(|file| file.path.is_symlink());
        let links = links.map(|file| &file.path);
        for path in paths.iter().chain(links) {
            places.trace(path);
        }
        places
    }

    /// Minds every name on the way to a path, as far as it leads anywhere.
    fn trace(&mut self, path: &Path) {
        let Ok(path) = std::path::absolute(path) else {
            return;
        };
        let mut links = 0;
        let mut at = PathBuf::new();
        let mut rest = steps(&path);
        while let Some(step) = rest.pop_front() {
            if step == ".." {
                at.pop();
                continue;
            }
            // An absolute target of a link begins at the root again.
            let entry = at.join(&step);
            if entry.parent().is_some() {
                self.entries.insert(entry.clone());
            }
            match std::fs::read_link(&entry) {
                Ok(target) if links < MOST_LINKS => {
                    links += 1;
                    let mut target = steps(&target);
                    target.append(&mut rest);
                    rest = target;
                }
                Ok(_) => return,
                Err(_) if entry.symlink_metadata().is_err() => return,
                Err(_) => at = entry,
            }
        }
    }

    /// All directories that have to be watched, and whether more than a few entries of each matter.
    pub(super) fn directories(&self) -> BTreeSet<&Path> {
        let above = self.entries.iter().filter_map(|entry| entry.parent());
        self.whole
            .iter()
            .map(PathBuf::as_path)
            .chain(above)
            .collect()
    }

    pub(super) fn is_whole(&self, directory: &Path) -> bool {
        self.whole.contains(directory)
    }

    /// Whether a change of this path may change what is read.
    pub(super) fn concern(&self, path: &Path) -> bool {
        let is_hidden = path.file_name().is_some_and(is_hidden);
        let is_inside = || {
            path.parent()
                .is_some_and(|parent| self.whole.contains(parent))
        };
        self.entries.contains(path) || self.whole.contains(path) || (!is_hidden && is_inside())
    }

    /// Whether a watched directory is this path, or lies below it.
    pub(super) fn lie_below(&self, path: &Path) -> bool {
        let mut directories = self.directories().into_iter();
        directories.any(|directory| directory.starts_with(path))
    }
}

fn steps(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| component.as_os_str().to_owned())
        .collect()
}
