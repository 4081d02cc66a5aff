//! One worker: its engine, its connections, and the thread that they live on.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc as commands;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::accept::Accepting;
use super::arrivals::Arrivals;
use super::crew::Crew;
use super::limiter::{Asked, Questions};
use super::link::{Lingering, Links, Load, is_listening};
use super::listeners::{OpenListener, Origin};
use super::pulse::Pulse;
use super::shakes::Shakes;
use super::sources::Sources;
use super::stream::{Accepted, Stream, Way};
use super::turn::Turn;
use crate::config::{Address, Snapshot};
use crate::engine::{
    Action, Engine, HostCounts, HostReport, QuestionId, ServiceKeys, Settings, WorkerStatus,
};
use crate::rate_limit::{Failure, Question, Verdict};
use crate::telemetry::{ProcessCounters, Telemetry, WorkerTelemetry};

/// Bytes read from one connection in one turn.
const SCRATCH: usize = 64 * 1024;

/// Connections that one turn begins with.
const EVENTS: usize = 1024;

/// How long a worker that is told to end waits for its clients to take their last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Under this name the poll tells that there are commands. No connection has it.
pub(super) const COMMANDS: Token = Token(usize::MAX);

/// What a worker is told.
pub(super) enum Command {
    /// Accept connections from a listener, too.
    Listen(Arc<OpenListener>),
    /// Accept none from the listener of this number any more.
    Unlisten(u32),
    /// A client has connected that another worker accepted.
    Accept {
        origin: Arc<Origin>,
        socket: Accepted,
        peer: Option<SocketAddr>,
        load: Load,
    },
    /// The configuration changed.
    Configure(Arc<Snapshot>),
    /// The ejected endpoints of a cluster changed.
    Eject {
        cluster: Arc<str>,
        addresses: Arc<[Address]>,
    },
    /// What a rate limit service said.
    Decided(QuestionId, Verdict),
    /// Take nothing new, finish what there is, then end.
    Drain,
    /// Tell who still waits that it is over, then end.
    Stop,
    /// Nobody wants anything of it any more.
    Quit,
    /// Say what was counted of endpoints.
    Counts(mpsc::UnboundedSender<Vec<HostCounts>>),
    /// Say how things are.
    Status(oneshot::Sender<WorkerStatus>),
    /// Say which keys are asked for most.
    HotKeys(oneshot::Sender<Vec<ServiceKeys>>),
}

/// What a worker shares with the other threads.
pub(super) struct Shared {
    pub(super) commands: commands::Receiver<Command>,
    /// All workers, itself included.
    pub(super) crew: Arc<Crew>,
    /// How endpoints behaved, for the one owner of the outlier detection.
    pub(super) reports: mpsc::UnboundedSender<HostReport>,
    /// What a rate limit service is to be asked.
    pub(super) questions: Questions,
    /// Its place among the workers.
    pub(super) number: usize,
    pub(super) pulse: Arc<Pulse>,
    pub(super) settings: Settings,
    /// What sources have, where that is bounded.
    pub(super) sources: Arc<Sources>,
    pub(super) telemetry: WorkerTelemetry,
    pub(super) process: Arc<Telemetry>,
}

/// An engine and the sockets of its connections.
pub(super) struct Worker {
    pub(super) engine: Engine,
    pub(super) poll: Poll,
    pub(super) links: Links,
    /// What connections come from.
    pub(super) accepting: Accepting,
    /// Connections that have not said yet where they were going.
    pub(super) arrivals: Arrivals,
    /// Clients whose handshake is under way.
    pub(super) shakes: Shakes,
    /// Connections that the engine let go, by the names that they had.
    pub(super) lingering: HashMap<Token, Lingering>,
    pub(super) turn: Turn,
    /// What connections read into, one at a time.
    pub(super) scratch: Box<[u8]>,
    /// Connections that may be read on in the next turn without being told.
    pub(super) again: Vec<Token>,
    /// When connections are given up (those that are being made, those that arrive, and those that
    /// linger), and when accepting goes on.
    pub(super) limits: BinaryHeap<Reverse<(Instant, Token)>>,
    /// The configuration. Its owner frees it, when it is another one here.
    pub(super) snapshot: Arc<Snapshot>,
    shared: Shared,
    /// When buffers are freed that nobody has needed until then.
    shrinks: Option<Instant>,
    draining: bool,
    /// When it ends, whatever there is.
    end: Option<Instant>,
    over: bool,
}

