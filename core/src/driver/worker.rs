//! One worker: its engine, its connections, and the thread that they live on.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_local;
use tracing::{debug, trace, warn};

use super::link::{Link, Links, Written};
use super::stream::{Accepted, Stream};
use super::turn::Turn;
use crate::config::{Address, Keepalive, Snapshot};
use crate::engine::{Action, ConnectionId, Engine, HostReport, ServiceKeys, WorkerStatus};

/// Bytes read from one connection in one turn.
const SCRATCH: usize = 64 * 1024;

/// How long a worker that is told to end waits for its clients to take their last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Bytes that the task of a client may take.
const TASK: usize = 160;

/// What a worker is told.
pub(super) enum Command {
    /// A client connected.
    Accept {
        listener: Arc<str>,
        socket: Accepted,
        peer: Option<SocketAddr>,
    },
    /// The configuration changed.
    Configure(Arc<Snapshot>),
    /// The ejected endpoints of a cluster changed.
    Eject {
        cluster: Arc<str>,
        addresses: Arc<[Address]>,
    },
    /// Take nothing new, finish what there is, then end.
    Drain,
    /// Tell who still waits that it is over, then end.
    Stop,
    /// Say how things are.
    Status(oneshot::Sender<WorkerStatus>),
    /// Say which keys are asked for most.
    HotKeys(oneshot::Sender<Vec<ServiceKeys>>),
}

/// What a worker shares with the other threads.
pub(super) struct Shared {
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    /// How endpoints behaved, for the one owner of the outlier detection.
    pub(super) reports: mpsc::UnboundedSender<HostReport>,
    /// Client connections, counted up by the dispatcher and down here.
    pub(super) load: Arc<AtomicUsize>,
}

/// An engine and the sockets of its connections.
pub(super) struct Worker {
    engine: RefCell<Engine>,
    links: RefCell<Links>,
    turn: Turn,
    /// What connections read into, one at a time.
    pub(super) scratch: RefCell<Box<[u8]>>,
    spare: Cell<Vec<ConnectionId>>,
    reports: mpsc::UnboundedSender<HostReport>,
    load: Arc<AtomicUsize>,
    /// Clients whose task has not ended; some are read to their end after the engine let them go.
    serving: Cell<usize>,
    draining: Cell<bool>,
    /// The worker is to end: all is drained, or the engine panicked.
    over: Notify,
}

/// Runs a worker on this thread until it is drained or stopped.
///
/// # Errors
/// The runtime cannot be made.
pub(super) fn run(engine: Engine, shared: Shared) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let worker = Rc::new(Worker {
            engine: RefCell::new(engine),
            links: RefCell::default(),
            turn: Turn::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            spare: Cell::default(),
            reports: shared.reports,
            load: shared.load,
            serving: Cell::new(0),
            draining: Cell::new(false),
            over: Notify::new(),
        });
        spawn_local(Rc::clone(&worker).end_turns());
        let mut commands = shared.commands;
        loop {
            tokio::select! {
                () = worker.over.notified() => return,
                command = commands.recv() => match command {
                    Some(Command::Stop) => return worker.stop().await,
                    None => return,
                    Some(command) => worker.obey(command),
                },
            }
        }
    });
    Ok(())
}

