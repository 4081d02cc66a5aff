//! Metrics: written by each worker into cells of its own, summed when somebody asks.
//!
//! A handle ([`Series`], [`ServiceMetrics`], [`ClusterMetrics`]) is resolved when the configuration
//! changes. Recording through it is a few plain loads and stores: every cell has one writer, its
//! worker, so nothing is locked and nothing is a read-modify-write.

mod arrivals;
mod cell;
mod concurrency;
mod global_limit;
mod label;
mod limit;
mod operation;
mod render;
mod scope;
mod series;
mod tcp;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meltemi_policy::Foreign;

pub use arrivals::ArrivalMetrics;
pub use concurrency::ConcurrencyMetrics;
pub use global_limit::GlobalLimitMetrics;
pub use label::{OutcomeLabel, ResponseFlag};
pub use limit::LimitMetrics;
pub use operation::{Operation, Operations};
pub use scope::{ClusterMetrics, ServiceMetrics};
pub use series::{Answered, Series};
pub use tcp::TcpMetrics;

use crate::access_log::AccessLog;
use arrivals::ArrivalCells;
use concurrency::ConcurrencyCells;
use global_limit::GlobalLimitCells;
use limit::LimitCells;
use operation::{Admission, OperationsCells};
use scope::{ClusterCells, ServiceCells};
use series::{SeriesCells, SeriesName};
use tcp::TcpCells;

/// Distinct response codes that become labels; further ones are counted as `other`.
const MOST_CODES: usize = 1000;

/// Cells of withdrawn names that are still reported, per worker and kind.
const MOST_WITHDRAWN: usize = 4096;

/// All metrics of the process.
#[derive(Debug, Default)]
pub struct Telemetry {
    workers: Mutex<Vec<Arc<WorkerCells>>>,
    /// Written by the one owner of what workers share.
    owner: Arc<WorkerCells>,
    codes: Arc<Codes>,
    /// By service.
    operations: Arc<Named<Arc<str>, Admission>>,
    process: ProcessCounters,
}

/// Counts of what belongs to no worker. Rare events, any thread.
#[derive(Debug, Default)]
pub struct ProcessCounters {
    accept_errors: AtomicU64,
    access_log_dropped: Arc<AtomicU64>,
    draining: AtomicBool,
}

impl ProcessCounters {
    /// `accept` failed (no file descriptor left, for instance).
    pub fn accept_failed(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// The process began to drain.
    pub fn drain_began(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the process drains.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Where the access log counts lines that it had no room for.
    pub(crate) fn access_log_dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.access_log_dropped)
    }
}

impl Telemetry {
    /// A registry without workers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The cells of one more worker.
    #[must_use]
    pub fn worker(&self) -> WorkerTelemetry {
        let cells = Arc::new(WorkerCells::default());
        lock(&self.workers).push(Arc::clone(&cells));
        self.writing_to(cells)
    }

    /// The cells for what workers share (outlier detection). Only its one owner may write to them.
    pub(crate) fn owner(&self) -> WorkerTelemetry {
        self.writing_to(Arc::clone(&self.owner))
    }

    fn writing_to(&self, cells: Arc<WorkerCells>) -> WorkerTelemetry {
        WorkerTelemetry {
            cells,
            codes: Arc::clone(&self.codes),
            operations: Arc::clone(&self.operations),
            access_log: None,
        }
    }

    /// What belongs to no worker.
    #[must_use]
    pub fn process(&self) -> &ProcessCounters {
        &self.process
    }

    /// Of each service that had any, how many clients did not speak its protocol, by what they spoke.
    #[must_use]
    pub(crate) fn mismatches(&self) -> BTreeMap<Arc<str>, [u64; Foreign::ALL.len()]> {
        let mut sums = BTreeMap::<_, [u64; Foreign::ALL.len()]>::new();
        for worker in lock(&self.workers).iter() {
            for (service, cells) in lock(&worker.services.0).iter() {
                let counts = cells.mismatched();
                if counts.iter().all(|count| *count == 0) {
                    continue;
                }
                let sum = sums.entry(Arc::clone(service)).or_default();
                for (sum, count) in sum.iter_mut().zip(counts) {
                    *sum += count;
                }
            }
        }
        sums
    }

    /// Everything, in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        render::render(self)
    }
}

/// What one worker writes to. Cloning it gives the same cells, so a clone must stay on the worker.
#[derive(Clone, Debug)]
pub struct WorkerTelemetry {
    cells: Arc<WorkerCells>,
    codes: Arc<Codes>,
    operations: Arc<Named<Arc<str>, Admission>>,
    access_log: Option<AccessLog>,
}

