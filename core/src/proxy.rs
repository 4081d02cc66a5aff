//! The data plane as a whole: from the configuration's first snapshot to the end of the drain.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::{join, join3};
use futures_util::stream::{FuturesUnordered, StreamExt};
use meltemi_credentials::Workload;
use meltemi_policy::Mismatches;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::access_log::{self, AccessLog, Destination};
use crate::admin::{self, Admin};
use crate::config::Snapshot;
use crate::driver::{
    Acceptor, Addressed, Ended, HealthChecks, Limiter, ListenError, ListenerTable, Listeners,
    Outliers, Resolution, Resolver, Workers, WorkersOptions, resolve,
};
use crate::engine::Settings;
use crate::mismatches;
use crate::protocols::Protocols;
use crate::telemetry::{Telemetry, WorkerTelemetry};
use crate::tls::Certificates;
use crate::xds;

/// After the drain time, what is left of the workers ends within this.
const STOP: Duration = Duration::from_secs(5);

/// How the data plane runs.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Where the admin pages are served; `None` is nowhere. Port 0 is the system's choice.
    pub admin: Option<SocketAddr>,
    /// Where only readiness and metrics are served, beside them.
    pub status: Option<SocketAddr>,
    /// Worker threads; `None` is one for each processor.
    pub workers: Option<NonZeroUsize>,
    /// Whether each of them stays on one CPU, of those that the process may run on.
    pub pin_workers: bool,
    /// Where exchanges are logged.
    pub access_log: Destination,
    /// How many percent of them, drawn by chance.
    pub access_log_percent: f64,
    /// What is in flight when the proxy ends has this long to finish.
    pub drain_time: Duration,
    /// DNS servers in the place of the system's, if there are any.
    pub dns_servers: Vec<SocketAddr>,
    /// What each worker allows.
    pub settings: Settings,
    /// The certificate that the CA of a mesh gives; `None`: nobody is asked for one.
    pub workload: Option<Workload>,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 15000))),
            status: None,
            workers: None,
            pin_workers: false,
            access_log: Destination::Off,
            access_log_percent: 100.0,
            drain_time: Duration::from_secs(45),
            dns_servers: Vec::new(),
            settings: Settings::default(),
            workload: None,
        }
    }
}

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The newest state. The first that has a version is the first load.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// How the stream that they come from is doing.
    pub stats: Arc<xds::Stats>,
    /// Whoever is to hear what clients have spoken lately that is not their service's protocol.
    pub mismatches: watch::Sender<Mismatches>,
}

