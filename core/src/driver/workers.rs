//! The worker threads, from outside.

use std::io;
use std::sync::Arc;
use std::sync::mpsc as commands;
use std::thread;
use std::time::Instant;

use mio::{Poll, Waker};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::crew::{Crew, Handle};
use super::limiter::Questions;
use super::listeners::OpenListener;
use super::pulse::{Pulse, Vitals, keep_on_one_cpu};
use super::sources::Sources;
use super::worker::{COMMANDS, Command, Shared, Worker};
use crate::balance::Layouts;
use crate::buckets::Buckets;
use crate::circuit::Circuits;
use crate::config::{Address, Snapshot};
use crate::engine::{
    Engine, HostCounts, HostReport, QuestionId, ServiceKeys, Settings, WorkerStatus,
};
use crate::protocols::Protocols;
use crate::rate_limit::Verdict;
use crate::telemetry::{Telemetry, WorkerTelemetry};

/// What all workers are made with.
pub(crate) struct WorkersOptions {
    pub(crate) settings: Settings,
    /// Whether each stays on a CPU of its own.
    pub(crate) pinned: bool,
    pub(crate) protocols: Arc<Protocols>,
    /// One for each worker.
    pub(crate) telemetry: Vec<WorkerTelemetry>,
    /// What belongs to none of them.
    pub(crate) process: Arc<Telemetry>,
    pub(crate) reports: mpsc::UnboundedSender<HostReport>,
    pub(crate) questions: Questions,
}

/// The workers.
#[derive(Debug)]
pub(crate) struct Workers {
    crew: Arc<Crew>,
    circuits: Arc<Circuits>,
    buckets: Arc<Buckets>,
    sources: Arc<Sources>,
}

/// The end of a worker; an error if it panicked.
pub(crate) type Ended = oneshot::Receiver<io::Result<()>>;

