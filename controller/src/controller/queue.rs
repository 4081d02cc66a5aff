//! How long changes have waited that are not published yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Changes that were heard and are not published; a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Queue(Arc<Mutex<Option<Instant>>>);

impl Queue {
    /// How long the oldest of them has waited; zero where there is none.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.lock()
            .map_or(Duration::ZERO, |oldest| oldest.elapsed())
    }

    /// Something was heard.
    pub(super) fn waits(&self) {
        self.lock().get_or_insert_with(Instant::now);
    }

    /// All that was heard is published.
    pub(super) fn is_published(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_is_not_published_counts() {
        let queue = Queue::default();
        assert_eq!(queue.age(), Duration::ZERO);
        queue.waits();
        std::thread::sleep(Duration::from_millis(2));
        queue.waits();
        assert!(queue.age() >= Duration::from_millis(2));
        queue.is_published();
        assert_eq!(queue.age(), Duration::ZERO);
    }
}