/// The data plane could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The access log cannot be written.
    #[error(transparent)]
    AccessLog(#[from] access_log::OpenError),
    /// A worker thread cannot be made.
    #[error("cannot start the workers")]
    Workers(#[source] io::Error),
    /// The admin address cannot be opened.
    #[error(transparent)]
    Admin(#[from] admin::StartError),
    /// A listener of the first load cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A worker ended on its own. The others were drained.
    #[error("a worker failed; see the log")]
    Worker,
}

/// Completes at the first SIGTERM or SIGINT from now on.
///
/// # Errors
/// The signals cannot be watched.
pub fn termination() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Runs the data plane until `shutdown` completes, or a drain is asked for, and all is drained.
///
/// # Errors
/// It cannot start, a listener of the first load cannot be opened, or a worker failed.
pub async fn run(
    options: ProxyOptions,
    protocols: Arc<Protocols>,
    configuration: Configuration,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    Proxy::start(options, protocols, configuration)?
        .run(shutdown)
        .await
}

/// What comes, with the addresses of names in it.
fn addressed(
    options: &ProxyOptions,
    configuration: Configuration,
    telemetry: &Telemetry,
) -> (Configuration, Addressed) {
    let resolver = Resolver::new(options.dns_servers.clone());
    let addressed = resolve(configuration.snapshots, resolver, telemetry.owner());
    let snapshots = addressed.snapshots.clone();
    let configuration = Configuration {
        snapshots,
        ..configuration
    };
    (configuration, addressed)
}

/// Unless told, one for each processor.
fn worker_count(options: &ProxyOptions) -> usize {
    let processors = || thread::available_parallelism().ok();
    let count = options.workers.or_else(processors);
    count.map_or(1, NonZeroUsize::get)
}

/// What each of them writes to.
fn of_workers(
    telemetry: &Telemetry,
    options: &ProxyOptions,
    log: Option<&AccessLog>,
) -> Vec<WorkerTelemetry> {
    let workers = 0..worker_count(options);
    workers
        .map(|_| telemetry.worker().with_access_log(log.cloned()))
        .collect()
}

/// What lives from start to end.
struct Proxy {
    ends: FuturesUnordered<Ended>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    workers: Arc<Workers>,
    /// What workers may still look at: it is large, and not theirs to free.
    applied: Vec<Arc<Snapshot>>,
    listeners: Listeners,
    outliers: Outliers,
    health_checks: HealthChecks,
    certificates: Certificates,
    /// Resolves names until the end.
    _resolution: Resolution,
    /// Asks until the end.
    _limiter: Limiter,
    /// Tells of mismatches until the end.
    _telling: JoinSet<()>,
    telemetry: Arc<Telemetry>,
    drain: Arc<Notify>,
    drain_time: Duration,
    admin: Option<Admin>,
    log: Option<access_log::Writer>,
}

impl Proxy {
    fn start(
        options: ProxyOptions,
        protocols: Arc<Protocols>,
        configuration: Configuration,
    ) -> Result<Self, RunError> {
        let telemetry = Arc::new(Telemetry::new());
        let (configuration, addressed) = addressed(&options, configuration, &telemetry);
        let dropped = telemetry.process().access_log_dropped();
        let (log, writer) = access_log::Writer::start(&options.access_log, dropped)?.unzip();
        let log = log.map(|log| log.sampled(options.access_log_percent));
        let (reports, received) = mpsc::unbounded_channel();
        let (questions, asked) = Limiter::questions();
        let (workers, ends) = Workers::start(WorkersOptions {
            settings: options.settings,
            pinned: options.pin_workers,
            protocols: Arc::clone(&protocols),
            telemetry: of_workers(&telemetry, &options, log.as_ref()),
            process: Arc::clone(&telemetry),
            reports,
            questions,
        })
        .map_err(RunError::Workers)?;
        let workers = Arc::new(workers);
        let acceptor = Acceptor {
            workers: Arc::clone(&workers),
            table: Arc::new(ListenerTable::default()),
            telemetry: Arc::clone(&telemetry),
        };
        let (checked, verdicts) = mpsc::unbounded_channel();
        let owner = telemetry.owner();
        let mut proxy = Self {
            ends: ends.into_iter().collect(),
            snapshots: configuration.snapshots.clone(),
            applied: Vec::new(),
            listeners: Listeners::new(acceptor.clone()),
            outliers: Outliers::new(Arc::clone(&workers), owner, received, verdicts),
            health_checks: HealthChecks::new(
                Arc::clone(&telemetry),
                Arc::clone(&protocols),
                checked,
            ),
            certificates: Certificates::new(options.workload.clone()),
            _resolution: addressed.resolution,
            _limiter: Limiter::start(Arc::clone(&workers), asked, configuration.snapshots.clone()),
            _telling: mismatches::follow(Arc::clone(&telemetry), configuration.mismatches.clone()),
            workers,
            telemetry,
            drain: Arc::new(Notify::new()),
            drain_time: options.drain_time,
            admin: None,
            log: writer,
        };
        if let Some(address) = options.admin {
            let pages = admin::Sources {
                acceptor,
                configuration,
                protocols,
                overlay: proxy.outliers.overlay(),
                names: addressed.names,
                options,
                drain: Arc::clone(&proxy.drain),
            };
            proxy.admin = Some(admin::start(address, pages)?);
        }
        Ok(proxy)
    }

    async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let drain = Arc::clone(&self.drain);
        let mut ends = std::mem::take(&mut self.ends);
        let served = tokio::select! {
            served = self.serve() => served,
            () = shutdown => Ok(()),
            () = drain.notified() => Ok(()),
            _ = ends.next() => Err(RunError::Worker),
        };
        self.finish(ends).await;
        served
    }

    /// Applies each snapshot. Ends only if the first load cannot be served.
    async fn serve(&mut self) -> Result<(), RunError> {
        let mut first = true;
        loop {
            let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
            if !snapshot.version.is_empty() {
                let applied = self.apply(&snapshot).await;
                match applied {
                    Err(error) if first => return Err(error.into()),
                    // It is tried again, and told on the admin pages until then.
                    Err(error) => warn!(%error, "listener not opened"),
                    Ok(()) => {}
                }
                first = false;
            }
            tokio::select! {
                changed = self.snapshots.changed() => if changed.is_err() {
                    // Nobody is left to change it: the last one stays.
                    let certificates = self.certificates.run();
                    join3(self.outliers.run(), self.listeners.retry(), certificates).await;
                    pending::<()>().await;
                },
                () = self.outliers.run() => {}
                () = self.certificates.run() => {}
                () = self.listeners.retry() => {}
            }
        }
    }

    /// The workers before the listeners: a connection is accepted only when they know what to do with
    /// it; and before the workers the certificates that they dial with.
    async fn apply(&mut self, snapshot: &Arc<Snapshot>) -> Result<(), ListenError> {
        self.configure(snapshot).await;
        self.listeners.reconcile(snapshot).await
    }

    /// All but the listeners.
    async fn configure(&mut self, snapshot: &Arc<Snapshot>) {
        self.certificates.configure(snapshot).await;
        self.workers.configure(snapshot, self.applied.last());
        let is_new = |last: &Arc<Snapshot>| !Arc::ptr_eq(last, snapshot);
        if self.applied.last().is_none_or(is_new) {
            self.applied.retain(|it| Arc::strong_count(it) > 1);
            self.applied.push(Arc::clone(snapshot));
        }
        self.outliers.configure(snapshot, Instant::now());
        self.health_checks.configure(snapshot);
    }

    /// Applies each snapshot to those who are there: while clients leave, endpoints do, too. No listener opens again. It
    /// never ends.
    async fn follow(&mut self) {
        loop {
            tokio::select! {
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        join(self.outliers.run(), self.certificates.run()).await;
                        pending::<()>().await;
                    }
                    let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
                    self.configure(&snapshot).await;
                }
                () = self.outliers.run() => {}
                () = self.certificates.run() => {}
            }
        }
    }

    /// Accepts nothing more and waits for what is in flight.
    async fn finish(mut self, ends: FuturesUnordered<Ended>) {
        info!(within = ?self.drain_time, "draining");
        self.telemetry.process().drain_began();
        self.listeners.close_all().await;
        self.workers.drain();
        let mut ends = pin!(ends.collect::<Vec<_>>());
        let drain_time = self.drain_time;
        let is_over = tokio::select! {
            ended = timeout(drain_time, &mut ends) => ended.is_err(),
            () = self.follow() => false,
        };
        if is_over {
            warn!("the drain time is over; closing what is left");
            self.workers.stop();
            if timeout(STOP, ends).await.is_err() {
                return warn!("a worker does not end");
            }
        }
        info!("drained");
        if let Some(log) = self.log.take() {
            // The workers are gone, and with them all who write to it.
            let finished = tokio::task::spawn_blocking(|| log.finish());
            if timeout(STOP, finished).await.is_err() {
                warn!("nobody reads the access log; its last lines are lost");
            }
        }
    }
}

#[cfg(test)]
mod tests;
