//! The one owner of names: it resolves those of the configuration, and hands on the configuration with
//! the addresses that they have.
//!
//! It stands between the configuration stream and all who use a configuration, so that other addresses
//! are an update like any other. What has no names passes as it is.

mod resolver;

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

pub(crate) use self::resolver::Resolver;
use crate::config::{Discovery, Snapshot};
use crate::dns::{Found, Known, Names, Question, Resolved, Taken, Update, questions, questions_of};
use crate::telemetry::{ClusterMetrics, WorkerTelemetry};

/// Lookups under way.
const LOOKUPS: usize = 64;
/// A configuration with names of which nothing is known yet waits for them this long; Envoy's clusters
/// are warm after the first lookup, which takes this long at most.
const WARMING: Duration = Duration::from_secs(5);
/// Answers that come within this time are one update.
const SETTLE: Duration = Duration::from_millis(10);

/// What is known of names, for the admin pages too.
#[derive(Clone, Debug)]
pub(crate) struct SharedNames(Arc<Mutex<Names>>);

impl SharedNames {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Names::new(rand::random()))))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Resolution(JoinHandle<()>);

impl Drop for Resolution {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The configurations with addresses, and what is known of names.
pub(crate) struct Addressed {
    pub(crate) resolution: Resolution,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) names: SharedNames,
}

/// Resolves what is in `snapshots`.
pub(crate) fn resolve(
    snapshots: watch::Receiver<Arc<Snapshot>>,
    resolver: Resolver,
    telemetry: WorkerTelemetry,
) -> Addressed {
    let (publish, addressed) = watch::channel(Arc::default());
    let names = SharedNames::new();
    let owner = Owner {
        names: names.clone(),
        resolver: Arc::new(resolver),
        telemetry,
        publish,
        serving: None,
        coming: None,
        settled: None,
        resolved: Resolved::default(),
        lookups: FuturesUnordered::new(),
        askers: HashMap::new(),
    };
    Addressed {
        resolution: Resolution(tokio::spawn(owner.run(snapshots))),
        snapshots: addressed,
        names,
    }
}

type Lookup = Pin<Box<dyn Future<Output = (Question, Found)> + Send>>;

struct Owner {
    names: SharedNames,
    resolver: Arc<Resolver>,
    telemetry: WorkerTelemetry,
    publish: watch::Sender<Arc<Snapshot>>,
    /// What was handed on last, as it came.
    serving: Option<Arc<Snapshot>>,
    /// What waits for its names, and until when.
    coming: Option<(Arc<Snapshot>, Instant)>,
    /// When other addresses are handed on.
    settled: Option<Instant>,
    resolved: Resolved,
    lookups: FuturesUnordered<Lookup>,
    /// The clusters that ask, to count at.
    askers: HashMap<Question, Vec<ClusterMetrics>>,
}

