//! The pipeline on a cluster: what its API server tells becomes what is served.

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::info;

use super::pipeline::{Arrival, Arrived, Followed};
use super::{Event, Pipeline, Queue};
use crate::ads::{Clients, Progress, Published, Read, Rejection};
use crate::aside::aside;
use crate::check::Report;
use crate::index::Index;
use crate::leader::{Leadership, LeaseName};
use crate::manifest::Kind;
use crate::model::{REFERRING, references};
use crate::schema::Settings;
use crate::source::kubernetes::{
    self, Change, Contacts, KINDS, Reached, Secrets, Surroundings, Taken, announce,
};
use crate::status::{About, Leases, Ledger, Mark, Replica, Writer};
use crate::waypoint::{self, WaypointSettings};

/// After so long without a further change what is known is published, and after the second time whatever comes: no stream of
/// changes keeps an earlier one waiting.
const QUIET: Duration = Duration::from_millis(5);
const BUSY: Duration = Duration::from_millis(25);

/// Where nothing but endpoints changed, all objects are looked at again after so long without a change, or after the second
/// time: what is wrong with endpoints is found then.
const FINDINGS_QUIET: Duration = Duration::from_secs(1);
const FINDINGS_BUSY: Duration = Duration::from_secs(10);

/// What comes soon after a change is published with it.
struct Gathering {
    last: Instant,
}

impl Gathering {
    fn begins(now: Instant) -> Self {
        Self { last: now + BUSY }
    }

    /// Until when another change is waited for; none: what there is has to be published.
    fn waits(&self, now: Instant) -> Option<Instant> {
        (now < self.last).then(|| (now + QUIET).min(self.last))
    }
}

/// A long way, beside all else.
type UnderWay = Pin<Box<dyn Future<Output = (Arrival, Mark)> + Send>>;

/// What the definitions lack that are installed; a clone tells the same.
#[derive(Clone, Debug)]
pub struct Definitions(watch::Receiver<Option<Surroundings>>);

impl Definitions {
    /// Those that lack something, with how much.
    #[must_use]
    pub fn outdated(&self) -> Vec<(String, usize)> {
        let seen = self.0.borrow();
        let outdated = seen.iter().flat_map(|seen| &seen.outdated);
        let outdated = outdated.map(|it| (it.name.clone(), it.lacking.len()));
        outdated.collect()
    }
}

/// Objects of an API server in, resources out.
pub struct KubernetesController {
    pipeline: Pipeline,
    changes: mpsc::Receiver<Change>,
    contacts: Contacts,
    /// What the index holds was read so far; and what is published.
    read: Read,
    progress: Progress,
    /// Kinds of which not everything was heard yet.
    unheard: BTreeSet<Kind>,
    secrets: Secrets,
    queue: Queue,
    /// None: not looked at yet.
    surroundings: watch::Sender<Option<Surroundings>>,
    /// Whether something changed that may name other Secrets.
    may_refer: bool,
    is_first: bool,
    /// Whether the index holds something else than what was published.
    is_changed: bool,
    /// Whether the long way is to be gone for something that was heard.
    is_long_due: bool,
    /// What was read when a long way began that has not ended: of what came since not all is published.
    departed: Option<Read>,
    /// When findings are looked for, where that was put off; and when at the latest.
    findings_due: Option<(Instant, Instant)>,
    ledger: Ledger,
    client: Client,
}

impl KubernetesController {
    /// Begins to watch. With a kubeconfig as its current context says, without one as a pod does.
    ///
    /// # Errors
    /// When the configuration cannot be read, or is none. That nobody answers is no error: it may be so for a while.
    pub async fn watch(kubeconfig: Option<&Path>, mut settings: Settings) -> anyhow::Result<Self> {
        settings.gateways_apart = true;
        let client = kubernetes::client(kubeconfig, None).await?;
        let (contacts, progress) = (Contacts::default(), Progress::default());
        let (changes, secrets) = kubernetes::watch(&client, &settings, (&contacts, &progress));
        let mut pipeline = Pipeline::new(settings);
        pipeline.index = Index::one_by_one();
        Ok(Self {
            changes,
            secrets,
            queue: Queue::default(),
            surroundings: watch::Sender::new(None),
            may_refer: false,
            is_first: true,
            contacts,
            read: Read::default(),
            progress,
            pipeline,
            unheard: KINDS.iter().copied().collect(),
            is_changed: false,
            is_long_due: false,
            departed: None,
            findings_due: None,
            ledger: Ledger::default(),
            client,
        })
    }

