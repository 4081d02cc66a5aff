//! The election over a Lease of an API server.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info, warn};

use super::Leadership;
use super::election::{Answer, Ask, Claim, Election, Holding};

/// As that of Kubernetes' own controllers.
const DURATION: Duration = Duration::from_secs(15);
/// Of a Lease that says nothing of use.
const LONGEST: Duration = Duration::from_mins(5);
/// How long the end of the process waits for the Lease to be given back.
const RESIGNATION: Duration = Duration::from_secs(2);

const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// Where it is.
#[derive(Clone, Debug)]
pub struct LeaseName {
    pub namespace: String,
    pub name: String,
}

/// One of those who may lead; it ends when it is dropped.
#[derive(Debug)]
pub struct Candidate {
    leadership: Leadership,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Candidate {
    /// Begins to stand for election.
    #[must_use]
    pub fn stand(client: Client, lease: &LeaseName) -> Self {
        let (until, told) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let identity = identity();
        info!(
            identity,
            namespace = lease.namespace,
            name = lease.name,
            "a candidate for the Lease"
        );
        let driver = Driver {
            api: Api::namespaced(client, &lease.namespace),
            lease: lease.clone(),
            election: Election::new(identity, DURATION, Instant::now()),
            acquired: Timestamp::now(),
            until,
            said: String::new(),
        };
        Self {
            leadership: Leadership { until: told },
            stop: Some(stop),
            task: tokio::spawn(driver.run(stopped)),
        }
    }

    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Gives the Lease back where it holds it, so that another one leads at once. It is not waited for long.
    pub async fn resign(mut self) {
        drop(self.stop.take());
        if timeout(RESIGNATION, &mut self.task).await.is_err() {
            debug!("the Lease is not given back in time");
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Driver {
    api: Api<Lease>,
    lease: LeaseName,
    election: Election,
    /// When this holder became it, for people.
    acquired: Timestamp,
    until: watch::Sender<Option<Instant>>,
    /// The last complaint: of a server that is down it is said once.
    said: String,
}

impl Driver {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                () = sleep_until(self.election.due().into()) => {}
                _ = &mut stopped => return self.resign().await,
            }
            let asked = Instant::now();
            let ask = self.election.ask(asked);
            let answer = tokio::select! {
                answer = timeout(self.election.patience(), self.put(&ask)) => answer,
                // What was asked may still become true; then it runs out.
                _ = &mut stopped => return self.resign().await,
            };
            let answer = match answer {
                Ok(Ok(answer)) => self.accept(answer),
                Ok(Err(error)) => self.complain(&error.to_string()),
                Err(_) => self.complain("no answer in time"),
            };
            self.election.answered(&ask, answer, asked, Instant::now());
            self.publish();
        }
    }

    fn publish(&self) {
        let until = self.election.leads_until();
        let earlier = self.until.send_replace(until);
        match (earlier, until) {
            (None, Some(_)) => info!("this process leads: it writes status"),
            (Some(_), None) => info!("this process does not lead any more"),
            _ => {}
        }
    }

    async fn resign(mut self) {
        let claim = self.election.resign();
        self.publish();
        if let Some(claim) = claim {
            match self.put(&Ask::Write(claim)).await {
                Ok(_) => info!("the Lease is given back"),
                Err(error) => debug!(%error, "the Lease is not given back"),
            }
        }
    }

    fn accept(&mut self, answer: Answer) -> Answer {
        self.said.clear();
        answer
    }

    fn complain(&mut self, error: &str) -> Answer {
        if self.said != error {
            let LeaseName { namespace, name } = &self.lease;
            warn!(
                namespace,
                name, error, "the Lease cannot be asked for: nobody here writes status"
            );
            error.clone_into(&mut self.said);
        }
        Answer::Failed
    }

    async fn put(&mut self, ask: &Ask) -> kube::Result<Answer> {
        let answer = match ask {
            Ask::Read => self.api.get(&self.lease.name).await.map(|lease| {
                let version = lease.metadata.resource_version.clone().unwrap_or_default();
                Answer::Found(holding(lease.spec.unwrap_or_default()), version)
            }),
            Ask::Write(claim) => {
                let lease = self.written(claim);
                let params = PostParams::default();
                let written = match &claim.over {
                    None => self.api.create(&params, &lease).await,
                    Some(_) => self.api.replace(&self.lease.name, &params, &lease).await,
                };
                let version = |lease: Lease| lease.metadata.resource_version.unwrap_or_default();
                written.map(|lease| Answer::Written(version(lease)))
            }
        };
        match answer {
            // A namespace that is not there is told like a Lease that is not: it cannot be made then.
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND && !ask.makes() => {
                Ok(Answer::Absent)
            }
            Err(kube::Error::Api(status)) if status.code == CONFLICT => Ok(Answer::Conflict),
            other => other,
        }
    }

    fn written(&mut self, claim: &Claim) -> Lease {
        let now = Timestamp::now();
        if claim.is_new {
            self.acquired = now;
        }
        let seconds = i32::try_from(claim.holding.duration.as_secs()).unwrap_or(i32::MAX);
        Lease {
            metadata: ObjectMeta {
                name: Some(self.lease.name.clone()),
                namespace: Some(self.lease.namespace.clone()),
                resource_version: claim.over.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(claim.holding.holder.clone()),
                lease_duration_seconds: Some(seconds),
                lease_transitions: Some(claim.holding.transitions),
                acquire_time: Some(MicroTime(self.acquired)),
                renew_time: Some(MicroTime(now)),
                ..LeaseSpec::default()
            }),
        }
    }
}

impl Ask {
    /// Whether it makes a Lease where there is none.
    fn makes(&self) -> bool {
        matches!(self, Self::Write(claim) if claim.over.is_none())
    }
}

fn holding(spec: LeaseSpec) -> Holding {
    let seconds = spec
        .lease_duration_seconds
        .and_then(|it| u64::try_from(it).ok());
    let duration = seconds.map_or(DURATION, Duration::from_secs);
    Holding {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: duration.clamp(Duration::from_secs(1), LONGEST),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}

/// Of this process and of no other: in a pod its host is called like the pod.
pub(crate) fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let began = Timestamp::now().as_nanosecond();
    format!("{}_{}_{began:x}", host.trim(), std::process::id())
}
