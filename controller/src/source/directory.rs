//! The manifests under the paths that the user named, and word of their changes.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::Contents;
use crate::diagnostic::{Code, Diagnostic, Place, SourceFile};

mod drafts;
mod places;
mod walk;
mod watch;

use drafts::{Drafts, Unfinished};
use places::Places;
use walk::{Found, Manifest, unreadable};
pub(crate) use watch::Watch;

/// What is larger is not a manifest, and not read.
const MAX_FILE: u64 = 16 << 20;

/// Files and directories; `-` is standard input, which is read once.
#[derive(Debug)]
pub(crate) struct Directory {
    paths: Vec<PathBuf>,
    /// Standard input, or why it cannot be read.
    stdin: Contents,
    drafts: Drafts,
}

/// Directories that come and go while they are looked at are looked at again next time.
const MOST_LOOKS: usize = 3;

const STDIN: &str = "<stdin>";

const NOT_A_FILE: &str = "it is not a regular file";

impl Directory {
    /// Reads standard input to its end where a path is `-`.
    pub(crate) fn open(paths: &[PathBuf]) -> Self {
        let (stdin, paths): (Vec<_>, Vec<_>) =
            paths.iter().cloned().partition(|p| p.as_os_str() == "-");
        let stdin = match stdin.is_empty() {
            true => Contents::default(),
            false => read_stdin(),
        };
        Self {
            paths,
            stdin,
            drafts: Drafts::default(),
        }
    }

    /// Everything that is there now. A file that cannot be read is a problem of its own; one that
    /// was just emptied counts as it was.
    pub(crate) fn read(&mut self) -> Contents {
        let mut contents = self.contents(Found::under(&self.paths));
        let nothing = Unfinished::new();
        self.drafts.settle(&mut contents, &nothing, Instant::now());
        contents
    }

    /// As [`Self::read`], where files that somebody is writing count as they were before. From now
    /// on `watch` tells of changes.
    pub(crate) fn look(&mut self, watch: &mut Watch) -> Contents {
        let mut found = Found::under(&self.paths);
        for _ in 0..MOST_LOOKS {
            if !watch.arm(Places::of(&self.paths, &found)) {
                break;
            }
            found = Found::under(&self.paths);
        }
        let files = found.files.clone();
        let mut contents = self.contents(found);
        // Asked after the reading: a change that began meanwhile is heard of.
        let now = Instant::now();
        let unfinished: Unfinished = files
            .iter()
            .filter_map(|file| Some((file.name(), watch.unfinished(&file.real, now)?)))
            .collect();
        let again = self.drafts.settle(&mut contents, &unfinished, now);
        watch.looked(again, now);
        contents
    }

    fn contents(&self, found: Found) -> Contents {
        let mut contents = self.stdin.clone();
        contents.problems.extend(found.problems);
        for file in &found.files {
            read_file(file, &mut contents);
        }
        contents
    }
}

fn read_stdin() -> Contents {
    let mut contents = Contents::default();
    let (name, mut text) = (STDIN.to_owned(), String::new());
    match io::stdin().take(MAX_FILE).read_to_string(&mut text) {
        Ok(_) => {
            let file = SourceFile {
                name: name.clone(),
                text,
            };
            contents.files.insert(name, Arc::new(file));
        }
        Err(error) => {
            let message = format!("standard input cannot be read: {error}");
            let problem = Diagnostic::error(Code::CannotRead, message).at(Place::file(name));
            contents.problems.push(problem);
        }
    }
    contents
}

fn read_file(file: &Manifest, contents: &mut Contents) {
    let name = file.name();
    match read_text(&file.path) {
        Ok(text) => {
            let source = SourceFile {
                name: name.clone(),
                text,
            };
            contents.files.insert(name, Arc::new(source));
        }
        Err(error) => contents.problems.push(unreadable(&file.path, &error)),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    // Opening a named pipe waits for its writer, and a device may never end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, NOT_A_FILE));
    }
    let file = std::fs::File::open(path)?;
    if file.metadata()?.len() > MAX_FILE {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(contents: &Contents) -> Vec<&str> {
        contents
            .files
            .keys()
            .map(|n| n.rsplit('/').next().unwrap())
            .collect()
    }

    #[test]
    fn manifests_are_found_in_subdirectories_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a.yaml", "b.YML", "c.json", "d.txt", ".e.yaml", "f.yaml~"] {
            std::fs::write(dir.path().join(path), "x: 1").unwrap();
        }
        for sub in ["sub", "..data"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
            std::fs::write(dir.path().join(sub).join("g.yaml"), "x: 1").unwrap();
        }
        let contents = Directory::open(&[dir.path().to_owned()]).read();
        assert_eq!(names(&contents), ["a.yaml", "b.YML", "c.json", "g.yaml"]);
        assert_eq!(contents.problems, []);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bad.yaml"), [0xff, 0xfe]).unwrap();
        let missing = dir.path().join("missing");
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let paths = [missing, empty, dir.path().join("bad.yaml")];
        let contents = Directory::open(&paths).read();
        let found: Vec<String> = contents
            .problems
            .iter()
            .map(|p| {
                p.to_string()
                    .replace(&dir.path().display().to_string(), "DIR")
            })
            .collect();
        assert_eq!(
            found,
            [
                "warning[NoManifests]: DIR/empty has no manifest in it\n --> DIR/empty\n  = help: \
                 manifests are files whose names end in .yaml, .yml or .json",
                "error[CannotRead]: there is no file or directory DIR/missing\n --> DIR/missing",
                "error[CannotRead]: DIR/bad.yaml is not UTF-8 text\n --> DIR/bad.yaml",
            ]
        );
    }

    #[test]
    fn what_several_paths_lead_to_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("sub");
        std::fs::create_dir(&sub).unwrap();
        for path in [dir.path().join("a.yaml"), sub.join("b.yaml")] {
            std::fs::write(path, "x: 1").unwrap();
        }
        std::os::unix::fs::symlink("a.yaml", dir.path().join("link.yaml")).unwrap();
        let root = dir.path().to_owned();
        let again = root.join("sub/..");
        for paths in [
            [root.clone(), root.clone()],
            [root.join("a.yaml"), root.clone()],
            [sub.clone(), root.clone()],
            [root, again],
        ] {
            let contents = Directory::open(&paths).read();
            assert_eq!(names(&contents), ["a.yaml", "b.yaml"], "{paths:?}");
            assert_eq!(contents.problems, []);
        }
    }

    #[test]
    fn what_is_no_regular_file_is_named_and_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yaml"), "x: 1").unwrap();
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero.yaml")).unwrap();
        let pipe = dir.path().join("pipe.yaml");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let contents = Directory::open(&[dir.path().to_owned()]).read();
        assert_eq!(names(&contents), ["a.yaml"]);
        let mut found: Vec<_> = contents
            .problems
            .iter()
            .map(|p| (p.place.as_ref().unwrap().file.rsplit('/').next(), p.code))
            .collect();
        found.sort();
        let named = |name| (Some(name), Code::CannotRead);
        assert_eq!(found, [named("pipe.yaml"), named("zero.yaml")]);
        assert!(contents.problems.iter().all(|p| p.remedy.is_some()));
    }
}
