//! The one owner of active health checks: it asks the endpoints, and tells the owner of the health
//! overlay what changes.
//!
//! It has a thread of its own, which is made when a cluster first asks for checks: codecs stay on
//! the thread that they were made on, and a check never waits for a request, or the other way round.

mod probe;

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use meltemi_codec::Protocol;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use self::probe::{Kept, Probe, Reason};
use crate::config::{Address, HealthCheck, Snapshot};
use crate::health_check::{Change, HealthChecker, Verdict};
use crate::protocols::Protocols;
use crate::telemetry::{Telemetry, WorkerTelemetry};
use crate::tls::Tls;

/// What the owner of the overlay is told.
#[derive(Debug)]
pub(crate) enum Checked {
    /// These endpoints of a cluster are left out, and no others.
    Unhealthy {
        cluster: Arc<str>,
        endpoints: Arc<[Address]>,
    },
    /// A check passed, and the endpoint counts as healthy.
    Passed { cluster: Arc<str>, address: Address },
}

/// The thread, as soon as there is something to check.
pub(crate) struct HealthChecks {
    telemetry: Arc<Telemetry>,
    protocols: Arc<Protocols>,
    checked: mpsc::UnboundedSender<Checked>,
    /// Dropping it ends the thread.
    snapshots: Option<mpsc::UnboundedSender<Arc<Snapshot>>>,
}

impl HealthChecks {
    pub(crate) fn new(
        telemetry: Arc<Telemetry>,
        protocols: Arc<Protocols>,
        checked: mpsc::UnboundedSender<Checked>,
    ) -> Self {
        Self {
            telemetry,
            protocols,
            checked,
            snapshots: None,
        }
    }

    /// Takes in new rules and endpoints. Those that stay keep their history.
    pub(crate) fn configure(&mut self, snapshot: &Arc<Snapshot>) {
        let wanted = snapshot
            .clusters
            .values()
            .any(|it| it.health_check.is_some());
        if self.snapshots.is_none() && wanted {
            self.snapshots = self.start();
        }
        if let Some(snapshots) = &self.snapshots {
            // A thread that has ended said why.
            let _ = snapshots.send(Arc::clone(snapshot));
        }
    }

    fn start(&self) -> Option<mpsc::UnboundedSender<Arc<Snapshot>>> {
        let (snapshots, received) = mpsc::unbounded_channel();
        let protocols = Arc::clone(&self.protocols);
        let (checked, telemetry) = (self.checked.clone(), Arc::clone(&self.telemetry));
        let started = thread::Builder::new()
            .name("health-checks".into())
            .spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build();
                match runtime {
                    Ok(runtime) => {
                        let owner = Owner::new(protocols, telemetry.owner(), checked);
                        runtime.block_on(owner.run(received));
                    }
                    Err(error) => error!(%error, "endpoints are not checked"),
                }
            });
        match started {
            Ok(_) => Some(snapshots),
            Err(error) => {
                error!(%error, "endpoints are not checked");
                None
            }
        }
    }
}

/// What a cluster's endpoints are asked.
struct Checks {
    checker: HealthChecker,
    /// `None`: whether they accept connections.
    protocol: Option<Arc<dyn Protocol>>,
    tls: Option<Arc<Tls>>,
    /// Connections that wait for the next check.
    kept: HashMap<Address, Kept>,
    /// Another one whenever something else is spoken on them: a check that began before leaves no connection.
    epoch: u64,
}

impl Checks {
    /// From now on something else is spoken.
    fn begin(&mut self, epoch: u64) {
        self.kept.clear();
        self.epoch = epoch;
    }
}

/// A check that has ended.
struct Finished {
    cluster: Arc<str>,
    address: Address,
    result: Result<(), Reason>,
    kept: Option<Kept>,
    /// That of its cluster when it began.
    epoch: u64,
}

struct Owner {
    protocols: Arc<Protocols>,
    telemetry: WorkerTelemetry,
    checked: mpsc::UnboundedSender<Checked>,
    clusters: HashMap<Arc<str>, Checks>,
    /// Of the newest configuration.
    epoch: u64,
    probes: FuturesUnordered<Pin<Box<dyn Future<Output = Finished>>>>,
}

impl Owner {
    fn new(
        protocols: Arc<Protocols>,
        telemetry: WorkerTelemetry,
        checked: mpsc::UnboundedSender<Checked>,
    ) -> Self {
        Self {
            protocols,
            telemetry,
            checked,
            clusters: HashMap::new(),
            epoch: 0,
            probes: FuturesUnordered::new(),
        }
    }

