//! The pipeline on a cluster: what its API server tells becomes what is served.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::info;

use super::{Event, Pipeline};
use crate::ads::{Published, Rejection};
use crate::manifest::Kind;
use crate::schema::Settings;
use crate::source::kubernetes::{self, Change, KINDS};

/// After so long without a further change what is known is published, and after the second time whatever comes: no stream of
/// changes keeps an earlier one waiting.
const QUIET: Duration = Duration::from_millis(5);
const BUSY: Duration = Duration::from_millis(25);

/// Where nothing but endpoints changed, all objects are looked at again after so long without a change, or after the second
/// time: what is wrong with endpoints is found then.
const FINDINGS_QUIET: Duration = Duration::from_secs(1);
const FINDINGS_BUSY: Duration = Duration::from_secs(10);

/// Objects of an API server in, resources out.
pub struct KubernetesController {
    pipeline: Pipeline,
    changes: mpsc::Receiver<Change>,
    /// Kinds of which not everything was heard yet.
    unheard: BTreeSet<Kind>,
    /// Whether the index holds something else than what was published.
    is_changed: bool,
    /// When findings are looked for, where that was put off; and when at the latest.
    findings_due: Option<(Instant, Instant)>,
}

impl KubernetesController {
    /// Begins to watch. With a kubeconfig as its current context says, without one as a pod does.
    ///
    /// # Errors
    /// When the configuration cannot be read, or is none. That nobody answers is no error: it may be so for a while.
    pub async fn watch(kubeconfig: Option<&Path>, mut settings: Settings) -> anyhow::Result<Self> {
        settings.gateways_apart = true;
        let config = match kubeconfig {
            Some(path) => {
                let read = Kubeconfig::read_from(path);
                let read = read.with_context(|| format!("cannot read {}", path.display()))?;
                let options = KubeConfigOptions::default();
                let config = Config::from_custom_kubeconfig(read, &options).await;
                config.with_context(|| format!("{} leads nowhere", path.display()))?
            }
            None => Config::incluster().context("this is no pod: name a kubeconfig")?,
        };
        let client = Client::try_from(config).context("no client of the API server")?;
        Ok(Self {
            changes: kubernetes::watch(&client, &settings),
            pipeline: Pipeline::new(settings),
            unheard: KINDS.iter().copied().collect(),
            is_changed: false,
            findings_due: None,
        })
    }

    /// Publishes what there is once all of it is known, and then each change, until nobody listens any more.
    ///
    /// The channel of `resources` is that of [`crate::ads::Server`].
    pub async fn run(
        mut self,
        resources: watch::Sender<Option<Arc<Published>>>,
        mut rejections: mpsc::Receiver<Rejection>,
        events: mpsc::Sender<Event>,
    ) {
        loop {
            let findings_due = self.findings_due;
            tokio::select! {
                due = self.tick() => {
                    let Some(()) = due else { return };
                    self.is_changed = false;
                    if let Some(published) = self.pipeline.follow() {
                        resources.send_replace(Some(published));
                        self.put_off_findings();
                        continue;
                    }
                    let update = self.pipeline.apply();
                    resources.send_replace(Some(update.resources));
                    if events.send(Event::Changed(update.report)).await.is_err() {
                        return;
                    }
                }
                () = at(findings_due) => {
                    self.findings_due = None;
                    let update = self.pipeline.look_again();
                    resources.send_replace(Some(update.resources));
                    if events.send(Event::Changed(update.report)).await.is_err() {
                        return;
                    }
                }
                Some(rejection) = rejections.recv() => {
                    let rejected = Event::Rejected(self.pipeline.rejected(&rejection));
                    if events.send(rejected).await.is_err() {
                        return;
                    }
                }
                () = resources.closed() => return,
            }
        }
    }

    fn put_off_findings(&mut self) {
        let now = Instant::now();
        let last = self
            .findings_due
            .map_or(now + FINDINGS_BUSY, |(_, last)| last);
        self.findings_due = Some((last.min(now + FINDINGS_QUIET), last));
    }

    /// Takes over what is heard until there is something to publish, and what comes with it; none: there will be nothing
    /// more. What it has taken over stays so where it is dropped.
    async fn tick(&mut self) -> Option<()> {
        while !self.is_due() {
            let change = self.changes.recv().await?;
            self.take(change);
        }
        let last = Instant::now() + BUSY;
        while Instant::now() < last {
            let quiet = (Instant::now() + QUIET).min(last);
            match timeout_at(quiet, self.changes.recv()).await {
                Ok(change) => self.take(change?),
                Err(_) => break,
            }
        }
        Some(())
    }

    fn is_due(&self) -> bool {
        self.is_changed && self.unheard.is_empty()
    }

    fn take(&mut self, change: Change) {
        let index = &mut self.pipeline.index;
        self.is_changed |= match change {
            Change::Applied(decoded) => index.put(*decoded),
            Change::Deleted(id) => index.remove(&id),
            Change::Listed(kind, listed) => index.replace(kind, listed) | self.heard(kind),
            Change::Unknown(kind) => self.heard(kind),
        };
    }

    /// Whether with this everything is known, for the first time.
    fn heard(&mut self, kind: Kind) -> bool {
        let is_last = self.unheard.remove(&kind) && self.unheard.is_empty();
        if is_last {
            info!("all kinds are known");
        }
        is_last
    }
}

/// Never, where there is no time.
async fn at(due: Option<(Instant, Instant)>) {
    match due {
        Some((due, _)) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
