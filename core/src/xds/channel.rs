//! Ways to reach the control plane: over the network, or in the same process.

use std::io;
use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use meltemi_credentials::{Token, Undiallable, encrypted, endpoint};
use meltemi_tls::PeerName;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::service_fn;

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

/// The files that a connection with TLS is made of.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// In PEM: those who may vouch for the control plane.
    pub authorities: PathBuf,
    /// Whose certificate the control plane has to have; none: one for its host.
    pub name: Option<PeerName>,
    pub token: Option<Token>,
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
        let channel = encrypted(authority, credentials.authorities, credentials.name)?;
        if let Some(token) = &credentials.token {
            token.bearer().map_err(Undiallable::Credentials)?;
        }
        Ok(Self {
            channel,
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