    /// Writes the status of objects while it leads: also what the `clients` of its server, and those of its other replicas,
    /// have made of them. What its own have made of them it tells the replica that leads. While it leads it keeps the
    /// GatewayClasses, too, and with settings for them the waypoints.
    pub fn write_status(
        &self,
        clients: &Clients,
        leadership: Leadership,
        (lease, about): (&LeaseName, About),
        waypoint: Option<WaypointSettings>,
    ) -> Replica {
        let heard = || (self.ledger.clone(), clients.clone());
        let leases = Leases::beside(self.client.clone(), lease, about);
        let replica = Replica::telling(leases.clone(), heard());
        let seen = self.surroundings.subscribe();
        tokio::spawn(announce(self.client.clone(), leadership.clone(), seen));
        let client = (self.client.clone(), self.pipeline.settings.manager());
        let writer = Writer::new(client.clone(), heard(), leadership.clone(), leases);
        let Settings {
            revision,
            leads_sidecars,
            ..
        } = self.pipeline.settings.clone();
        let asked = (revision, waypoint, leads_sidecars);
        let keeper = waypoint::Keeper::new(client, asked, leadership, writer.gateways());
        tokio::spawn(keeper.run());
        tokio::spawn(writer.run());
        replica
    }

    /// How long ago the API server was last heard, also while [`Self::run`] runs.
    #[must_use]
    pub fn contacts(&self) -> Contacts {
        self.contacts.clone()
    }

