//! Ways to reach the control plane: over the network, or in the same process.

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};
use tower::service_fn;

use super::credentials::{Credentials, Encrypted, Token};

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A control plane that vanished without a word is noticed after these two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Buffered in each direction of an in-memory connection.
const PIPE: usize = 64 << 10;

/// The control plane's end of each in-memory connection, in the order in which they were dialled.
pub type Dialled = mpsc::Receiver<DuplexStream>;

/// A control plane that can be dialled, and who we are to it.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    pub(super) channel: Channel,
    token: Option<Token>,
}

/// Why a control plane cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub enum Undiallable {
    #[error(transparent)]
    Uri(#[from] tonic::transport::Error),
    #[error("the host is neither a DNS name nor an IP address")]
    Host,
    /// Nothing of a token is in it.
    #[error("{0}")]
    Credentials(String),
}

impl ControlPlane {
    /// At `HOST:PORT`, in plaintext. It connects when it is first used and again when it has to.
    ///
    /// # Errors
    /// It cannot be part of a URI.
    pub fn plaintext(authority: &str) -> Result<Self, Undiallable> {
        let channel = endpoint(format!("http://{authority}"))?.connect_lazy();
        Ok(Self {
            channel,
            token: None,
        })
    }

    /// The same with TLS: whoever answers has to have a certificate for HOST.
    ///
    /// # Errors
    /// It cannot be part of a URI, no certificate can be for HOST, or the credentials cannot be read now.
    pub fn encrypted(authority: &str, credentials: Credentials) -> Result<Self, Undiallable> {
        let uri = format!("https://{authority}");
        let parsed: Uri = uri.parse().map_err(|_| Undiallable::Host)?;
        let dialled = Encrypted::new(&parsed, credentials.authorities);
        let dialled = dialled.ok_or(Undiallable::Host)?;
        let unusable = |error: io::Error| Undiallable::Credentials(error.to_string());
        dialled.check().map_err(unusable)?;
        if let Some(token) = &credentials.token {
            token.bearer().map_err(Undiallable::Credentials)?;
        }
        let connector = service_fn(move |_| {
            let dialled = dialled.clone();
            async move { dialled.connect().await.map(TokioIo::new) }
        });
        Ok(Self {
            channel: endpoint(uri)?.connect_with_connector_lazy(connector),
            token: credentials.token,
        })
    }

    /// One in this process, which is to serve what the other value yields.
    pub fn in_memory() -> (Self, Dialled) {
        let (dial, dialled) = mpsc::channel(1);
        let connector = service_fn(move |_| {
            let dial = dial.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(PIPE);
                let sent = dial.send(theirs).await;
                sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
                Ok::<_, io::Error>(TokioIo::new(ours))
            }
        });
        let endpoint = Endpoint::from_static("http://in-memory");
        let control_plane = Self {
            channel: endpoint.connect_with_connector_lazy(connector),
            token: None,
        };
        (control_plane, dialled)
    }

    /// Has the request say who asks. The token is read now: its issuer replaces it as it grows old.
    pub(super) fn introduce<T>(&self, request: &mut Request<T>, node: &str) -> Result<(), Status> {
        let metadata = request.metadata_mut();
        // For the log of a control plane that does not let us in. A node id that cannot be sent is not missed.
        if let Ok(node) = node.parse() {
            metadata.insert(NODE, node);
        }
        if let Some(token) = &self.token {
            let bearer = token.bearer().map_err(Status::unauthenticated)?;
            metadata.insert("authorization", bearer);
        }
        Ok(())
    }
}

/// Metadata of a stream: the id of the node that asks.
const NODE: &str = "meltemi-node";

fn endpoint(uri: String) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(uri)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}
