//! The Leases of replicas on an API server: one's own, and those of the others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::digest::{Digest, Encoded};
use super::roll::{Heard, Live, Roll, Says};
use super::share::{Due, Share};
use crate::ads::Clients;
use crate::aside::aside;
use crate::leader::{LeaseName, identity};
use crate::status::ledger::Ledger;

/// As that of the Lease of who leads.
const DURATION: Duration = Duration::from_secs(15);
/// Of a Lease that says nothing of use.
const LONGEST: Duration = Duration::from_mins(5);
/// Between two looks at what is due, each of which asks every proxy: what changes meanwhile is told together.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two lists of the leader.
const INTERVAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(4);
/// How long the end of the process waits for its Lease to go.
const LEAVING: Duration = Duration::from_secs(2);

/// A label that says whose replica it is: the name of the Lease that they stand for.
pub(crate) const REPLICA_OF: &str = "meltemi.io/replica-of";
/// Kubernetes' bound of a label's value.
const LONGEST_LABEL: usize = 63;
/// Annotations that say where its pages are.
pub(crate) const HOST: &str = "meltemi.io/host";
pub(crate) const ADMIN: &str = "meltemi.io/admin";
const ANSWERS: &str = "meltemi.io/answers";
const REASONS: &str = "meltemi.io/reasons";
const MISMATCHES: &str = "meltemi.io/mismatches";

const NOT_FOUND: u16 = 404;

/// Where the Leases of replicas are. A clone is of the same replica.
#[derive(Clone)]
pub(crate) struct Leases {
    api: Api<Lease>,
    namespace: String,
    label: String,
    /// The name of one's own.
    own: String,
    about: About,
}

/// Where a replica's pages are.
#[derive(Clone, Debug)]
pub struct About {
    /// What its pod, or its machine, is called.
    pub host: String,
    /// There.
    pub admin: SocketAddr,
}

impl Leases {
    /// Beside the Lease that they stand for.
    pub(crate) fn beside(client: Client, lease: &LeaseName, about: About) -> Self {
        let of_process = identity().to_lowercase().replace(
            |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.'),
            "-",
        );
        Self {
            api: Api::namespaced(client, &lease.namespace),
            namespace: lease.namespace.clone(),
            label: label(&lease.name),
            own: format!("{}.{of_process}", lease.name),
            about,
        }
    }

    /// Hears of the others until what is returned is dropped.
    pub(in crate::status) fn listen(&self) -> Listening {
        let (live, told) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(self.clone().hear(live));
        Listening {
            live: told,
            _task: task,
        }
    }

    async fn hear(self, live: watch::Sender<Option<Live>>) {
        let mut roll = Roll::new(&self.own);
        let mut said = String::new();
        loop {
            match timeout(PATIENCE, self.list()).await {
                Ok(Ok(list)) => {
                    said.clear();
                    roll.heard(list, Instant::now());
                    live.send_if_modified(|told| {
                        let now = Some(roll.live());
                        let is_new = *told != now;
                        *told = now;
                        is_new
                    });
                    for name in roll.removable() {
                        self.remove(name).await;
                    }
                }
                Ok(Err(error)) => self.complain(&mut said, &error.to_string()),
                Err(_) => self.complain(&mut said, "no answer in time"),
            }
            sleep(INTERVAL).await;
        }
    }

    /// Once, for as long as it is the same.
    fn complain(&self, said: &mut String, error: &str) {
        if said != error {
            warn!(
                namespace = self.namespace,
                error,
                "the Leases of replicas cannot be listed: what proxies have taken is not told in status until they can"
            );
            error.clone_into(said);
        }
    }

    async fn list(&self) -> kube::Result<Vec<Heard>> {
        let params = ListParams::default().labels(&format!("{REPLICA_OF}={}", self.label));
        let list = self.api.list(&params.match_any()).await?;
        Ok(list.items.into_iter().filter_map(heard).collect())
    }

    async fn remove(&self, name: &str) {
        match self.api.delete(name, &DeleteParams::default()).await {
            Ok(_) => info!(name, "the Lease of a replica that is long gone is removed"),
            Err(error) => debug!(name, %error, "the Lease of a replica is not removed"),
        }
    }

    async fn write(&self, due: &Due) -> kube::Result<()> {
        let renewal = json!({"renewTime": MicroTime(Timestamp::now())});
        let patch = match due {
            Due::Renewal => json!({ "spec": renewal }),
            Due::Digest(digest) => {
                json!({ "metadata": {"annotations": self.annotations(digest.as_ref())}, "spec": renewal })
            }
        };
        let params = PatchParams::default();
        match self
            .api
            .patch(&self.own, &params, &Patch::Merge(&patch))
            .await
        {
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => {
                let Due::Digest(digest) = due else {
                    // What it says is written with the next.
                    return Err(kube::Error::Api(status));
                };
                let lease = self.made(digest.as_ref());
                self.api.create(&PostParams::default(), &lease).await
            }
            other => other,
        }
        .map(drop)
    }