impl Worker {
    pub(super) fn new(engine: Engine, poll: Poll, shared: Shared, now: Instant) -> Self {
        Self {
            engine,
            poll,
            links: Links::default(),
            accepting: Accepting::default(),
            arrivals: Arrivals::new(&shared.settings),
            shakes: Shakes::new(shared.settings.handshakes),
            lingering: HashMap::new(),
            turn: Turn::new(now),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            again: Vec::new(),
            limits: BinaryHeap::new(),
            snapshot: Arc::default(),
            shared,
            shrinks: None,
            draining: false,
            end: None,
            over: false,
        }
    }

    /// Works on this thread until it is drained or stopped.
    ///
    /// # Errors
    /// The system cannot tell which connections are ready.
    // By its name a profiler tells what workers do from all else.
    #[inline(never)]
    pub(super) fn run(mut self) -> io::Result<()> {
        self.shared.pulse.start(self.turn.now());
        let mut events = Events::with_capacity(EVENTS);
        let mut again = Vec::new();
        while !self.over {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.turn.begin();
            self.shared.pulse.turn_begins(self.turn.now());
            std::mem::swap(&mut self.again, &mut again);
            for token in again.drain(..) {
                self.go_on(token);
            }
            for event in &events {
                match event.token() {
                    COMMANDS => self.obey_all(),
                    token if is_listening(token) => self.accept_from(token),
                    _ => self.ready(event),
                }
            }
            self.pass_deadlines();
            self.flush_all();
            self.over |= self.draining && self.is_drained();
            self.shared.pulse.turn_ends();
        }
        Ok(())
    }

    /// How long nothing has to be done unless a connection is ready. The engine's own time is as
    /// old as the turn, which is younger than the granularity of the poll.
    fn timeout(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let limit = self.limits.peek().map(|&Reverse((at, _))| at);
        let due = [self.engine.deadline(), limit, self.shrinks, self.end];
        let due = due.into_iter().flatten().min()?;
        Some(due.saturating_duration_since(self.turn.now()))
    }

    fn pass_deadlines(&mut self) {
        let now = self.turn.now();
        if self.engine.deadline().is_some_and(|due| due <= now) {
            self.engine.tick(now);
            self.perform_all();
        }
        self.pass_limits();
        if self.shrinks.is_some_and(|due| due <= now) {
            self.shrinks = None;
            self.engine.shrink();
        }
        if self.shrinks.is_none() && self.engine.may_shrink() {
            self.shrinks = Some(now + self.shared.settings.spare);
        }
        self.over |= self.end.is_some_and(|end| end <= now);
    }

    fn is_drained(&self) -> bool {
        !self.links.has_clients() && self.lingering.is_empty() && self.engine.is_idle()
    }

