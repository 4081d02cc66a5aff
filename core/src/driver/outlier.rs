//! The one owner of outlier detection and of the health overlay: workers and health checks report to
//! it, and it tells the workers whom to leave out.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tracing::info;

use super::health_check::Checked;
use super::overlay::{LeftOut, Overlay};
use super::workers::Workers;
use crate::config::{Address, Snapshot};
use crate::engine::{HostCounts, HostReport};
use crate::outlier::{Change, OutlierDetector};
use crate::telemetry::WorkerTelemetry;

/// The detectors of all clusters that have a rule.
pub(crate) struct Outliers {
    workers: Arc<Workers>,
    telemetry: WorkerTelemetry,
    reports: mpsc::UnboundedReceiver<HostReport>,
    checked: mpsc::UnboundedReceiver<Checked>,
    counts: Counting,
    detectors: HashMap<Arc<str>, OutlierDetector>,
    overlay: Overlay,
}

/// What workers counted, on its way.
struct Counting {
    sender: mpsc::UnboundedSender<Vec<HostCounts>>,
    receiver: mpsc::UnboundedReceiver<Vec<HostCounts>>,
    /// So many workers were asked and have not answered yet.
    awaited: usize,
}

impl Outliers {
    pub(crate) fn new(
        workers: Arc<Workers>,
        telemetry: WorkerTelemetry,
        reports: mpsc::UnboundedReceiver<HostReport>,
        checked: mpsc::UnboundedReceiver<Checked>,
    ) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let counts = Counting {
            sender,
            receiver,
            awaited: 0,
        };
        Self {
            workers,
            telemetry,
            reports,
            checked,
            counts,
            detectors: HashMap::new(),
            overlay: Overlay::default(),
        }
    }

    /// What the workers were told last, for the admin pages.
    pub(crate) fn overlay(&self) -> Overlay {
        self.overlay.clone()
    }

    /// Takes in new rules and endpoints. Those that stay keep their history.
    pub(crate) fn configure(&mut self, snapshot: &Snapshot, now: Instant) {
        let mut detectors = HashMap::new();
        for (name, cluster) in &snapshot.clusters {
            let Some(rule) = cluster.outlier.clone() else {
                continue;
            };
            let hosts = cluster
                .endpoints
                .hosts
                .iter()
                .map(|host| host.address.clone());
            let kept = self.detectors.remove_entry(name.as_str());
            let (name, detector) = match kept {
                Some((name, mut detector)) => {
                    detector.update(rule, hosts, now);
                    (name, detector)
                }
                None => {
                    let detector = OutlierDetector::new(rule, hosts, now, rand::random());
                    (name.as_str().into(), detector)
                }
            };
            detectors.insert(name, detector);
        }
        self.detectors = detectors;
        // An endpoint that left and came back has no history, whatever a worker remembers of it.
        for name in self.overlay.clusters() {
            self.publish(&name);
        }
    }

    /// Takes reports and lets ejections end. Loses nothing where it is dropped and called again.
    pub(crate) async fn run(&mut self) {
        loop {
            let deadlines = self.detectors.values();
            let deadline = deadlines.filter_map(OutlierDetector::deadline).min();
            let is_counting = self.counts.awaited > 0;
            let sweep = async {
                match deadline {
                    Some(deadline) if !is_counting => {
                        tokio::time::sleep_until(deadline.into()).await;
                    }
                    _ => pending().await,
                }
            };
            tokio::select! {
                report = self.reports.recv() => match report {
                    Some(report) => self.take(&report, Instant::now()),
                    // No worker is left.
                    None => return pending().await,
                },
                Some(checked) = self.checked.recv() => self.take_check(checked, Instant::now()),
                Some(counts) = self.counts.receiver.recv() => self.take_counts(counts, Instant::now()),
                () = sweep => self.begin_sweep(Instant::now()),
            }
        }
    }

    fn take(&mut self, report: &HostReport, now: Instant) {
        let Some(detector) = self.detectors.get_mut(&report.cluster) else {
            return;
        };
        if let Some(change) = detector.report(&report.address, report.outcome, now) {
            self.tell(&report.cluster, &change);
            self.publish(&report.cluster);
        }
    }

    fn take_check(&mut self, checked: Checked, now: Instant) {
        match checked {
            Checked::Unhealthy { cluster, endpoints } => {
                let change = |it: &mut LeftOut| it.unhealthy = endpoints;
                self.overlay.change(&cluster, &self.workers, change);
            }
            Checked::Passed { cluster, address } => {
                let detector = self.detectors.get_mut(&cluster);
                if let Some(change) = detector.and_then(|it| it.check_passed(&address, now)) {
                    self.tell(&cluster, &change);
                    self.publish(&cluster);
                }
            }
        }
    }

    /// Where rates of success are judged, the workers say first what they have counted.
    fn begin_sweep(&mut self, now: Instant) {
        let due = |it: &&OutlierDetector| it.deadline().is_some_and(|at| at <= now);
        let mut due = self.detectors.values().filter(due);
        if due.any(OutlierDetector::counts_rates) {
            self.counts.awaited = self.workers.take_counts(&self.counts.sender);
        } else {
            self.sweep(now);
        }
    }

    fn take_counts(&mut self, counts: Vec<HostCounts>, now: Instant) {
        for counted in counts {
            if let Some(detector) = self.detectors.get_mut(&counted.cluster) {
                detector.count(&counted.address, counted.counts);
            }
        }
        self.counts.awaited = self.counts.awaited.saturating_sub(1);
        if self.counts.awaited == 0 {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: Instant) {
        let detectors = self.detectors.iter_mut();
        let changes: Vec<_> = detectors
            .map(|(cluster, detector)| (Arc::clone(cluster), detector.sweep(now)))
            .filter(|(_, changes)| !changes.is_empty())
            .collect();
        for (cluster, changes) in changes {
            for change in &changes {
                self.tell(&cluster, change);
            }
            self.publish(&cluster);
        }
    }

    fn tell(&self, cluster: &Arc<str>, change: &Change) {
        match change {
            Change::Ejected(address, cause) => {
                self.telemetry.cluster(cluster).endpoint_ejected();
                info!(cluster = &**cluster, %address, ?cause, "endpoint ejected");
            }
            Change::Unejected(address) => {
                info!(cluster = &**cluster, %address, "endpoint taken back");
            }
        }
    }

    fn publish(&self, cluster: &Arc<str>) {
        let detector = self.detectors.get(cluster);
        let ejected = detector.into_iter().flat_map(OutlierDetector::ejected);
        let ejected: Arc<[Address]> = ejected.cloned().collect();
        let metrics = self.telemetry.cluster(cluster);
        metrics.endpoints_ejected(ejected.len() as u64);
        let change = |it: &mut LeftOut| it.ejected = ejected;
        self.overlay.change(cluster, &self.workers, change);
    }
}