    /// How far what is published was read, also while [`Self::run`] runs.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// How long changes have waited, also while [`Self::run`] runs.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// How many fields or values each definition lacks that is not ours, as it is seen.
    #[must_use]
    pub fn definitions(&self) -> Definitions {
        Definitions(self.surroundings.subscribe())
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
        // What is gone beside all else.
        let mut under_way: Option<UnderWay> = None;
        loop {
            if under_way.is_none() && self.is_long_due {
                under_way = Some(self.set_out());
            }
            let due = self.long_way_due().filter(|_| under_way.is_none());
            let event = tokio::select! {
                due = self.tick() => {
                    let Some(()) = due else { return };
                    (self.is_changed, self.is_first) = (false, false);
                    match self.pipeline.follow() {
                        Some(followed) if under_way.is_none() => {
                            if followed.has_routers {
                                self.ledger.resolve(self.pipeline.judged());
                            }
                            self.queue.is_published();
                            self.publish_followed(followed, &resources);
                            self.progress.is(&self.read);
                        }
                        // Of what it is under way for nothing is to be said yet.
                        Some(followed) => self.publish_followed(followed, &resources),
                        None => self.is_long_due = true,
                    }
                    continue;
                }
                () = at(due) => {
                    self.is_long_due = true;
                    continue;
                }
                (arrival, mark) = of(&mut under_way) => {
                    under_way = None;
                    let Some(report) = self.arrive(arrival, mark, &resources) else { continue };
                    Event::Changed(report)
                }
                Some(rejection) = rejections.recv() => {
                    Event::Rejected(self.pipeline.rejected(&rejection))
                }
                () = resources.closed() => return,
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
    }

    /// When the long way is to be gone although nothing was heard.
    fn long_way_due(&self) -> Option<Instant> {
        let findings = self.findings_due.map(|(due, _)| due);
        let leaving = self.pipeline.due().map(Instant::from_std);
        findings.into_iter().chain(leaving).min()
    }

    fn set_out(&mut self) -> UnderWay {
        self.is_long_due = false;
        self.departed = Some(self.read.clone());
        let now = Instant::now();
        let looks_again = self.findings_due.is_some_and(|(due, _)| due <= now);
        if looks_again {
            self.findings_due = None;
        }
        let journey = self.pipeline.set_out(now.into_std(), looks_again);
        let mark = self.ledger.mark();
        Box::pin(aside(move || (journey.go(), mark)))
    }

    /// Publishes where a long way has led, with what was heard meanwhile. None: that is not to be published.
    fn arrive(
        &mut self,
        arrival: Arrival,
        mark: Mark,
        resources: &watch::Sender<Option<Arc<Published>>>,
    ) -> Option<Report> {
        let departed = self.departed.take();
        let (update, read) = match self.pipeline.arrive(arrival) {
            Arrived::AtThePresent {
                update,
                is_to_be_told,
            } => {
                if is_to_be_told {
                    self.put_off_findings();
                }
                self.is_changed = false;
                self.ledger.resolve(self.pipeline.judged());
                self.queue.is_published();
                (update, Some(self.read.clone()))
            }
            Arrived::InThePast(update) => {
                self.is_long_due = true;
                self.ledger.resolve_until(mark, self.pipeline.judged());
                (update, departed)
            }
            Arrived::Behind => {
                self.is_long_due = true;
                return None;
            }
        };
        resources.send_replace(Some(update.resources));
        read.iter().for_each(|read| self.progress.is(read));
        Some(update.report)
    }

    fn publish_followed(
        &mut self,
        followed: Followed,
        resources: &watch::Sender<Option<Arc<Published>>>,
    ) {
        resources.send_replace(Some(followed.published));
        if followed.is_to_be_told {
            self.put_off_findings();
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
            if self.unheard.is_empty() {
                self.refer();
            }
            // What changes nothing is as good as published.
            let is_behind = self.is_long_due || self.departed.is_some();
            if !self.is_changed && !self.is_first && !is_behind {
                self.progress.is(&self.read);
            }
        }
        let gathering = Gathering::begins(Instant::now());
        while let Some(until) = gathering.waits(Instant::now()) {
            match timeout_at(until, self.changes.recv()).await {
                Ok(change) => self.take(change?),
                Err(_) => break,
            }
        }
        self.refer();
        Some(())
    }

    fn is_due(&self) -> bool {
        let is_heard = self.unheard.is_empty() && self.surroundings.borrow().is_some();
        let is_known = is_heard && (!self.is_first || self.secrets.are_heard());
        self.is_changed && is_known
    }

    /// Reads the Secrets that objects name by now, whether these are in force or not.
    fn refer(&mut self) {
        if !std::mem::take(&mut self.may_refer) {
            return;
        }
        let index = &mut self.pipeline.index;
        let named = index
            .known()
            .flat_map(|object| references(object))
            .collect();
        for left in self.secrets.read(&named) {
            self.is_changed |= index.remove(&left);
        }
        self.stand_in();
    }

    /// What cannot be read has to be told from what is not there.
    fn stand_in(&mut self) {
        for unread in self.secrets.out_of_reach() {
            self.is_changed |= self.pipeline.index.put(unread);
        }
    }

    fn take(&mut self, change: Change) {
        let index = &mut self.pipeline.index;
        self.may_refer |= change.kind().is_some_and(|kind| REFERRING.contains(&kind));
        self.is_changed |= match change {
            Change::Applied(decoded, record) => {
                let is_new = index.put(*decoded);
                record
                    .into_iter()
                    .for_each(|it| self.ledger.put(*it, is_new));
                is_new
            }
            Change::Deleted(id) => {
                self.ledger.remove(&id);
                index.remove(&id)
            }
            Change::Listed(kind, listed, records) => {
                let is_new = index.replace(kind, listed);
                self.ledger.replace(kind, records, is_new);
                is_new | self.heard(kind)
            }
            Change::Unknown(kind) => self.heard(kind),
            Change::Read(kind, Reached::List { highest, began }) => {
                self.read.listed(kind, highest, began);
                false
            }
            Change::Read(kind, Reached::Version(version)) => {
                self.read.changed(kind, version);
                false
            }
            Change::Surroundings(seen) => {
                let is_new = self.pipeline.stand_beside_aeraki(seen.aeraki.is_some());
                self.surroundings.send_replace(Some(seen)).is_none() || is_new
            }
            Change::Secret(id, reading) => {
                let is_new = match self.secrets.take(&id, reading) {
                    Taken::Is(secret) => index.put(*secret),
                    Taken::Goes => index.remove(&id),
                    Taken::Stays => false,
                };
                self.stand_in();
                is_new
            }
        };
        if self.is_changed {
            self.queue.waits();
        }
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
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Never, where there is none.
async fn of(under_way: &mut Option<UnderWay>) -> (Arrival, Mark) {
    match under_way {
        Some(under_way) => under_way.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long is waited where changes come at these times, in milliseconds after the first.
    fn gathered(changes: &[u64]) -> Duration {
        let start = Instant::now();
        let (gathering, mut now) = (Gathering::begins(start), start);
        let mut changes = changes.iter().map(|at| start + Duration::from_millis(*at));
        while let Some(until) = gathering.waits(now) {
            match changes.next().filter(|next| *next <= until) {
                Some(next) => now = next,
                None => return until - start,
            }
        }
        now - start
    }

    #[test]
    fn no_stream_of_changes_keeps_one_waiting() {
        let millis = Duration::from_millis;
        let steady: Vec<_> = (1..100).map(|n| n * 4).collect();
        for (changes, expected) in [
            (&[][..], QUIET),
            (&[3], millis(8)),
            (&[3, 9], millis(8)),
            (&steady, BUSY),
        ] {
            assert_eq!(gathered(changes), expected, "{changes:?}");
        }
    }
}
