//! A turn: one pass over everything that the poll reported ready.
//!
//! What the connections of a turn wrote to one another leaves at its end, so that all that goes to
//! one of them leaves in one system call.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::engine::ConnectionId;

/// After so many bytes what was written leaves before the turn goes on.
const MOST_BYTES: usize = 256 * 1024;
/// After so much time what was written leaves before the turn goes on.
const LONGEST: Duration = Duration::from_micros(200);
/// Reads between two looks at the clock.
const READS_PER_LOOK: u32 = 16;

/// What is remembered from the beginning of a turn to its end.
#[derive(Debug)]
pub(super) struct Turn {
    now: Instant,
    bytes: usize,
    reads: u32,
    dirty: VecDeque<ConnectionId>,
}

impl Turn {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            now,
            bytes: 0,
            reads: 0,
            dirty: VecDeque::new(),
        }
    }

    /// Begins another one.
    pub(super) fn begin(&mut self) {
        self.now = Instant::now();
        self.bytes = 0;
        self.reads = 0;
    }

    /// The time of this turn.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// The connection has unsent bytes. Call it once until it is flushed.
    pub(super) fn touch(&mut self, id: ConnectionId) {
        self.dirty.push_back(id);
    }

    /// The next connection that has unsent bytes.
    pub(super) fn next_dirty(&mut self) -> Option<ConnectionId> {
        self.dirty.pop_front()
    }

    /// Bytes were read. True: there were so many, or it took so long, that the turn must end.
    pub(super) fn read(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.reads += 1;
        self.bytes >= MOST_BYTES
            || (self.reads.is_multiple_of(READS_PER_LOOK) && self.now.elapsed() >= LONGEST)
    }
}