impl Owner {
    async fn run(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        let mut is_fed = true;
        self.configure(Arc::clone(&snapshots.borrow_and_update()), Instant::now());
        loop {
            self.ask(Instant::now());
            let deadline = self.deadline();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = snapshots.changed(), if is_fed => match changed {
                    Ok(()) => {
                        let snapshot = Arc::clone(&snapshots.borrow_and_update());
                        self.configure(snapshot, Instant::now());
                    }
                    // Nobody is left to change it: the last one stays, and its names are resolved.
                    Err(_) => is_fed = false,
                },
                Some((question, found)) = self.lookups.next() => {
                    self.take(&question, found, Instant::now());
                }
                () = due => {}
                () = self.publish.closed() => return,
            }
            self.hand_on(Instant::now());
        }
    }

    /// What is new in it is asked for, and so is what is in use until it takes over.
    fn configure(&mut self, snapshot: Arc<Snapshot>, now: Instant) {
        let until = match self.coming.take() {
            // One that changes all the time cannot put off its names for ever.
            Some((_, until)) => until,
            None => now + WARMING,
        };
        self.coming = Some((snapshot, until));
        self.want(now);
        self.hand_on(now);
    }

    fn want(&mut self, now: Instant) {
        let coming = self.coming.iter().map(|(snapshot, _)| snapshot);
        let clusters = coming.chain(&self.serving).flat_map(|it| &it.clusters);
        self.askers.clear();
        let mut counted = HashSet::new();
        for (name, cluster) in clusters {
            let Discovery::Dns(dns) = &cluster.discovery else {
                continue;
            };
            let name: Arc<str> = name.as_str().into();
            for question in questions_of(dns) {
                let is_new = counted.insert((Arc::clone(&name), question.clone()));
                let askers = self.askers.entry(question).or_default();
                askers.extend(is_new.then(|| self.telemetry.cluster(&name)));
            }
        }
        let wanted = self.askers.keys().cloned();
        self.names.lock().want(wanted, now);
    }

    fn deadline(&self) -> Option<Instant> {
        let lookup = match self.lookups.len() < LOOKUPS {
            true => self.names.lock().deadline(),
            false => None,
        };
        let coming = self.coming.as_ref().map(|(_, until)| *until);
        [lookup, coming, self.settled].into_iter().flatten().min()
    }

    /// Begins the lookups that are due.
    fn ask(&mut self, now: Instant) {
        let due = self.names.lock().due(now, LOOKUPS);
        for question in due {
            self.count(&question, |metrics| metrics.dns_update_began());
            let resolver = Arc::clone(&self.resolver);
            self.lookups.push(Box::pin(async move {
                let found = resolver.look_up(&question).await;
                (question, found)
            }));
        }
    }

    fn take(&mut self, question: &Question, found: Found, now: Instant) {
        let name = &*question.name;
        debug!(name, ?found, "name looked up");
        let (taken, known) = {
            let mut names = self.names.lock();
            let before = names.get(question).and_then(|known| known.error.clone());
            let Some(taken) = names.take(question, found, now) else {
                return;
            };
            (taken, (before, names.get(question).cloned()))
        };
        if let (before, Some(known)) = known {
            tell(name, &taken, before.as_deref(), &known);
        }
        self.count(question, |metrics| {
            metrics.dns_update_ended(taken.update, taken.dropped as u64);
        });
        if taken.changed && self.settled.is_none() {
            self.settled = Some(now + SETTLE);
        }
    }

    /// At all clusters that ask it.
    fn count(&self, question: &Question, count: impl FnMut(&ClusterMetrics)) {
        let askers = self.askers.get(question);
        askers.into_iter().flatten().for_each(count);
    }

    /// A configuration is handed on when something is known of each of its names, or its time is over;
    /// other addresses are when they have settled.
    fn hand_on(&mut self, now: Instant) {
        let takes_over = self.coming.as_ref().is_some_and(|(snapshot, until)| {
            let names = self.names.lock();
            now >= *until || !questions(snapshot).any(|asked| names.is_awaited(&asked))
        });
        if takes_over && let Some((snapshot, _)) = self.coming.take() {
            self.serving = Some(snapshot);
            self.want(now);
        } else if self.settled.is_none_or(|settled| now < settled) {
            return;
        }
        self.settled = None;
        if let Some(snapshot) = &self.serving {
            let addressed = self.resolved.of(snapshot, &self.names.lock());
            self.publish.send_replace(addressed);
        }
    }
}

/// Changes, not each lookup.
fn tell(name: &str, taken: &Taken, before: Option<&str>, known: &Known) {
    let addresses = known.addresses.len();
    match (taken.update, known.error.as_deref()) {
        (Update::Failure, error) if error != before => {
            let error = error.unwrap_or_default();
            warn!(
                name,
                error, addresses, "name not resolved: its last addresses stay"
            );
        }
        (Update::Empty, error) if error != before => {
            let error = error.unwrap_or_default();
            warn!(name, error, "no endpoints by this name");
        }
        (Update::Success, _) if taken.changed => {
            info!(name, addresses, "name has other addresses");
        }
        _ => {}
    }
    if taken.dropped > 0 {
        warn!(
            name,
            dropped = taken.dropped,
            "addresses left out: too many, or none to dial"
        );
    }
}
