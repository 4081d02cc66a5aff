//! Exchanges of one service, route and destination.

use std::cell::{Cell as Local, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::cell::{Cell, Histogram};
use super::{Codes, OutcomeLabel, ResponseFlag, lock};

/// Ways to end that one series tells apart; what comes later has the code `other`.
const MOST_ENDS: usize = 64;

/// What to record of an exchange that is over, or of several that ended alike.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// How it ended.
    pub outcome: OutcomeLabel,
    /// The protocol's own response code.
    pub code: u32,
    /// Why it ended so.
    pub flag: ResponseFlag,
    /// From the request's last byte to the answer's, of each.
    pub duration: Duration,
    /// How many they are.
    pub requests: u64,
    /// Of all requests.
    pub request_bytes: u64,
    /// Of all answers.
    pub response_bytes: u64,
}

/// A handle to record exchanges with. It stays on its worker.
#[derive(Clone, Debug)]
pub struct Series(Rc<Handle>);

#[derive(Debug)]
struct Handle {
    cells: Arc<SeriesCells>,
    /// The same counters as in `cells`, without the lock.
    ends: RefCell<Vec<(End, Arc<Cell>)>>,
    codes: Arc<Codes>,
    codes_full: Local<bool>,
}

impl Series {
    pub(super) fn new(cells: Arc<SeriesCells>, codes: Arc<Codes>) -> Self {
        let ends = RefCell::new(lock(&cells.ends).clone());
        Self(Rc::new(Handle {
            cells,
            ends,
            codes,
            codes_full: Local::new(false),
        }))
    }

    /// Records what is over.
    pub fn record(&self, answered: Answered) {
        if cfg!(feature = "unmetered") {
            return;
        }
        let cells = &self.0.cells;
        cells.duration.record(answered.duration, answered.requests);
        cells.request_bytes.add(answered.request_bytes);
        cells.response_bytes.add(answered.response_bytes);
        let end = End {
            outcome: answered.outcome,
            code: Some(answered.code),
            flag: answered.flag,
        };
        self.0.count(end, answered.requests);
    }
}

impl Handle {
    fn count(&self, end: End, n: u64) {
        if self.add(end, n) {
            return;
        }
        let end = if self.admits(end) {
            end
        } else {
            End { code: None, ..end }
        };
        if !self.add(end, n) {
            self.introduce(end, n);
        }
    }

    fn add(&self, end: End, n: u64) -> bool {
        let ends = self.ends.borrow();
        let known = ends.iter().find(|(known, _)| *known == end);
        if let Some((_, cell)) = known {
            cell.add(n);
        }
        known.is_some()
    }

    /// Whether a way to end that was not seen before may keep its code.
    fn admits(&self, end: End) -> bool {
        if self.codes_full.get() || self.ends.borrow().len() >= MOST_ENDS {
            return false;
        }
        let admitted = end.code.is_some_and(|code| self.codes.admit(code));
        self.codes_full.set(!admitted);
        admitted
    }

    /// The first exchange of this worker that ends so: the one time that the lock is taken.
    fn introduce(&self, end: End, n: u64) {
        let cell = {
            let mut shared = lock(&self.cells.ends);
            let known = shared.iter().find(|(known, _)| *known == end);
            match known.map(|(_, cell)| Arc::clone(cell)) {
                Some(cell) => cell,
                None => {
                    let cell = Arc::new(Cell::default());
                    shared.push((end, Arc::clone(&cell)));
                    cell
                }
            }
        };
        cell.add(n);
        self.ends.borrow_mut().push((end, cell));
    }
}

/// A way to end, as labels. Without a code it is `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    pub(super) outcome: OutcomeLabel,
    pub(super) code: Option<u32>,
    pub(super) flag: ResponseFlag,
}

/// What one worker recorded of one series.
#[derive(Debug, Default)]
pub(super) struct SeriesCells {
    pub(super) duration: Histogram,
    pub(super) request_bytes: Cell,
    pub(super) response_bytes: Cell,
    pub(super) ends: Mutex<Vec<(End, Arc<Cell>)>>,
}

/// The labels of a series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SeriesName {
    pub(super) service: Box<str>,
    pub(super) route: Box<str>,
    pub(super) destination: Box<str>,
}

impl SeriesName {
    pub(super) fn new(service: &str, route: &str, destination: &str) -> Self {
        Self {
            service: service.into(),
            route: route.into(),
            destination: destination.into(),
        }
    }
}
