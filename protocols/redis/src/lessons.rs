//! Commands that were asked for, for all connections.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::command::Learned;

/// How many names are remembered, of commands that no server knows too.
const NAMES: usize = 1024;
/// The longest name that is remembered, in bytes.
const NAME: usize = 64;

/// What a server said of a command; `None`: it does not know it.
type Lesson = Option<Arc<Learned>>;

/// What servers said of commands that the table does not know.
#[derive(Debug, Default)]
pub(crate) struct Lessons(RwLock<HashMap<Box<[u8]>, Lesson>>);

impl Lessons {
    /// What is known of a command of this name, in any case; `Some(None)`: servers do not know it.
    pub(crate) fn get(&self, name: &[u8]) -> Option<Lesson> {
        let mut lower = [0; NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let lessons = self.0.read().unwrap_or_else(PoisonError::into_inner);
        lessons.get(&*lower).cloned()
    }

    pub(crate) fn learn(&self, name: &[u8], entry: Lesson) {
        if name.len() > NAME {
            return;
        }
        let mut lessons = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if lessons.len() < NAMES {
            lessons.insert(name.to_ascii_lowercase().into(), entry);
        }
    }
}