    fn obey_all(&mut self) {
        // Its crew, which itself is one of, can always tell it more.
        while let Ok(command) = self.shared.commands.try_recv() {
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.turn.now();
        match command {
            Command::Accept {
                origin,
                socket,
                peer,
                load,
            } => self.accept(&origin, socket, (peer, load)),
            Command::Listen(listener) => self.listen(listener),
            Command::Unlisten(number) => self.unlisten(number),
            Command::Configure(snapshot) => self.configure(snapshot),
            Command::Eject { cluster, addresses } => {
                self.engine.set_ejected(&cluster, &addresses, now);
            }
            Command::Counts(counts) => {
                // Without an owner nothing is ejected; requests go on.
                let _ = counts.send(self.engine.take_counts());
            }
            Command::Decided(id, verdict) => self.engine.decided(id, verdict, now),
            Command::Drain => {
                self.draining = true;
                self.unlisten_all();
                self.arrivals.clear();
                self.engine.drain(now);
            }
            Command::Status(answer) => {
                // Who asked may have gone.
                let _ = answer.send(self.engine.status());
            }
            Command::HotKeys(answer) => {
                let _ = answer.send(self.engine.hot_keys(now));
            }
            Command::Stop => {
                self.draining = true;
                self.unlisten_all();
                self.arrivals.clear();
                // Who has not taken the last answers by then does without.
                self.end = Some(now + LAST_ANSWERS);
                self.engine.drain_is_over(now);
            }
            Command::Quit => self.over = true,
        }
        self.perform_all();
    }

    pub(super) fn number(&self) -> usize {
        self.shared.number
    }

    pub(super) fn crew(&self) -> &Crew {
        &self.shared.crew
    }

    pub(super) fn sources(&self) -> &Arc<Sources> {
        &self.shared.sources
    }

    pub(super) fn process(&self) -> &ProcessCounters {
        self.shared.process.process()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    fn configure(&mut self, snapshot: Arc<Snapshot>) {
        self.arrivals.configure(&snapshot, &self.shared.telemetry);
        self.engine.configure(&snapshot, self.turn.now());
        self.snapshot = snapshot;
        self.settle_waiting();
    }

    /// Serves a connection, which is counted as one of this worker's.
    pub(super) fn accept(
        &mut self,
        origin: &Arc<Origin>,
        socket: Accepted,
        (peer, mut load): (Option<SocketAddr>, Load),
    ) {
        if self.arrivals.are_told_apart(origin) {
            return self.greet(origin, (socket, peer), load);
        }
        let (listener, tls) = match self.arrivals.behind(origin) {
            Some((listener, tls)) => (listener, Some(tls)),
            None => (Arc::clone(&origin.listener), None),
        };
        let listener = &listener;
        if self.arrivals.come_through(listener) {
            return self.arrive(listener, (socket, peer), load);
        }
        if !self.has_place(listener, peer, &mut load) {
            return;
        }
        let Some(id) = self.engine.accept(listener, peer, self.turn.now()) else {
            return;
        };
        let linked = match &tls {
            None => self.link_client(id, Stream::from(socket), load),
            Some(tls) => {
                let patience = tls.settings().side.patience;
                match Stream::encrypted(Stream::from(socket), peer.map(|it| it.ip()), tls) {
                    Ok(stream) => self.shake_hands(id, stream, (load, patience)),
                    // What hinders it was counted and told by its owner.
                    Err(error) => return self.refused(id, &error.to_string()),
                }
            }
        };
        if let Err(error) = linked {
            warn!(%listener, %error, "cannot serve an accepted connection");
            self.engine.failed(id, self.turn.now());
        }
    }

    /// Does what the engine asks for.
    pub(super) fn perform_all(&mut self) {
        while let Some(action) = self.engine.next_action() {
            self.perform(action);
        }
    }

    fn ask(&mut self, question: Question) {
        let id = question.id;
        let worker = self.shared.number;
        let asked = self.shared.questions.try_send(Asked { worker, question });
        if asked.is_err() {
            let verdict = Verdict::Failed(Failure::Overflow);
            self.engine.decided(id, verdict, self.turn.now());
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Connect {
                id,
                address,
                protocol,
                keepalive,
                tls,
                timeout,
            } => {
                tracing::trace!(?id, ?address, protocol, "connecting to an endpoint");
                let way = Way { keepalive, tls };
                self.connect(id, (&address, way), timeout);
            }
            Action::Flush(id) => {
                if let Some(link) = self.links.get_mut(id)
                    && !std::mem::replace(&mut link.dirty, true)
                {
                    self.turn.touch(id);
                }
            }
            Action::Resume(id) => self.resume(id),
            Action::Close(id) => self.close(id),
            Action::Reset(id) => self.reset(id),
            Action::Shutdown(id) => self.shutdown(id),
            Action::Rename { from, to } => self.rename(from, to),
            Action::Report(report) => {
                // Without an owner nothing is ejected; requests go on.
                let _ = self.shared.reports.send(report);
            }
            Action::Ask(question) => self.ask(question),
        }
    }
}
