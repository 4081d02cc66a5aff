//! Exchanges of one service by what they ask to be done (a method, a command).
//!
//! The values come from the wire. Those that become labels are admitted for all workers together,
//! so that each has the same; a worker asks once for each value, and for none any more once there
//! are as many as there may be.

use std::cell::{Cell as Local, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::cell::{Cell, Histogram};
use super::{OutcomeLabel, lock};

/// Distinct operations of a service that become labels; further ones are counted as [`OTHER`].
pub(super) const MOST: usize = 1000;
/// Bytes of a value that can become a label.
pub(super) const LONGEST: usize = 64;
/// The label of what has none of its own.
pub(super) const OTHER: &str = "other";

/// The operations of a service, by their values on the wire. It stays on its worker.
#[derive(Clone, Debug)]
pub struct Operations(Rc<Table>);

#[derive(Debug)]
struct Table {
    cells: Arc<OperationsCells>,
    admission: Arc<Admission>,
    known: RefCell<HashMap<Box<[u8]>, Operation, Seeded>>,
    other: Operation,
    /// No value is admitted any more, and all that were are known.
    full: Local<bool>,
}

/// A handle to record exchanges of one operation with. It stays on its worker, and cloning it costs
/// no atomic instruction.
#[derive(Clone, Debug)]
pub struct Operation(Rc<Handle>);

#[derive(Debug)]
struct Handle {
    cells: Arc<OperationCells>,
}

impl Operations {
    pub(super) fn new(cells: Arc<OperationsCells>, admission: Arc<Admission>) -> Self {
        let known = lock(&cells.0)
            .iter()
            .map(|(name, cells)| (name.as_bytes().into(), Operation::new(cells)))
            .collect();
        Self(Rc::new(Table {
            other: Operation::new(&cells.resolve(&OTHER.into())),
            cells,
            admission,
            known: RefCell::new(known),
            full: Local::new(false),
        }))
    }

    /// The operation of this value. `other` is that of requests without one, of values that are
    /// empty, not UTF-8 or longer than 64 bytes, and of all beyond the first 1,000.
    #[must_use]
    pub fn resolve(&self, value: Option<&[u8]>) -> Operation {
        let table = &*self.0;
        let fits = |value: &&[u8]| (1..=LONGEST).contains(&value.len());
        let Some(value) = value.filter(fits) else {
            return table.other.clone();
        };
        if let Some(known) = table.known.borrow().get(value) {
            return known.clone();
        }
        let introduced = str::from_utf8(value)
            .ok()
            .filter(|_| !table.full.get())
            .and_then(|name| table.introduce(name));
        introduced.unwrap_or_else(|| table.other.clone())
    }
}

impl Table {
    /// The first request of this worker with this value.
    fn introduce(&self, name: &str) -> Option<Operation> {
        match self.admission.admit(name) {
            Admitted::As(name) => Some(self.learn(&name)),
            Admitted::Full(all) => {
                // Those that other workers have introduced: nobody needs to be asked again.
                for name in all {
                    self.learn(&name);
                }
                self.full.set(true);
                self.known.borrow().get(name.as_bytes()).cloned()
            }
        }
    }

    fn learn(&self, name: &Arc<str>) -> Operation {
        let operation = Operation::new(&self.cells.resolve(name));
        let mut known = self.known.borrow_mut();
        known.insert(name.as_bytes().into(), operation.clone());
        operation
    }
}

impl Operation {
    fn new(cells: &Arc<OperationCells>) -> Self {
        let cells = Arc::clone(cells);
        Self(Rc::new(Handle { cells }))
    }

    /// Records one exchange.
    pub fn record(&self, outcome: OutcomeLabel, duration: Duration) {
        let cells = &self.0.cells;
        cells.duration.record(duration, 1);
        if let Some(cell) = cells.outcomes.get(outcome as usize) {
            cell.add(1);
        }
    }
}

/// The operations of a service that became labels, in all workers.
#[derive(Debug, Default)]
pub(super) struct Admission(Mutex<HashSet<Arc<str>>>);

enum Admitted {
    As(Arc<str>),
    /// There are as many as there may be: these.
    Full(Vec<Arc<str>>),
}

impl Admission {
    fn admit(&self, name: &str) -> Admitted {
        let mut admitted = lock(&self.0);
        if admitted.len() >= MOST {
            return Admitted::Full(admitted.iter().map(Arc::clone).collect());
        }
        match admitted.get(name).map(Arc::clone) {
            Some(known) => Admitted::As(known),
            None => {
                let new: Arc<str> = Arc::from(name);
                admitted.insert(Arc::clone(&new));
                Admitted::As(new)
            }
        }
    }
}

/// What one worker recorded of the operations of one service.
#[derive(Debug, Default)]
pub(super) struct OperationsCells(Mutex<HashMap<Arc<str>, Arc<OperationCells>>>);

impl OperationsCells {
    fn resolve(&self, name: &Arc<str>) -> Arc<OperationCells> {
        let mut cells = lock(&self.0);
        Arc::clone(cells.entry(Arc::clone(name)).or_default())
    }

    /// All of them, so that they are read without the lock.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Arc<OperationCells>)> {
        let cells = lock(&self.0);
        cells
            .iter()
            .map(|(name, cells)| (Arc::clone(name), Arc::clone(cells)))
            .collect()
    }
}

/// What one worker recorded of one operation.
#[derive(Debug, Default)]
pub(super) struct OperationCells {
    pub(super) duration: Histogram,
    /// In the order of [`OutcomeLabel::ALL`].
    pub(super) outcomes: [Cell; OutcomeLabel::ALL.len()],
}

/// Hashes short values quickly, and so that nobody outside can tell which ones collide.
#[derive(Clone, Debug)]
struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }
}

impl BuildHasher for Seeded {
    type Hasher = Hash;

    fn build_hasher(&self) -> Hash {
        Hash(self.0)
    }
}

struct Hash(u64);

impl Hasher for Hash {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The length of a slice, which its bytes' hash has in it.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
