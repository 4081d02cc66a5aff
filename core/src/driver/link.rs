//! A connection's socket and the task that serves it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use slotmap::SecondaryMap;
use tracing::debug;

use super::stream::Stream;
use super::worker::Worker;
use crate::engine::{ClientKey, ConnectionId, ServerKey};

/// How long a client that was sent a last answer may take to close its side.
const LINGER: Duration = Duration::from_secs(1);

/// A connection of the engine and its socket.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: ConnectionId,
    /// None while it is being connected, and after its end.
    stream: RefCell<Option<Stream>>,
    waker: RefCell<Option<Waker>>,
    /// The turn's end will flush it.
    pub(super) dirty: Cell<bool>,
    /// The socket takes no more: the connection's own task goes on writing when it does.
    blocked: Cell<bool>,
    /// The peer will send no more.
    ended: Cell<bool>,
    /// The engine does not know it any more.
    closed: Cell<bool>,
}

/// What came of an attempt to write.
pub(super) enum Written {
    Bytes(usize),
    /// The task of the connection was told, or will find out.
    Blocked,
    Failed,
}

impl Link {
    pub(super) fn new(id: ConnectionId, stream: Option<Stream>) -> Rc<Self> {
        Rc::new(Self {
            id,
            stream: RefCell::new(stream),
            waker: RefCell::default(),
            dirty: Cell::new(false),
            blocked: Cell::new(false),
            ended: Cell::new(false),
            closed: Cell::new(false),
        })
    }

    /// The socket of a connection that was being made.
    pub(super) fn attach(&self, stream: Stream) {
        self.stream.replace(Some(stream));
    }

    /// The engine let go of the connection: its task ends.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    /// Runs the connection's task again.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Ends when the engine let go of the connection.
    pub(super) async fn closed(&self) {
        poll_fn(|context| {
            self.register(context);
            if self.closed.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Writes some of `bytes`. Where the socket does not take them, the connection's task is woken
    /// when it does.
    pub(super) fn write(&self, bytes: &[u8]) -> Written {
        if self.blocked.get() {
            return Written::Blocked;
        }
        let waker = self.waker.borrow();
        let mut stream = self.stream.borrow_mut();
        let (Some(waker), Some(stream)) = (&*waker, &mut *stream) else {
            // Its task has not run yet.
            self.blocked.set(true);
            return Written::Blocked;
        };
        match stream.poll_write(&mut Context::from_waker(waker), bytes) {
            Poll::Ready(Ok(n)) if n > 0 => Written::Bytes(n),
            Poll::Ready(Ok(_) | Err(_)) => Written::Failed,
            Poll::Pending => {
                self.blocked.set(true);
                Written::Blocked
            }
        }
    }

    fn register(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
    }

    /// Serves the connection until the engine lets go of it.
    pub(super) async fn serve(self: &Rc<Self>, worker: &Rc<Worker>) {
        poll_fn(|context| self.poll_serve(worker, context)).await;
        if let Some(stream) = self.stream.take()
            && matches!(self.id, ConnectionId::Client(_))
            && !self.ended.get()
        {
            // Boxed, so that it weighs on those only who get here.
            Box::pin(linger(stream)).await;
        }
    }

    fn poll_serve(&self, worker: &Rc<Worker>, context: &mut Context<'_>) -> Poll<()> {
        self.register(context);
        if self.blocked.replace(false) {
            worker.flush(self);
        }
        while !self.closed.get() {
            if self.ended.get() || !worker.wants_read(self.id) {
                return Poll::Pending;
            }
            if ready!(self.poll_receive(worker, context)) == Read::Full {
                // The others first: at most one buffer a turn.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Reads once and tells the engine what came.
    fn poll_receive(&self, worker: &Rc<Worker>, context: &mut Context<'_>) -> Poll<Read> {
        let mut scratch = worker.scratch.borrow_mut();
        let read = ready!(self.poll_read(context, &mut scratch));
        let id = self.id;
        Poll::Ready(match read {
            Ok(n) if n > 0 => {
                let bytes = scratch.get(..n).unwrap_or_default();
                worker.event(|engine, now| engine.received(id, bytes, now));
                worker.was_read(n);
                if n == scratch.len() {
                    Read::Full
                } else {
                    Read::Some
                }
            }
            Ok(_) => {
                self.ended.set(true);
                worker.event(|engine, now| engine.end_of_file(id, now));
                Read::End
            }
            Err(error) => {
                debug!(?id, %error, "a connection broke");
                self.ended.set(true);
                worker.event(|engine, now| engine.failed(id, now));
                Read::End
            }
        })
    }

    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut *self.stream.borrow_mut() {
            Some(stream) => stream.poll_read(context, buffer),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

/// What a read brought.
#[derive(PartialEq, Eq)]
enum Read {
    /// Some bytes, and there are no more now.
    Some,
    /// As much as the buffer takes.
    Full,
    /// The peer's end, or an error.
    End,
}

/// Lets the client read its last answers: a socket that is closed with unread bytes of the client
/// resets the connection and takes with it what the client has not read.
async fn linger(mut stream: Stream) {
    let discard = async {
        let mut buffer = [0; 1024];
        poll_fn(|context| stream.poll_shutdown(context)).await?;
        while poll_fn(|context| stream.poll_read(context, &mut buffer)).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // However it ends, the socket is dropped.
    let _ = tokio::time::timeout(LINGER, discard).await;
}

/// The connections of a worker.
#[derive(Debug, Default)]
pub(super) struct Links {
    clients: SecondaryMap<ClientKey, Rc<Link>>,
    servers: SecondaryMap<ServerKey, Rc<Link>>,
}

impl Links {
    pub(super) fn insert(&mut self, link: &Rc<Link>) {
        let link = Rc::clone(link);
        match link.id {
            ConnectionId::Client(key) => self.clients.insert(key, link),
            ConnectionId::Server(key) => self.servers.insert(key, link),
        };
    }

    pub(super) fn find(&self, id: ConnectionId) -> Option<&Rc<Link>> {
        match id {
            ConnectionId::Client(key) => self.clients.get(key),
            ConnectionId::Server(key) => self.servers.get(key),
        }
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Rc<Link>> {
        match id {
            ConnectionId::Client(key) => self.clients.remove(key),
            ConnectionId::Server(key) => self.servers.remove(key),
        }
    }
}
