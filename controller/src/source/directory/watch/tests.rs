//! None of these would see its change by looking from time to time: that is once an hour here.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::source::directory::Directory;

const HOUR: Duration = Duration::from_secs(3600);

/// Only against a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

struct Watched {
    root: TempDir,
    directory: Directory,
    watch: Watch,
}

impl Watched {
    /// A watched path below a directory that is prepared first.
    fn new(path: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::with(Watch::with(HOUR, HOUR), path, prepare)
    }

    fn with(watch: Watch, path: &str, prepare: impl FnOnce(&Path)) -> Self {
        let root = tempfile::tempdir().unwrap();
        prepare(root.path());
        let mut watched = Self {
            directory: Directory::open(&[root.path().join(path)]),
            watch,
            root,
        };
        watched.directory.read();
        watched.look();
        watched
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// The text of all files, one behind the other.
    fn look(&mut self) -> String {
        let contents = self.directory.look(&mut self.watch);
        contents.files.values().map(|f| f.text.as_str()).collect()
    }

    /// Waits until that is all that there is; everything seen on the way there.
    async fn sees(&mut self, wanted: &str) -> Vec<String> {
        let mut seen = Vec::new();
        let watching = async {
            loop {
                self.watch.changed().await;
                seen.push(self.look());
                if seen.last().is_some_and(|seen| seen == wanted) {
                    return;
                }
            }
        };
        let found = time::timeout(PATIENCE, watching).await;
        assert!(found.is_ok(), "no {wanted:?} but {seen:?}");
        seen
    }
}

/// A directory with one manifest.
fn set(directory: &Path, text: &str) {
    fs::create_dir(directory).unwrap();
    fs::write(directory.join("m.yaml"), text).unwrap();
}

#[tokio::test]
async fn a_file_that_is_replaced_or_written_in_place() {
    let mut watched = Watched::new("set", |root| set(&root.join("set"), "one"));
    fs::write(watched.path("set/m.yaml"), "two").unwrap();
    watched.sees("two").await;
    fs::write(watched.path("set/.m.yaml"), "three").unwrap();
    fs::rename(watched.path("set/.m.yaml"), watched.path("set/m.yaml")).unwrap();
    watched.sees("three").await;
    fs::create_dir(watched.path("set/sub")).unwrap();
    fs::write(watched.path("set/sub/n.yaml"), "four").unwrap();
    watched.sees("threefour").await;
    fs::write(watched.path("set/sub/n.yaml"), "five").unwrap();
    watched.sees("threefive").await;
    fs::remove_file(watched.path("set/m.yaml")).unwrap();
    watched.sees("five").await;
}

#[tokio::test]
async fn a_file_that_is_written_slowly_is_seen_when_it_is_whole() {
    let mut watched = Watched::new("set", |root| set(&root.join("set"), "old"));
    let mut file = fs::File::create(watched.path("set/m.yaml")).unwrap();
    // Another file's change shows that somebody has looked.
    fs::write(watched.path("set/n.yaml"), "+").unwrap();
    let seen = watched.sees("old+").await;
    assert!(seen.iter().all(|seen| seen.starts_with("old")), "{seen:?}");
    file.write_all(b"ne").unwrap();
    fs::write(watched.path("set/n.yaml"), "++").unwrap();
    let seen = watched.sees("old++").await;
    assert!(seen.iter().all(|seen| seen.starts_with("old")), "{seen:?}");
    file.write_all(b"w").unwrap();
    drop(file);
    watched.sees("new++").await;
}

#[tokio::test]
async fn a_file_that_is_never_closed_or_stays_empty_is_seen_in_the_end() {
    let watch = Watch::with(HOUR, UNFINISHED);
    let mut watched = Watched::with(watch, "set", |root| set(&root.join("set"), "old"));
    let mut file = fs::File::create(watched.path("set/m.yaml")).unwrap();
    file.write_all(b"new").unwrap();
    watched.sees("new").await;
    fs::write(watched.path("set/m.yaml"), "").unwrap();
    let seen = watched.sees("").await;
    assert_eq!(seen.first().map(String::as_str), Some("new"));
}

#[tokio::test]
async fn a_link_to_a_file_elsewhere() {
    let mut watched = Watched::new("set", |root| {
        fs::create_dir(root.join("set")).unwrap();
        set(&root.join("elsewhere"), "one");
        symlink("../elsewhere/m.yaml", root.join("set/m.yaml")).unwrap();
    });
    fs::write(watched.path("elsewhere/m.yaml"), "two").unwrap();
    watched.sees("two").await;
    fs::write(watched.path("elsewhere/n.yaml"), "three").unwrap();
    symlink(watched.path("elsewhere/n.yaml"), watched.path("set/.draft")).unwrap();
    fs::rename(watched.path("set/.draft"), watched.path("set/m.yaml")).unwrap();
    watched.sees("three").await;
    fs::write(watched.path("elsewhere/n.yaml"), "four").unwrap();
    watched.sees("four").await;
}

#[tokio::test]
async fn a_volume_whose_data_is_swapped_as_kubernetes_does() {
    let mut watched = Watched::new("set", |root| {
        fs::create_dir(root.join("set")).unwrap();
        set(&root.join("set/..1"), "one");
        symlink("..1", root.join("set/..data")).unwrap();
        symlink("..data/m.yaml", root.join("set/m.yaml")).unwrap();
    });
    for (version, text) in [("..2", "two"), ("..3", "three")] {
        set(&watched.path("set").join(version), text);
        symlink(version, watched.path("set/..data_tmp")).unwrap();
        fs::rename(watched.path("set/..data_tmp"), watched.path("set/..data")).unwrap();
        watched.sees(text).await;
    }
}

#[tokio::test]
async fn a_path_that_is_a_link_to_a_directory() {
    let mut watched = Watched::new("link/set", |root| {
        for (version, text) in [("v1", "one"), ("v2", "two")] {
            fs::create_dir(root.join(version)).unwrap();
            set(&root.join(version).join("set"), text);
        }
        symlink("v1", root.join("link")).unwrap();
    });
    symlink("v2", watched.path("draft")).unwrap();
    fs::rename(watched.path("draft"), watched.path("link")).unwrap();
    watched.sees("two").await;
    fs::write(watched.path("v2/set/m.yaml"), "three").unwrap();
    watched.sees("three").await;
}

#[tokio::test]
async fn a_directory_that_is_moved_away_and_made_anew() {
    let mut watched = Watched::new("above/set", |root| {
        fs::create_dir(root.join("above")).unwrap();
        set(&root.join("above/set"), "one");
    });
    fs::rename(watched.path("above/set"), watched.path("above/old")).unwrap();
    watched.sees("").await;
    set(&watched.path("above/set"), "two");
    watched.sees("two").await;
    fs::rename(watched.path("above"), watched.path("old")).unwrap();
    fs::create_dir(watched.path("above")).unwrap();
    set(&watched.path("above/set"), "three");
    watched.sees("three").await;
    fs::remove_dir_all(watched.path("above/set")).unwrap();
    set(&watched.path("above/set"), "four");
    watched.sees("four").await;
    fs::write(watched.path("above/set/m.yaml"), "five").unwrap();
    watched.sees("five").await;
}

#[tokio::test]
async fn word_of_a_change_outlives_a_wait_that_was_given_up() {
    let mut watched = Watched::new("set", |root| set(&root.join("set"), "one"));
    fs::write(watched.path("set/m.yaml"), "two").unwrap();
    let giving_up = async {
        while !watched.watch.is_due {
            let _ = time::timeout(Duration::from_millis(5), watched.watch.changed()).await;
        }
    };
    time::timeout(PATIENCE, giving_up).await.unwrap();
    watched.sees("two").await;
}
