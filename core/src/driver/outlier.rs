//! The one owner of outlier detection: workers report to it, and it tells them whom to leave out.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use tracing::info;

use super::workers::Workers;
use crate::admin::Ejected;
use crate::config::{Address, Snapshot};
use crate::engine::HostReport;
use crate::outlier::{Change, Outcome, OutlierDetector};
use crate::telemetry::WorkerTelemetry;

/// The detectors of all clusters that have a rule.
pub(crate) struct Outliers {
    workers: Arc<Workers>,
    telemetry: WorkerTelemetry,
    reports: mpsc::UnboundedReceiver<HostReport>,
    detectors: HashMap<Arc<str>, OutlierDetector>,
    /// What the workers were told last, for clusters that ever had an ejection.
    published: Ejected,
}

impl Outliers {
    pub(crate) fn new(
        workers: Arc<Workers>,
        telemetry: WorkerTelemetry,
        reports: mpsc::UnboundedReceiver<HostReport>,
    ) -> Self {
        Self {
            workers,
            telemetry,
            reports,
            detectors: HashMap::new(),
            published: Ejected::default(),
        }
    }

    /// What the workers were told last, for the admin pages.
    pub(crate) fn ejected(&self) -> Ejected {
        Arc::clone(&self.published)
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
                None => (name.as_str().into(), OutlierDetector::new(rule, hosts, now)),
            };
            detectors.insert(name, detector);
        }
        self.detectors = detectors;
        // An endpoint that left and came back has no history, whatever a worker remembers of it.
        for name in self.lock().keys().cloned().collect::<Vec<_>>() {
            self.publish(&name);
        }
    }

    /// Takes reports and lets ejections end. Loses nothing where it is dropped and called again.
    pub(crate) async fn run(&mut self) {
        loop {
            let deadline = self
                .detectors
                .values()
                .filter_map(OutlierDetector::deadline)
                .min();
            let sweep = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                report = self.reports.recv() => match report {
                    Some(report) => self.take(&report, Instant::now()),
                    // No worker is left.
                    None => return pending().await,
                },
                () = sweep => self.sweep(Instant::now()),
            }
        }
    }

    fn take(&mut self, report: &HostReport, now: Instant) {
        let Some(detector) = self.detectors.get_mut(&report.cluster) else {
            return;
        };
        let outcome = if report.success {
            Outcome::Success
        } else {
            Outcome::Failure
        };
        if let Some(change) = detector.report(&report.address, outcome, now) {
            self.telemetry.cluster(&report.cluster).endpoint_ejected();
            tell(&report.cluster, &change);
            self.publish(&report.cluster);
        }
    }

    fn sweep(&mut self, now: Instant) {
        let mut changed = Vec::new();
        for (cluster, detector) in &mut self.detectors {
            let changes = detector.sweep(now);
            if !changes.is_empty() {
                changed.push(Arc::clone(cluster));
            }
            for change in &changes {
                tell(cluster, change);
            }
        }
        for cluster in changed {
            self.publish(&cluster);
        }
    }

    fn publish(&self, cluster: &Arc<str>) {
        let detector = self.detectors.get(cluster);
        let ejected = detector.into_iter().flat_map(OutlierDetector::ejected);
        let ejected: Arc<[Address]> = ejected.cloned().collect();
        self.telemetry
            .cluster(cluster)
            .endpoints_ejected(ejected.len() as u64);
        self.workers.eject(cluster, &ejected);
        self.lock().insert(Arc::clone(cluster), ejected);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Arc<[Address]>>> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(cluster: &str, change: &Change) {
    match change {
        Change::Ejected(address) => info!(cluster, %address, "endpoint ejected"),
        Change::Unejected(address) => info!(cluster, %address, "endpoint taken back"),
    }
}
