//! A turn: one pass over everything that the reactor reported ready.
//!
//! The runtime runs tasks in the order in which they were woken. The first event of a turn wakes
//! the task that ends it, which so runs behind all connections that were ready with that event:
//! whatever they wrote to a connection leaves in one system call.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::engine::ConnectionId;

/// A turn with more bytes than this is ended early.
const MOST_BYTES: usize = 256 * 1024;
/// A turn that takes longer than this is ended early.
const LONGEST: Duration = Duration::from_micros(200);
/// Reads between two looks at the clock.
const READS_PER_LOOK: u32 = 16;

/// What is remembered from the first event of a turn to its end.
#[derive(Debug, Default)]
pub(super) struct Turn {
    now: Cell<Option<Instant>>,
    bytes: Cell<usize>,
    reads: Cell<u32>,
    dirty: RefCell<Vec<ConnectionId>>,
    end: RefCell<Option<Waker>>,
}

impl Turn {
    /// The time of this turn. The first call begins it.
    pub(super) fn now(&self) -> Instant {
        if let Some(now) = self.now.get() {
            return now;
        }
        let now = Instant::now();
        self.now.set(Some(now));
        if let Some(end) = &*self.end.borrow() {
            end.wake_by_ref();
        }
        now
    }

    /// Whom to wake when a turn begins.
    pub(super) fn register(&self, waker: &Waker) {
        let mut end = self.end.borrow_mut();
        if !end.as_ref().is_some_and(|end| end.will_wake(waker)) {
            *end = Some(waker.clone());
        }
    }

    /// The connection has unsent bytes. Call it once until it is flushed.
    pub(super) fn touch(&self, id: ConnectionId) {
        self.dirty.borrow_mut().push(id);
    }

    /// The connections that have unsent bytes; `spare` takes the place of the list.
    pub(super) fn take_dirty(&self, spare: Vec<ConnectionId>) -> Vec<ConnectionId> {
        self.dirty.replace(spare)
    }

    /// Bytes were read. True: there were so many, or it took so long, that the turn must end.
    pub(super) fn read(&self, bytes: usize) -> bool {
        let bytes = self.bytes.get() + bytes;
        let reads = self.reads.get() + 1;
        self.bytes.set(bytes);
        self.reads.set(reads);
        bytes >= MOST_BYTES
            || (reads.is_multiple_of(READS_PER_LOOK)
                && self
                    .now
                    .get()
                    .is_some_and(|began| began.elapsed() >= LONGEST))
    }

    /// The next event begins another turn.
    pub(super) fn end(&self) {
        self.now.set(None);
        self.bytes.set(0);
        self.reads.set(0);
    }
}
