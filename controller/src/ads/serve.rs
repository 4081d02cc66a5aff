//! The streams of the ADS server on tonic.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service as HttpService, http};
use tonic::server::NamedService;
use tonic::transport::server::Connected;
use tonic::{Request, Status, Streaming};
use tracing::debug;

use super::admission::{Admission, Admitted, admit};
use super::client_stream::ClientStream;
use super::clients::Clients;
use super::counts::Counts;
use super::delta::DeltaStream;
use super::grpc;
use super::guests::Guests;
use super::progress::{Progress, Versions};
use super::protocol::Protocol;
use super::published::{Published, View};
use super::rejection::Rejection;
use super::sotw::SotwStream;

/// At most one response of each type is in flight, so a stream never waits for room.
const RESPONSES: usize = 16;
/// A client that vanished without a word is noticed after these two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A proxy has one.
const STREAMS_OF_A_CONNECTION: u32 = 8;
/// What a client may send before anybody has looked at it: of a stream, and of all of its connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 128 << 10;

/// Serves the latest resources to every client.
///
/// Nothing is served before there are resources: `None` means that the first sync is still to come,
/// which is not the same as that there are none.
#[derive(Clone, Debug)]
pub struct Server {
    resources: watch::Receiver<Option<Arc<Published>>>,
    rejections: mpsc::Sender<Rejection>,
    clients: Clients,
    counts: Counts,
    progress: Progress,
    guests: Guests,
    /// Nobody else can read what is sent.
    is_private: bool,
    /// None: nobody is asked who they are.
    admission: Option<Admission>,
}

impl Server {
    /// Rejections are sent to `rejections`; those that find it full are logged and dropped.
    pub fn new(
        resources: watch::Receiver<Option<Arc<Published>>>,
        rejections: mpsc::Sender<Rejection>,
    ) -> Self {
        Self {
            resources,
            rejections,
            clients: Clients::default(),
            counts: Counts::default(),
            progress: Progress::default(),
            guests: Guests::default(),
            is_private: false,
            admission: None,
        }
    }

    /// Serves only whom `admission` lets in, and for as long.
    #[must_use]
    pub fn admitted_by(self, admission: Admission) -> Self {
        Self {
            admission: Some(admission),
            ..self
        }
    }

    /// Who is connected, while it serves.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// What it counts.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What it serves was read so far. Whoever was served more by another replica is told nothing before it was.
    #[must_use]
    pub fn having_read(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// The connections that it will serve can be read by nobody else: secrets, which otherwise count
    /// as not there, are sent on them.
    #[must_use]
    pub fn in_private(self) -> Self {
        Self {
            is_private: true,
            ..self
        }
    }

    /// Serves each connection that `incoming` yields, until `shutdown` completes; streams that are
    /// still open then are ended.
    ///
    /// # Errors
    ///
    /// Those of the transport as a whole; a connection that fails ends alone.
    pub async fn serve<IO>(
        self,
        incoming: impl Stream<Item = io::Result<IO>>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error>
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let (alive, ended) = watch::channel(());
        let service = Service {
            server: self,
            ended,
        };
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(STREAMS_OF_A_CONNECTION)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, async {
                shutdown.await;
                // Connections close once their streams have ended.
                drop(alive);
            })
            .await
    }
}

/// The gRPC service of one [`Server::serve`].
#[derive(Clone)]
struct Service {
    server: Server,
    /// Closed at shutdown.
    ended: watch::Receiver<()>,
}

impl Service {
    async fn start<S: Protocol>(
        &self,
        request: Request<Streaming<S::Request>>,
    ) -> Result<http::Response<Body>, Status> {
        let Server {
            admission,
            guests,
            counts,
            progress,
            ..
        } = &self.server;
        let admitted = admit(admission.as_ref(), &request, (guests, counts)).await?;
        let (responses, outgoing) = mpsc::channel(RESPONSES);
        let last = responses.clone();
        let stream = ClientStream::<S> {
            slot: self.server.clients.enter(),
            identity: admitted.as_ref().map(|it| it.identity.clone()),
            node: None,
            view: View::default(),
            resources: self.server.resources.clone(),
            rejections: self.server.rejections.clone(),
            counts: counts.clone(),
            progress: progress.clone(),
            ahead: None,
            before: Versions::default(),
            ended: self.ended.clone(),
            is_private: self.server.is_private,
            responses,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = stream.run(request.into_inner()) => {}
                () = over(admitted) => {
                    debug!("a client has to show a newer token");
                    // Where there is no room it has more to read first, and then finds the end.
                    let _ = last.try_send(Err(Status::unauthenticated("the token has expired")));
                }
            }
        });
        Ok(grpc::responses(outgoing))
    }
}

/// Completes when the client was let in for no longer.
async fn over(admitted: Option<Admitted>) {
    match admitted {
        Some(admitted) => tokio::time::sleep_until(admitted.until).await,
        None => std::future::pending().await,
    }
}

impl NamedService for Service {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl HttpService<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next();
            let started = match method {
                Some("DeltaAggregatedResources") => {
                    service.start::<DeltaStream>(grpc::requests(request)).await
                }
                Some("StreamAggregatedResources") => {
                    service.start::<SotwStream>(grpc::requests(request)).await
                }
                _ => Err(Status::unimplemented("there is no such method")),
            };
            Ok(started.unwrap_or_else(Status::into_http))
        })
    }
}
