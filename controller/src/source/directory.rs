//! The manifests under the paths that the user named, and word of their changes.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Contents;
use crate::diagnostic::{Code, Diagnostic, Place, SourceFile};

mod watch;

pub(crate) use watch::Watch;

/// Names that end otherwise are not manifests.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// What is larger is not a manifest, and not read.
const MAX_FILE: u64 = 16 << 20;

/// Files and directories; `-` is standard input, which is read once.
#[derive(Debug)]
pub(crate) struct Directory {
    paths: Vec<PathBuf>,
    /// Standard input, or why it cannot be read.
    stdin: Contents,
}

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
        Self { paths, stdin }
    }

    /// Everything that is there now. A file that cannot be read is a problem of its own.
    pub(crate) fn read(&self) -> Contents {
        let mut contents = self.stdin.clone();
        for path in &self.paths {
            read_path(path, &mut contents);
        }
        contents
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
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

fn read_path(path: &Path, contents: &mut Contents) {
    if !path.is_dir() {
        return read_file(path, contents);
    }
    let before = (contents.files.len(), contents.problems.len());
    read_directory(path, contents);
    if before == (contents.files.len(), contents.problems.len()) {
        let message = format!("{} has no manifest in it", path.display());
        let diagnostic = Diagnostic::warning(Code::NoManifests, message);
        let remedy = "manifests are files whose names end in .yaml, .yml or .json";
        contents.problems.push(
            diagnostic
                .at(Place::file(path.display().to_string()))
                .remedy(remedy),
        );
    }
}

/// The directory's own files and those of its subdirectories. Hidden entries are left out: among
/// them are the dated directories behind the links of a Kubernetes volume, and editors' own files.
fn read_directory(path: &Path, contents: &mut Contents) {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return problem(path, &error, contents),
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) if is_hidden(&entry.file_name()) => continue,
            Ok(entry) => entry.path(),
            Err(error) => {
                problem(path, &error, contents);
                continue;
            }
        };
        // A link to a directory is not followed: it may lead back up.
        if path.is_dir() && !path.is_symlink() {
            read_directory(&path, contents);
        } else if !path.is_dir() && is_manifest(&path) {
            read_file(&path, contents);
        }
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

fn read_file(path: &Path, contents: &mut Contents) {
    let name = path.display().to_string();
    match read_text(path) {
        Ok(text) => {
            contents
                .files
                .insert(name.clone(), Arc::new(SourceFile { name, text }));
        }
        Err(error) => problem(path, &error, contents),
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

fn problem(path: &Path, error: &io::Error, contents: &mut Contents) {
    let name = path.display().to_string();
    let message = match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file or directory {name}"),
        io::ErrorKind::InvalidData => format!("{name} is not UTF-8 text"),
        _ => format!("{name} cannot be read: {error}"),
    };
    let mut problem = Diagnostic::error(Code::CannotRead, message).at(Place::file(name));
    if error.kind() == io::ErrorKind::InvalidInput {
        problem = problem.remedy(
            "a pipe, a socket or a device is not watched: write a file, or give a pipe as `-f -`",
        );
    }
    contents.problems.push(problem);
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
                "error[CannotRead]: there is no file or directory DIR/missing\n --> DIR/missing",
                "warning[NoManifests]: DIR/empty has no manifest in it\n --> DIR/empty\n  = help: \
                 manifests are files whose names end in .yaml, .yml or .json",
                "error[CannotRead]: DIR/bad.yaml is not UTF-8 text\n --> DIR/bad.yaml",
            ]
        );
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
