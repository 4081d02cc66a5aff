//! The worker threads, from outside.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as commands;
use std::thread;
use std::time::Instant;

use mio::{Poll, Waker};
use tokio::sync::{mpsc, oneshot};

use super::limiter::Questions;
use super::stream::Accepted;
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
use crate::telemetry::WorkerTelemetry;

/// What all workers are made with.
pub(crate) struct WorkersOptions {
    pub(crate) settings: Settings,
    pub(crate) protocols: Arc<Protocols>,
    /// One for each worker.
    pub(crate) telemetry: Vec<WorkerTelemetry>,
    pub(crate) reports: mpsc::UnboundedSender<HostReport>,
    pub(crate) questions: Questions,
}

/// The workers.
#[derive(Debug)]
pub(crate) struct Workers {
    handles: Vec<Handle>,
    circuits: Arc<Circuits>,
    buckets: Arc<Buckets>,
}

#[derive(Debug)]
struct Handle {
    commands: commands::Sender<Command>,
    /// Tells it that there are some.
    waker: Waker,
    load: Arc<AtomicUsize>,
}

/// The end of a worker; an error if it panicked.
pub(crate) type Ended = oneshot::Receiver<io::Result<()>>;

impl Workers {
    /// Starts a thread for each worker.
    ///
    /// # Errors
    /// A thread cannot be made, or what tells it which connections are ready.
    pub(crate) fn start(options: WorkersOptions) -> io::Result<(Self, Vec<Ended>)> {
        let mut handles = Vec::new();
        let mut ends = Vec::new();
        let settings = Settings {
            workers: options.telemetry.len(),
            ..options.settings
        };
        let buckets = Arc::new(Buckets::new(Instant::now()));
        let circuits = Arc::<Circuits>::default();
        for (number, telemetry) in options.telemetry.into_iter().enumerate() {
            let (commands, receiver) = commands::channel();
            let poll = Poll::new()?;
            let waker = Waker::new(poll.registry(), COMMANDS)?;
            let load = Arc::new(AtomicUsize::new(0));
            let shared = Shared {
                commands: receiver,
                reports: options.reports.clone(),
                questions: options.questions.clone(),
                number,
                load: Arc::clone(&load),
                settings,
                telemetry: telemetry.clone(),
            };
            let protocols = Arc::clone(&options.protocols);
            let buckets = Arc::clone(&buckets);
            let circuits = Arc::clone(&circuits);
            let (ended, end) = oneshot::channel();
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    let now = Instant::now();
                    let engine = Engine::new(settings, protocols, telemetry, rand::random(), now)
                        .sharing(buckets)
                        .with_circuits(circuits);
                    // Nobody waits any more where the process ends without a drain.
                    let _ = ended.send(Worker::new(engine, poll, shared, now).run());
                })?;
            handles.push(Handle {
                commands,
                waker,
                load,
            });
            ends.push(end);
        }
        let workers = Self {
            handles,
            circuits,
            buckets,
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

    /// Gives the connection to the worker with the fewest.
    pub(super) fn accept(&self, listener: &Arc<str>, socket: Accepted, peer: Option<SocketAddr>) {
        let least = self
            .handles
            .iter()
            .min_by_key(|worker| worker.load.load(Ordering::Relaxed));
        let Some(worker) = least else { return };
        worker.load.fetch_add(1, Ordering::Relaxed);
        worker.tell(Command::Accept {
            listener: Arc::clone(listener),
            socket,
            peer,
        });
    }

    /// Forwards a configuration.
    pub(crate) fn configure(&self, snapshot: &Arc<Snapshot>, before: Option<&Arc<Snapshot>>) {
        let none = Layouts::default();
        let before = before.map_or(&none, |before| &before.layouts);
        snapshot.layouts.make_ready(before, self.handles.len());
        for worker in &self.handles {
            worker.tell(Command::Configure(Arc::clone(snapshot)));
        }
    }

    /// Forwards the ejected endpoints of a cluster.
    pub(crate) fn eject(&self, cluster: &Arc<str>, addresses: &Arc<[Address]>) {
        for worker in &self.handles {
            worker.tell(Command::Eject {
                cluster: Arc::clone(cluster),
                addresses: Arc::clone(addresses),
            });
        }
    }

    /// Asks each for what it has counted of endpoints; says how many were asked.
    pub(super) fn take_counts(&self, counts: &mpsc::UnboundedSender<Vec<HostCounts>>) -> usize {
        for worker in &self.handles {
            worker.tell(Command::Counts(counts.clone()));
        }
        self.handles.len()
    }

    /// Tells a worker what a rate limit service said.
    pub(super) fn decide(&self, (worker, id): (usize, QuestionId), verdict: Verdict) {
        if let Some(worker) = self.handles.get(worker) {
            worker.tell(Command::Decided(id, verdict));
        }
    }

    /// Lets all of them finish what they have.
    pub(crate) fn drain(&self) {
        for worker in &self.handles {
            worker.tell(Command::Drain);
        }
    }

    /// Ends all of them: who still waits for an answer is told so.
    pub(crate) fn stop(&self) {
        for worker in &self.handles {
            worker.tell(Command::Stop);
        }
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
        for worker in &self.handles {
            let (answer, answered) = oneshot::channel();
            worker.tell(question(answer));
            answers.push(answered);
        }
        let mut all = Vec::new();
        for answer in answers {
            all.extend(answer.await.ok());
        }
        all
    }
}

impl Handle {
    fn tell(&self, command: Command) {
        // A worker that has ended closed its connections; it needs to be told nothing.
        if self.commands.send(command).is_ok() {
            // A wake-up that cannot be written is one of many that were not read.
            let _ = self.waker.wake();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.tell(Command::Quit);
    }
}