    /// Until nobody is left who could change the configuration.
    async fn run(mut self, mut snapshots: mpsc::UnboundedReceiver<Arc<Snapshot>>) {
        loop {
            let deadlines = self.clusters.values();
            let deadline = deadlines.filter_map(|it| it.checker.deadline()).min();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                snapshot = snapshots.recv() => match snapshot {
                    Some(snapshot) => self.configure(&snapshot, Instant::now()),
                    None => return,
                },
                Some(finished) = self.probes.next() => self.take_all(finished),
                () = due => self.ask(Instant::now()),
            }
        }
    }

    fn configure(&mut self, snapshot: &Snapshot, now: Instant) {
        self.epoch += 1;
        let epoch = self.epoch;
        let mut before = std::mem::take(&mut self.clusters);
        for (name, cluster) in &snapshot.clusters {
            let Some(rule) = cluster.health_check.clone() else {
                continue;
            };
            let hosts = cluster.endpoints.hosts.iter();
            let hosts = hosts.map(|host| host.address.clone());
            let known = before.remove_entry(name.as_str());
            let Some((name, mut checks)) = known else {
                let name: Arc<str> = name.as_str().into();
                let protocol = self.protocol(&name, &rule);
                let checker = HealthChecker::new(rule, hosts, now, rand::random());
                let checks = Checks {
                    checker,
                    protocol,
                    tls: cluster.tls.clone(),
                    kept: HashMap::new(),
                    epoch,
                };
                self.clusters.insert(name, checks);
                continue;
            };
            if checks.checker.rule().protocol != rule.protocol {
                checks.protocol = self.protocol(&name, &rule);
                checks.begin(epoch);
            }
            if checks.tls.as_ref().map(Arc::as_ptr) != cluster.tls.as_ref().map(Arc::as_ptr) {
                checks.tls.clone_from(&cluster.tls);
                checks.begin(epoch);
            }
            checks.checker.update(rule, hosts, now);
            self.clusters.insert(name, checks);
        }
        let names: Vec<_> = self.clusters.keys().cloned().collect();
        for cluster in names.iter().chain(before.keys()) {
            self.publish(cluster);
        }
    }

    /// The protocol as the check wants it; none where that cannot be had.
    fn protocol(&self, cluster: &str, rule: &HealthCheck) -> Option<Arc<dyn Protocol>> {
        let check = rule.protocol.as_ref()?;
        let Some(protocol) = self.protocols.find(&check.id) else {
            warn!(
                cluster,
                protocol = check.id,
                "no such protocol: only connections are checked"
            );
            return None;
        };
        let pairs = check.settings.iter();
        let pairs: Vec<_> = pairs
            .map(|it| (it.name.as_str(), it.value.as_str()))
            .collect();
        if pairs.is_empty() {
            return Some(Arc::clone(protocol));
        }
        match protocol.configure(&pairs) {
            Ok(protocol) => Some(protocol),
            Err(error) => {
                warn!(cluster, %error, "the protocol cannot be configured so: only connections are checked");
                None
            }
        }
    }

    /// Begins the checks that are due.
    fn ask(&mut self, now: Instant) {
        for (cluster, checks) in &mut self.clusters {
            for address in checks.checker.due(now) {
                self.telemetry.cluster(cluster).health_check_began();
                let probe = Probe {
                    protocol: checks.protocol.clone(),
                    tls: checks.tls.clone(),
                    timeout: checks.checker.rule().timeout,
                    kept: checks.kept.remove(&address),
                };
                let (cluster, epoch) = (Arc::clone(cluster), checks.epoch);
                self.probes.push(Box::pin(async move {
                    let (result, kept) = probe.run(&address).await;
                    Finished {
                        cluster,
                        address,
                        result,
                        kept,
                        epoch,
                    }
                }));
            }
        }
    }

    /// Takes in this one and all others that have ended: who is left out is told once for all.
    fn take_all(&mut self, first: Finished) {
        let mut changed = HashSet::new();
        let mut finished = Some(first);
        while let Some(next) = finished {
            changed.extend(self.take(next, Instant::now()));
            finished = self.probes.next().now_or_never().flatten();
        }
        for cluster in &changed {
            self.publish(cluster);
        }
    }

    /// Gives the cluster where another of its endpoints is left out now.
    fn take(&mut self, finished: Finished, now: Instant) -> Option<Arc<str>> {
        let Finished {
            cluster,
            address,
            result,
            kept,
            epoch,
        } = finished;
        let checks = self.clusters.get_mut(&cluster)?;
        self.telemetry
            .cluster(&cluster)
            .health_check_ended(result.is_ok());
        if let Err(reason) = &result {
            debug!(cluster = &*cluster, %address, %reason, "health check failed");
        }
        let verdict = result
            .as_ref()
            .map_or_else(Reason::verdict, |()| Verdict::Passed);
        let change = checks.checker.take(&address, verdict, now);
        if let Some(kept) = kept.filter(|_| epoch == checks.epoch) {
            checks.kept.insert(address.clone(), kept);
        }
        let passed = verdict == Verdict::Passed && checks.checker.is_healthy(&address);
        match (change, &result) {
            (Some(Change::Unhealthy), Err(reason)) => {
                warn!(cluster = &*cluster, %address, %reason, "endpoint fails its health check");
            }
            (Some(Change::Healthy), _) => {
                info!(cluster = &*cluster, %address, "endpoint passes its health check");
            }
            _ => {}
        }
        if passed {
            let cluster = Arc::clone(&cluster);
            self.tell(Checked::Passed { cluster, address });
        }
        change.map(|_| cluster)
    }

    fn publish(&self, cluster: &Arc<str>) {
        let checks = self.clusters.get(cluster);
        let metrics = self.telemetry.cluster(cluster);
        metrics.healthy_endpoints(checks.map_or(0, |it| it.checker.healthy() as u64));
        let endpoints = checks.into_iter().flat_map(|it| it.checker.unhealthy());
        self.tell(Checked::Unhealthy {
            cluster: Arc::clone(cluster),
            endpoints: endpoints.cloned().collect(),
        });
    }

    fn tell(&self, checked: Checked) {
        // Without the owner of the overlay the proxy is ending.
        let _ = self.checked.send(checked);
    }
}
