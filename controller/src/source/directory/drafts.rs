//! Files that somebody is writing: what they held before counts until they are whole.
//!
//! Many programs empty a file and then write it. To take it at its word in between would withdraw
//! its objects, and close the listeners among them, for an edit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::diagnostic::{Diagnostic, SourceFile};
use crate::source::Contents;

/// A file that is empty for longer is meant to be.
const EMPTY: Duration = Duration::from_secs(2);

/// Names of files that are open for writing, and until when that keeps them from being read.
pub(super) type Unfinished = BTreeMap<String, Instant>;

#[derive(Debug, Default)]
pub(super) struct Drafts {
    /// What counts of each file.
    last: BTreeMap<String, Arc<SourceFile>>,
    /// Since when files that held something have been empty.
    emptied: BTreeMap<String, Instant>,
}

impl Drafts {
    /// Puts what counts in the place of what is unfinished. Says when to look again, if at all.
    pub(super) fn settle(
        &mut self,
        contents: &mut Contents,
        unfinished: &Unfinished,
        now: Instant,
    ) -> Option<Instant> {
        for name in unfinished.keys() {
            contents.problems.retain(|problem| !is_at(problem, name));
            match self.last.get(name) {
                Some(last) => contents.files.insert(name.clone(), Arc::clone(last)),
                None => contents.files.remove(name),
            };
        }
        for (name, file) in &mut contents.files {
            if !unfinished.contains_key(name) {
                self.take(name, file, now);
            }
        }
        // What is out of sight may come back, and be written anew then.
        let problems = &contents.problems;
        self.last.retain(|name, _| {
            let hides = |problem: &Diagnostic| hides(problem, name);
            contents.files.contains_key(name) || problems.iter().any(hides)
        });
        self.emptied.retain(|name, _| self.last.contains_key(name));
        let due = self.emptied.values().map(|since| *since + EMPTY);
        due.chain(unfinished.values().copied()).min()
    }

    /// Takes a file at its word, unless it has just become empty.
    fn take(&mut self, name: &str, file: &mut Arc<SourceFile>, now: Instant) {
        let last = self.last.get(name).filter(|last| !is_blank(last));
        let Some(last) = last.filter(|_| is_blank(file)) else {
            self.emptied.remove(name);
            self.last.insert(name.to_owned(), Arc::clone(file));
            return;
        };
        let since = *self.emptied.entry(name.to_owned()).or_insert(now);
        if now < since + EMPTY {
            *file = Arc::clone(last);
            return;
        }
        tracing::warn!(
            file = name,
            "empty for {EMPTY:?}: its objects are withdrawn"
        );
        self.emptied.remove(name);
        self.last.insert(name.to_owned(), Arc::clone(file));
    }
}

fn is_blank(file: &SourceFile) -> bool {
    file.text.trim().is_empty()
}

fn is_at(problem: &Diagnostic, name: &str) -> bool {
    let place = problem.place.as_ref();
    place.is_some_and(|place| place.file == name)
}

/// Whether it says that the file, or a directory above it, cannot be read.
fn hides(problem: &Diagnostic, name: &str) -> bool {
    let place = problem.place.as_ref();
    place.is_some_and(|place| Path::new(name).starts_with(&place.file))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "a.yaml";

    fn contents(text: Option<&str>) -> Contents {
        let file = |text: &str| {
            let (name, text) = (NAME.to_owned(), text.to_owned());
            (NAME.to_owned(), Arc::new(SourceFile { name, text }))
        };
        Contents {
            files: text.map(file).into_iter().collect(),
            problems: Vec::new(),
        }
    }

    /// What counts of a file whose text is this, and in how many milliseconds to look again.
    struct Story(Drafts, Instant);

    impl Story {
        fn sees(
            &mut self,
            text: Option<&str>,
            open: bool,
            at: u64,
        ) -> (Option<String>, Option<u64>) {
            let now = self.1 + Duration::from_millis(at);
            let unfinished = open.then(|| (NAME.to_owned(), now + Duration::from_secs(1)));
            let mut contents = contents(text);
            let again = self
                .0
                .settle(&mut contents, &unfinished.into_iter().collect(), now);
            let text = contents.files.get(NAME).map(|file| file.text.clone());
            (text, again.map(|at| (at - now).as_millis() as u64))
        }
    }

    fn story() -> Story {
        Story(Drafts::default(), Instant::now())
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn an_emptied_file_counts_as_it_was_until_it_has_text_again() {
        let mut story = story();
        assert_eq!(story.sees(Some("x"), false, 0), (text("x"), None));
        assert_eq!(story.sees(Some(""), false, 10), (text("x"), Some(2000)));
        assert_eq!(
            story.sees(Some(" \n"), false, 1010),
            (text("x"), Some(1000))
        );
        assert_eq!(story.sees(Some("y"), false, 1500), (text("y"), None));
        assert_eq!(story.sees(Some(""), false, 5000), (text("y"), Some(2000)));
    }

    #[test]
    fn a_file_that_stays_empty_or_is_deleted_is_withdrawn() {
        let mut story = story();
        story.sees(Some("x"), false, 0);
        story.sees(Some(""), false, 10);
        assert_eq!(story.sees(Some(""), false, 2010), (text(""), None));
        assert_eq!(story.sees(Some(""), false, 2020), (text(""), None));
        story.sees(Some("x"), false, 3000);
        story.sees(Some(""), false, 3010);
        assert_eq!(story.sees(None, false, 3020), (None, None));
        assert_eq!(story.sees(Some(""), false, 3030), (text(""), None));
    }

    #[test]
    fn a_file_that_is_being_written_counts_when_it_is_whole() {
        let mut story = story();
        assert_eq!(story.sees(Some("ne"), true, 0), (None, Some(1000)));
        assert_eq!(story.sees(Some("new"), false, 10), (text("new"), None));
        assert_eq!(story.sees(Some("n"), true, 20), (text("new"), Some(1000)));
        assert_eq!(story.sees(Some("next"), false, 30), (text("next"), None));
    }
}
