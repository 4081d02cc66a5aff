//! Which files are manifests under the paths that the user named.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Diagnostic, Place};

/// Names that end otherwise are not manifests.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// What lies under the paths, each file once, however many paths lead to it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: Vec<Manifest>,
    /// All directories that were looked into, without links.
    pub(super) directories: Vec<PathBuf>,
    pub(super) problems: Vec<Diagnostic>,
    /// What was met, without links.
    seen: BTreeSet<PathBuf>,
}

/// A file that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// As the user came to it.
    pub(super) path: PathBuf,
    /// The same without links.
    pub(super) real: PathBuf,
}

impl Manifest {
    /// As people know it.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

impl Found {
    pub(super) fn under(paths: &[PathBuf]) -> Self {
        let mut found = Self::default();
        for path in paths {
            if !path.is_dir() {
                found.file(path);
            } else if !found.directory(path) {
                found.problems.push(no_manifests(path));
            }
        }
        found
    }

    fn file(&mut self, path: &Path) {
        let real = real(path);
        if self.seen.insert(real.clone()) {
            let path = path.to_owned();
            self.files.push(Manifest { path, real });
        }
    }

    /// The directory's own files and those of its subdirectories. Hidden entries are left out:
    /// among them are the dated directories behind the links of a Kubernetes volume, and editors'
    /// own files. False: there is nothing to read, nor anything that cannot be.
    fn directory(&mut self, path: &Path) -> bool {
        let real = real(path);
        if !self.seen.insert(real.clone()) {
            return true;
        }
        self.directories.push(real);
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                self.problems.push(unreadable(path, &error));
                return true;
            }
        };
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let mut any = false;
        for entry in entries {
            let path = entry.path();
            if is_hidden(&entry.file_name()) {
                continue;
            }
            // A link to a directory is not followed: it may lead back up.
            if path.is_dir() {
                any |= !path.is_symlink() && self.directory(&path);
            } else if is_manifest(&path) {
                self.file(&path);
                any = true;
            }
        }
        any
    }
}

/// The path without links, as far as it leads anywhere.
fn real(path: &Path) -> PathBuf {
    path.canonicalize()
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}

pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

fn no_manifests(path: &Path) -> Diagnostic {
    let name = path.display().to_string();
    Diagnostic::warning(Code::NoManifests, format!("{name} has no manifest in it"))
        .at(Place::file(name))
        .remedy("manifests are files whose names end in .yaml, .yml or .json")
}

/// Why a path is not read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let name = path.display().to_string();
    let message = match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file or directory {name}"),
        io::ErrorKind::InvalidData => format!("{name} is not UTF-8 text"),
        _ => format!("{name} cannot be read: {error}"),
    };
    let problem = Diagnostic::error(Code::CannotRead, message).at(Place::file(name));
    if error.kind() == io::ErrorKind::InvalidInput {
        return problem.remedy(
            "a pipe, a socket or a device is not watched: write a file, or give a pipe as `-f -`",
        );
    }
    problem
}