impl Worker {
    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Accept {
                listener,
                socket,
                peer,
            } => self.accept(&listener, socket, peer),
            Command::Configure(snapshot) => {
                self.event(|engine, now| engine.configure(&snapshot, now));
            }
            Command::Eject { cluster, addresses } => {
                self.event(|engine, _| engine.set_ejected(&cluster, &addresses));
            }
            Command::Drain => {
                self.draining.set(true);
                self.event(Engine::drain);
            }
            Command::Status(answer) => {
                // Who asked may have gone.
                let _ = answer.send(self.engine.borrow().status());
            }
            Command::HotKeys(answer) => {
                let keys = self.engine.borrow_mut().hot_keys(Instant::now());
                let _ = answer.send(keys);
            }
            Command::Stop => self.over.notify_one(),
        }
    }

    /// Ends, after a moment in which the clients take the last answers.
    async fn stop(self: &Rc<Self>) {
        self.draining.set(true);
        self.event(Engine::drain_is_over);
        // Who has not taken them by then does without.
        let _ = tokio::time::timeout(LAST_ANSWERS, self.over.notified()).await;
    }

    /// Tells the engine what happened, and does what it asks for.
    pub(super) fn event<R>(self: &Rc<Self>, tell: impl FnOnce(&mut Engine, Instant) -> R) -> R {
        let _guard = Guard(self);
        let now = self.turn.now();
        let result = tell(&mut self.engine.borrow_mut(), now);
        self.perform_all();
        result
    }

    fn perform_all(self: &Rc<Self>) {
        loop {
            let action = self.engine.borrow_mut().next_action();
            match action {
                Some(action) => self.perform(action),
                None => return,
            }
        }
    }

    pub(super) fn wants_read(&self, id: ConnectionId) -> bool {
        self.engine.borrow().wants_read(id)
    }

    /// So many bytes were read and the engine was told.
    pub(super) fn was_read(self: &Rc<Self>, bytes: usize) {
        if self.turn.read(bytes) {
            self.end_turn();
        }
    }

    fn perform(self: &Rc<Self>, action: Action) {
        match action {
            Action::Connect {
                id,
                address,
                protocol,
                keepalive,
                timeout,
            } => {
                trace!(?id, ?address, protocol, "connecting to an endpoint");
                let link = Link::new(id, None);
                self.links.borrow_mut().insert(&link);
                let dial = (address, keepalive);
                spawn_local(Rc::clone(self).connect(link, dial, timeout));
            }
            Action::Flush(id) => {
                if let Some(link) = self.links.borrow().find(id)
                    && !link.dirty.replace(true)
                {
                    self.turn.touch(id);
                }
            }
            Action::Resume(id) => {
                if let Some(link) = self.links.borrow().find(id) {
                    link.wake();
                }
            }
            Action::Close(id) => {
                if let Some(link) = self.links.borrow_mut().remove(id) {
                    link.close();
                }
            }
            Action::Report(report) => {
                // Without an owner nothing is ejected; requests go on.
                let _ = self.reports.send(report);
            }
        }
    }

    fn accept(self: &Rc<Self>, listener: &str, socket: Accepted, peer: Option<SocketAddr>) {
        let load = Load(Arc::clone(&self.load));
        let stream = match Stream::try_from(socket) {
            Ok(stream) => stream,
            Err(error) => return warn!(listener, %error, "cannot serve an accepted connection"),
        };
        let now = self.turn.now();
        let Some(id) = self.engine.borrow_mut().accept(listener, peer, now) else {
            return;
        };
        // The link is there before the engine's first action for it is performed.
        let link = Link::new(id, Some(stream));
        self.links.borrow_mut().insert(&link);
        self.perform_all();
        let worker = Rc::clone(self);
        self.serving.update(|serving| serving + 1);
        let task = async move {
            let _load = load;
            link.serve(&worker).await;
            worker.serving.update(|serving| serving - 1);
            worker.end_if_drained();
        };
        // What an idle client weighs, besides its socket and the engine's entry.
        debug_assert!(size_of_val(&task) <= TASK, "{}", size_of_val(&task));
        spawn_local(task);
    }

    async fn connect(
        self: Rc<Self>,
        link: Rc<Link>,
        (address, keepalive): (Address, Option<Keepalive>),
        timeout: Duration,
    ) {
        let connecting = Stream::connect(&address, keepalive);
        let connected = tokio::select! {
            () = link.closed() => return,
            connected = tokio::time::timeout(timeout, connecting) => connected,
        };
        let error = match connected {
            Ok(Ok(stream)) => {
                link.attach(stream);
                self.event(|engine, now| engine.connected(link.id, now));
                return link.serve(&self).await;
            }
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        debug!(?address, %error, "cannot connect to an endpoint");
        self.links.borrow_mut().remove(link.id);
        self.event(|engine, now| engine.connect_failed(link.id, now));
    }

    /// Writes what the connection has to send, as far as its socket takes it.
    pub(super) fn flush(self: &Rc<Self>, link: &Link) {
        link.dirty.set(false);
        loop {
            let written = {
                let engine = self.engine.borrow();
                let unsent = engine.unsent(link.id);
                if unsent.is_empty() {
                    return;
                }
                link.write(unsent)
            };
            match written {
                Written::Bytes(n) => self.event(|engine, now| engine.sent(link.id, n, now)),
                Written::Blocked => return,
                Written::Failed => {
                    return self.event(|engine, now| engine.failed(link.id, now));
                }
            }
        }
    }

    fn end_turn(self: &Rc<Self>) {
        loop {
            let mut dirty = self.turn.take_dirty(self.spare.take());
            if dirty.is_empty() {
                self.spare.set(dirty);
                break;
            }
            for id in dirty.drain(..) {
                let link = self.links.borrow().find(id).map(Rc::clone);
                if let Some(link) = link {
                    self.flush(&link);
                }
            }
            self.spare.set(dirty);
        }
        self.turn.end();
        self.end_if_drained();
    }

    fn end_if_drained(&self) {
        if self.draining.get() && self.serving.get() == 0 && self.engine.borrow().is_idle() {
            self.over.notify_one();
        }
    }

    /// Ends every turn behind the connections that were ready in it, and lets the engine's
    /// deadlines pass.
    async fn end_turns(self: Rc<Self>) {
        let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
        let mut armed: Option<Instant> = None;
        poll_fn(|context| {
            self.turn.register(context.waker());
            loop {
                self.end_turn();
                let Some(due) = self.engine.borrow().deadline() else {
                    armed = None;
                    return Poll::Pending;
                };
                // A timer that fires too early costs less than one that is moved every turn.
                if armed.is_none_or(|armed| due < armed) {
                    sleep.as_mut().reset(due.into());
                    armed = Some(due);
                }
                if sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                armed = None;
                self.event(Engine::tick);
            }
        })
        .await
    }
}

/// A connection that the dispatcher counted; uncounts it in the end.
struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends the worker if the engine panics: its tables cannot be trusted any more.
struct Guard<'a>(&'a Worker);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.over.notify_one();
        }
    }
}