impl Workers {
    /// Starts a thread for each worker.
    ///
    /// # Errors
    /// A thread cannot be made, or what tells it which connections are ready.
    pub(crate) fn start(options: WorkersOptions) -> io::Result<(Self, Vec<Ended>)> {
        let settings = Settings {
            workers: options.telemetry.len(),
            ..options.settings
        };
        let buckets = Arc::new(Buckets::new(Instant::now()));
        let circuits = Arc::<Circuits>::default();
        let sources = Arc::<Sources>::default();
        let (crew, posts) = posts(options.telemetry.len())?;
        let mut ends = Vec::new();
        let pinned = options.pinned;
        for (number, (telemetry, post)) in options.telemetry.into_iter().zip(posts).enumerate() {
            let (poll, commands, pulse) = post;
            let shared = Shared {
                commands,
                crew: Arc::clone(&crew),
                reports: options.reports.clone(),
                questions: options.questions.clone(),
                number,
                pulse,
                settings,
                sources: Arc::clone(&sources),
                telemetry: telemetry.clone(),
                process: Arc::clone(&options.process),
            };
            let protocols = Arc::clone(&options.protocols);
            let buckets = Arc::clone(&buckets);
            let circuits = Arc::clone(&circuits);
            let (ended, end) = oneshot::channel();
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    if pinned && let Err(error) = keep_on_one_cpu(number) {
                        warn!(worker = number, %error, "a worker cannot be kept on one CPU");
                    }
                    let now = Instant::now();
                    let engine = Engine::new(settings, protocols, telemetry, rand::random(), now)
                        .sharing(buckets)
                        .with_circuits(circuits);
                    // Nobody waits any more where the process ends without a drain.
                    let _ = ended.send(Worker::new(engine, poll, shared, now).run());
                })?;
            ends.push(end);
        }
        let workers = Self {
            crew,
            circuits,
            buckets,
            sources,
        };
        Ok((workers, ends))
    }

    /// What they use of clusters and routes.
    pub(crate) fn circuits(&self) -> &Circuits {
        &self.circuits
    }

    /// The token buckets of their local rate limits.
    pub(crate) fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// The connections of each source, where that is bounded.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Lets all of them accept from the listener, once they know the configurations of before.
    pub(super) fn listen(&self, listener: &Arc<OpenListener>) {
        self.crew.tell_all(|| Command::Listen(Arc::clone(listener)));
    }

    /// Lets none of them accept from it any more; whoever did last closes its socket.
    pub(super) fn unlisten(&self, number: u32) {
        self.crew.tell_all(|| Command::Unlisten(number));
    }

    /// Forwards a configuration.
    pub(crate) fn configure(&self, snapshot: &Arc<Snapshot>, before: Option<&Arc<Snapshot>>) {
        let none = Layouts::default();
        let before = before.map_or(&none, |before| &before.layouts);
        snapshot.layouts.make_ready(before, self.crew.len());
        self.crew
            .tell_all(|| Command::Configure(Arc::clone(snapshot)));
    }

    /// Forwards the ejected endpoints of a cluster.
    pub(crate) fn eject(&self, cluster: &Arc<str>, addresses: &Arc<[Address]>) {
        self.crew.tell_all(|| Command::Eject {
            cluster: Arc::clone(cluster),
            addresses: Arc::clone(addresses),
        });
    }

    /// Asks each for what it has counted of endpoints; says how many were asked.
    pub(super) fn take_counts(&self, counts: &mpsc::UnboundedSender<Vec<HostCounts>>) -> usize {
        self.crew.tell_all(|| Command::Counts(counts.clone()));
        self.crew.len()
    }

    /// Tells a worker what a rate limit service said.
    pub(super) fn decide(&self, (worker, id): (usize, QuestionId), verdict: Verdict) {
        self.crew.tell(worker, Command::Decided(id, verdict));
    }

    /// Lets all of them finish what they have.
    pub(crate) fn drain(&self) {
        self.crew.tell_all(|| Command::Drain);
    }

    /// Ends all of them: who still waits for an answer is told so.
    pub(crate) fn stop(&self) {
        self.crew.tell_all(|| Command::Stop);
    }

    /// Whether they are hot, or stuck: none of them is asked.
    pub(crate) fn vitals(&self) -> Vec<Vitals> {
        self.crew.vitals(Instant::now())
    }

    /// How all of them are. One that has ended is left out.
    pub(crate) async fn status(&self) -> Vec<WorkerStatus> {
        self.ask(Command::Status).await
    }

    /// The hot keys of each of them. One that has ended is left out.
    pub(crate) async fn hot_keys(&self) -> Vec<Vec<ServiceKeys>> {
        self.ask(Command::HotKeys).await
    }

    async fn ask<T>(&self, question: fn(oneshot::Sender<T>) -> Command) -> Vec<T> {
        let mut answers = Vec::new();
        self.crew.tell_all(|| {
            let (answer, answered) = oneshot::channel();
            answers.push(answered);
            question(answer)
        });
        let mut all = Vec::new();
        for answer in answers {
            all.extend(answer.await.ok());
        }
        all
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.crew.tell_all(|| Command::Quit);
    }
}

/// What a worker waits with, what it is told, and what it tells of itself.
type Post = (Poll, commands::Receiver<Command>, Arc<Pulse>);

/// So many workers, as they know one another before any of them runs.
fn posts(count: usize) -> io::Result<(Arc<Crew>, Vec<Post>)> {
    let mut handles = Vec::with_capacity(count);
    let mut posts = Vec::with_capacity(count);
    for _ in 0..count {
        let (commands, receiver) = commands::channel();
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), COMMANDS)?;
        let pulse = Arc::<Pulse>::default();
        handles.push(Handle {
            commands,
            waker,
            load: Arc::default(),
            pulse: Arc::clone(&pulse),
        });
        posts.push((poll, receiver, pulse));
    }
    Ok((Arc::new(Crew::new(handles)), posts))
}