    fn annotations(&self, digest: Option<&Digest>) -> BTreeMap<String, String> {
        let About { host, admin } = &self.about;
        let encoded = digest.map(Digest::encode).into_iter();
        encoded
            .flat_map(|it| {
                [
                    (ANSWERS, it.answers),
                    (REASONS, it.reasons),
                    (MISMATCHES, it.mismatches),
                ]
            })
            .chain([(HOST, host.clone()), (ADMIN, admin.to_string())])
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn made(&self, digest: Option<&Digest>) -> Lease {
        let now = MicroTime(Timestamp::now());
        Lease {
            metadata: ObjectMeta {
                name: Some(self.own.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some([(REPLICA_OF.to_owned(), self.label.clone())].into()),
                annotations: Some(self.annotations(digest)),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.own.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        }
    }
}

pub(crate) fn label(lease: &str) -> String {
    let cut = lease.get(..LONGEST_LABEL).unwrap_or(lease);
    cut.trim_end_matches(['-', '.']).to_owned()
}

fn heard(lease: Lease) -> Option<Heard> {
    let mut annotations = lease.metadata.annotations.unwrap_or_default();
    let says = match annotations.remove(ANSWERS) {
        None => Says::Nothing,
        Some(answers) => {
            let mut said = |name| annotations.remove(name).unwrap_or_default();
            let digest = Digest::decode(&Encoded {
                answers,
                reasons: said(REASONS),
                mismatches: said(MISMATCHES),
            });
            digest.map_or(Says::Unreadable, |digest| Says::Digest(Arc::new(digest)))
        }
    };
    let seconds = lease.spec?.lease_duration_seconds;
    let seconds = seconds.and_then(|it| u64::try_from(it).ok());
    let duration = seconds.map_or(DURATION, Duration::from_secs);
    Some(Heard {
        name: lease.metadata.name?,
        version: lease.metadata.resource_version?,
        duration: duration.clamp(Duration::from_secs(1), LONGEST),
        says,
    })
}

/// The others, as far as they are heard.
pub(in crate::status) struct Listening {
    live: watch::Receiver<Option<Live>>,
    _task: JoinSet<()>,
}

impl Listening {
    /// What is new.
    pub(in crate::status) fn news(&mut self) -> Option<Live> {
        match self.live.has_changed() {
            Ok(true) => self.live.borrow_and_update().clone(),
            _ => None,
        }
    }

    pub(in crate::status) async fn changed(&mut self) {
        if self.live.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        // It is still to be looked at.
        self.live.mark_changed();
    }
}

/// This replica, which tells the others what its proxies say.
#[derive(Debug)]
pub struct Replica {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Replica {
    pub(crate) fn telling(leases: Leases, heard: (Ledger, Clients)) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self {
            stop,
            task: tokio::spawn(tell(leases, heard, stopped)),
        }
    }

    /// It serves nobody any more, which the others know at once. It is not waited for long.
    pub async fn leave(self) {
        drop(self.stop);
        if timeout(LEAVING, self.task).await.is_err() {
            debug!("the Lease of this replica is not removed in time");
        }
    }
}

async fn tell(
    leases: Leases,
    (ledger, clients): (Ledger, Clients),
    mut stopped: oneshot::Receiver<()>,
) {
    let mut share = Share::new(Instant::now());
    let (mut heard, mut answered) = (ledger.changes(), clients.changes());
    let mut said = String::new();
    loop {
        heard.borrow_and_update();
        answered.borrow_and_update();
        let heard_by_now = (ledger.clone(), clients.clone());
        let looked = aside(move || {
            let due = share.turn(&heard_by_now.0, &heard_by_now.1, Instant::now());
            (share, due)
        });
        let due;
        (share, due) = looked.await;
        let wakes = match due {
            Ok(due) => {
                match timeout(PATIENCE, leases.write(&due)).await {
                    Ok(Ok(())) => {
                        said.clear();
                        share.wrote(due, Instant::now());
                    }
                    Ok(Err(error)) => fail(&mut share, &mut said, &error.to_string()),
                    Err(_) => fail(&mut share, &mut said, "no answer in time"),
                }
                Instant::now()
            }
            Err(wakes) => wakes,
        };
        tokio::select! {
            () = sleep_until(wakes.into()) => {}
            _ = heard.changed() => {}
            _ = answered.changed() => {}
            _ = &mut stopped => break,
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            _ = &mut stopped => break,
        }
    }
    leases.remove(&leases.own).await;
}

fn fail(share: &mut Share, said: &mut String, error: &str) {
    share.failed(Instant::now());
    if said != error {
        warn!(
            error,
            "the Lease of this replica cannot be written: the leader does not know what its proxies say"
        );
        error.clone_into(said);
    }
}
