//! Connections with TLS, up to the moment in which their clients have shown who they are.
//!
//! Until then a client may be anybody, so what it costs is bounded: there are at most [`STRANGERS`], each for at most
//! [`PATIENCE`], and one more takes the place of the one that came first. A client that means well needs
//! milliseconds, so a flood of connections that lead nowhere keeps nobody out.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::guests::{Guests, Pass, TooMany};
use super::identity::Identity;

/// Connections whose clients have not shown who they are.
const STRANGERS: usize = 256;
/// How long they have for it, handshake included.
const PATIENCE: Duration = Duration::from_secs(10);
/// After an error of the listener itself: there are no more files.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections with TLS that nobody has taken yet.
const READY: usize = 16;

/// A connection with TLS.
pub struct Encrypted {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// None once it is over.
    probation: Option<Probation>,
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    is_admitted: Arc<AtomicBool>,
    /// One for each identity that it has shown, while its connection lasts.
    passes: Arc<Mutex<Vec<Pass>>>,
}

impl Peer {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its connection lasts as long as it likes.
    pub(super) fn admit(&self) {
        self.is_admitted.store(true, Relaxed);
    }

    /// The same for a client that has shown who it is, unless it has too many connections.
    pub(super) fn admit_guest(&self, identity: &Identity, guests: &Guests) -> Result<(), TooMany> {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        if !passes.iter().any(|pass| pass.is_of(identity)) {
            passes.push(guests.enter(identity)?);
        }
        self.admit();
        Ok(())
    }

    fn is_admitted(&self) -> bool {
        self.is_admitted.load(Relaxed)
    }
}

/// Completes when a stranger has to go.
struct Probation {
    timeout: Pin<Box<Sleep>>,
    displaced: oneshot::Receiver<()>,
}

impl Future for Probation {
    type Output = &'static str;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if Pin::new(&mut self.displaced).poll(context).is_ready() {
            return Poll::Ready("others came after it");
        }
        self.timeout
            .as_mut()
            .poll(context)
            .map(|()| "it did not say in time who it is")
    }
}

/// Whether each is admitted by now, in the order in which they came. Whoever is dropped here has to go. Their passes end with
/// their connections, and are not kept here.
#[derive(Default)]
struct Strangers(VecDeque<(Arc<AtomicBool>, oneshot::Sender<()>)>);

impl Strangers {
    fn add(&mut self, address: SocketAddr) -> (Peer, Probation) {
        if self.0.len() >= STRANGERS {
            self.0
                .retain(|(is_admitted, stays)| !is_admitted.load(Relaxed) && !stays.is_closed());
        }
        if self.0.len() >= STRANGERS {
            self.0.pop_front();
        }
        let peer = Peer {
            address,
            is_admitted: Arc::default(),
            passes: Arc::default(),
        };
        let (stays, displaced) = oneshot::channel();
        self.0.push_back((Arc::clone(&peer.is_admitted), stays));
        let timeout = Box::pin(sleep(PATIENCE));
        (peer, Probation { timeout, displaced })
    }
}

/// Accepts connections, each with the newest settings. Where there are none yet, clients wait.
///
/// Has to be called on a runtime; it ends when nobody takes the connections any more.
#[must_use]
pub fn encrypted(
    listener: TcpListener,
    settings: watch::Receiver<Option<Arc<ServerConfig>>>,
) -> ReceiverStream<io::Result<Encrypted>> {
    let (ready, incoming) = mpsc::channel(READY);
    tokio::spawn(accept(listener, settings, ready));
    ReceiverStream::new(incoming)
}

async fn accept(
    listener: TcpListener,
    mut settings: watch::Receiver<Option<Arc<ServerConfig>>>,
    ready: mpsc::Sender<io::Result<Encrypted>>,
) {
    let mut strangers = Strangers::default();
    let has_settings = settings.wait_for(Option::is_some).await.map(drop);
    if has_settings.is_err() {
        return;
    }
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Some(config) = settings.borrow().clone() else {
            continue;
        };
        let (peer, probation) = strangers.add(address);
        let handshake = handshake(config, stream, (peer, probation));
        let ready = ready.clone();
        tokio::spawn(async move {
            match handshake.await {
                // Nobody takes it: the server ends.
                Ok(connection) => drop(ready.send(Ok(connection)).await),
                Err(error) => debug!(peer = %address, %error, "a TLS handshake failed"),
            }
        });
    }
}

async fn handshake(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    (peer, mut probation): (Peer, Probation),
) -> io::Result<Encrypted> {
    stream.set_nodelay(true)?;
    let stream = tokio::select! {
        done = TlsAcceptor::from(config).accept(stream) => done?,
        reason = &mut probation => return Err(io::Error::new(io::ErrorKind::TimedOut, reason)),
    };
    Ok(Encrypted {
        stream,
        peer,
        probation: Some(probation),
    })
}

impl Encrypted {
    /// Fails once the client has been a stranger for too long.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(probation) = &mut self.probation else {
            return Ok(());
        };
        if self.peer.is_admitted() {
            self.probation = None;
            return Ok(());
        }
        match Pin::new(probation).poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(reason) => Err(io::Error::new(io::ErrorKind::TimedOut, reason)),
        }
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Encrypted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}