impl WorkerTelemetry {
    /// With an access log that exchanges are to be written to.
    #[must_use]
    pub fn with_access_log(mut self, log: Option<AccessLog>) -> Self {
        self.access_log = log;
        self
    }

    /// The access log, if there is one: ask before an entry is put together.
    #[must_use]
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.access_log.as_ref()
    }

    /// The handle to record exchanges of a route and destination with. For configuration updates.
    #[must_use]
    pub fn series(&self, service: &str, route: &str, destination: &str) -> Series {
        let name = SeriesName::new(service, route, destination);
        let cells = self.cells.series.resolve(name);
        Series::new(cells, Arc::clone(&self.codes))
    }

    /// What finds the operations of a service. For configuration updates.
    #[must_use]
    pub fn operations(&self, service: &str) -> Operations {
        let cells = self.cells.operations.resolve(service.into());
        Operations::new(cells, self.operations.resolve(service.into()))
    }

    /// The handle for the client connections of a service. For configuration updates.
    #[must_use]
    pub fn service(&self, name: &str) -> ServiceMetrics {
        ServiceMetrics::new(self.cells.services.resolve(name.into()))
    }

    /// The handle for the server connections of a cluster. For configuration updates.
    #[must_use]
    pub fn cluster(&self, name: &str) -> ClusterMetrics {
        ClusterMetrics::new(self.cells.clusters.resolve(name.into()))
    }

    /// The handle for the connections of a listener that say where they were going. For configuration
    /// updates.
    #[must_use]
    pub fn arrivals(&self, listener: &str) -> ArrivalMetrics {
        ArrivalMetrics::new(self.cells.arrivals.resolve(listener.into()))
    }

    /// The handle for what a service passes on to a cluster as it comes. For configuration updates.
    #[must_use]
    pub fn tcp(&self, service: &str, destination: &str) -> TcpMetrics {
        let name = (service.into(), destination.into());
        TcpMetrics::new(self.cells.tcp.resolve(name))
    }

    /// The handle for a bucket of a local rate limit. For configuration updates.
    #[must_use]
    pub fn limit(&self, limit: &str, bucket: &str) -> LimitMetrics {
        let name = format!("{limit} {bucket}");
        LimitMetrics::new(self.cells.limits.resolve(name.into()))
    }

    /// The handle for the adaptive concurrency of a service's route. For configuration updates.
    #[must_use]
    pub fn concurrency(&self, route: &str) -> ConcurrencyMetrics {
        ConcurrencyMetrics::new(self.cells.concurrency.resolve(route.into()))
    }

    /// The handle for a global rate limit. For configuration updates.
    #[must_use]
    pub fn global_limit(&self, limit: &str) -> GlobalLimitMetrics {
        GlobalLimitMetrics::new(self.cells.global_limits.resolve(limit.into()))
    }
}

/// The cells of one worker by name: written by the worker, read when rendered.
#[derive(Debug, Default)]
struct WorkerCells {
    series: Named<SeriesName, SeriesCells>,
    services: Named<Arc<str>, ServiceCells>,
    clusters: Named<Arc<str>, ClusterCells>,
    /// By listener.
    arrivals: Named<Arc<str>, ArrivalCells>,
    /// By limit and bucket.
    limits: Named<Arc<str>, LimitCells>,
    /// By limit.
    global_limits: Named<Arc<str>, GlobalLimitCells>,
    /// By service and route.
    concurrency: Named<Arc<str>, ConcurrencyCells>,
    operations: Named<Arc<str>, OperationsCells>,
    /// By service and destination.
    tcp: Named<(Arc<str>, Arc<str>), TcpCells>,
}

/// Cells by name. Locked when the configuration changes and when metrics are rendered.
#[derive(Debug)]
struct Named<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K, V> Default for Named<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: std::hash::Hash + Eq, V: Default> Named<K, V> {
    fn resolve(&self, name: K) -> Arc<V> {
        let mut cells = lock(&self.0);
        // A counter outlives a configuration that drops its name and brings it back; only a long
        // history of names that are gone is forgotten.
        if cells.len() >= MOST_WITHDRAWN {
            cells.retain(|_, cells| Arc::strong_count(cells) > 1);
        }
        Arc::clone(cells.entry(name).or_default())
    }
}

/// The response codes that became labels.
#[derive(Debug, Default)]
struct Codes(Mutex<HashSet<u32>>);

impl Codes {
    /// Whether the code may be a label of its own.
    fn admit(&self, code: u32) -> bool {
        let mut codes = lock(&self.0);
        codes.contains(&code) || (codes.len() < MOST_CODES && codes.insert(code))
    }
}

/// A panic elsewhere leaves plain numbers and names behind, all of them usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
