//! The streams of the ADS server on tonic.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use meltemi_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use prost::Name;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};

use super::clients::{self, Clients, Slot};
use super::delta::DeltaStream;
use super::rejection::Rejection;
use super::resources::Resources;
use super::sotw::SotwStream;

/// At most one response of each type is in flight, so a stream never waits for room.
const RESPONSES: usize = 16;
/// A client that reconnects names every resource that it has.
const MAX_REQUEST: usize = 64 << 20;
/// A client that vanished without a word is noticed after these two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the latest resources to every client.
///
/// Nothing is served before there are resources: `None` means that the first sync is still to come,
/// which is not the same as that there are none.
#[derive(Clone, Debug)]
pub struct Server {
    resources: watch::Receiver<Option<Arc<Resources>>>,
    rejections: mpsc::Sender<Rejection>,
    clients: Clients,
    /// Nobody else can read what is sent.
    is_private: bool,
}

impl Server {
    /// Rejections are sent to `rejections`; those that find it full are logged and dropped.
    pub fn new(
        resources: watch::Receiver<Option<Arc<Resources>>>,
        rejections: mpsc::Sender<Rejection>,
    ) -> Self {
        Self {
            resources,
            rejections,
            clients: Clients::default(),
            is_private: false,
        }
    }

    /// Who is connected, while it serves.
    pub fn clients(&self) -> &Clients {
        &self.clients
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
        let service =
            AggregatedDiscoveryServiceServer::new(service).max_decoding_message_size(MAX_REQUEST);
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
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
struct Service {
    server: Server,
    /// Closed at shutdown.
    ended: watch::Receiver<()>,
}

impl Service {
    fn start<S: Protocol>(&self, requests: Streaming<S::Request>) -> Responses<S::Response> {
        let (responses, outgoing) = mpsc::channel(RESPONSES);
        let stream = ClientStream::<S> {
            slot: self.server.clients.enter(),
            resources: self.server.resources.clone(),
            rejections: self.server.rejections.clone(),
            ended: self.ended.clone(),
            is_private: self.server.is_private,
            responses,
        };
        tokio::spawn(stream.run(requests));
        Box::pin(ReceiverStream::new(outgoing))
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Responses<DiscoveryResponse>>, Status> {
        Ok(Response::new(
            self.start::<SotwStream>(request.into_inner()),
        ))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Responses<DeltaDiscoveryResponse>>, Status> {
        Ok(Response::new(
            self.start::<DeltaStream>(request.into_inner()),
        ))
    }
}

/// What both variants of the protocol have in common.
trait Protocol: clients::Stream + Default + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;

    fn request(&mut self, request: Self::Request) -> Vec<Rejection>;

    fn respond(&mut self, resources: &Resources) -> Vec<Self::Response>;

    /// Makes a response with secrets one that says that there are none. False: it has none.
    fn withhold_secrets(response: &mut Self::Response) -> bool;
}

impl Protocol for DeltaStream {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn request(&mut self, request: DeltaDiscoveryRequest) -> Vec<Rejection> {
        self.request(request)
    }

    fn respond(&mut self, resources: &Resources) -> Vec<DeltaDiscoveryResponse> {
        self.respond(resources)
    }

    fn withhold_secrets(response: &mut DeltaDiscoveryResponse) -> bool {
        if response.type_url != Secret::type_url() || response.resources.is_empty() {
            return false;
        }
        let withheld = response.resources.drain(..).map(|secret| secret.name);
        response.removed_resources.extend(withheld);
        true
    }
}

impl Protocol for SotwStream {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn request(&mut self, request: DiscoveryRequest) -> Vec<Rejection> {
        self.request(request)
    }

    fn respond(&mut self, resources: &Resources) -> Vec<DiscoveryResponse> {
        self.respond(resources)
    }

    fn withhold_secrets(response: &mut DiscoveryResponse) -> bool {
        let has_some = response.type_url == Secret::type_url() && !response.resources.is_empty();
        if has_some {
            response.resources.clear();
        }
        has_some
    }
}

/// One client's stream.
struct ClientStream<S: Protocol> {
    slot: Slot<S>,
    resources: watch::Receiver<Option<Arc<Resources>>>,
    rejections: mpsc::Sender<Rejection>,
    ended: watch::Receiver<()>,
    is_private: bool,
    responses: mpsc::Sender<Result<S::Response, Status>>,
}

impl<S: Protocol> ClientStream<S> {
    async fn run(mut self, mut requests: Streaming<S::Request>) {
        info!("a client connected");
        loop {
            tokio::select! {
                request = requests.next() => match request {
                    Some(Ok(request)) => self.request(request),
                    Some(Err(error)) => return debug!(%error, "a client's stream failed"),
                    None => return debug!("a client left"),
                },
                changed = self.resources.changed() => {
                    if changed.is_err() {
                        return debug!("there will be no more resources");
                    }
                }
                _ = self.ended.changed() => return debug!("the server shuts down"),
                () = self.responses.closed() => return debug!("a client left"),
            }
            if self.respond().await.is_err() {
                return debug!("a client left");
            }
        }
    }

    fn request(&mut self, request: S::Request) {
        let rejections = self.slot.state().request(request);
        self.slot.answered(&rejections);
        for rejection in rejections {
            warn!(
                node = rejection.node,
                type_url = rejection.type_url,
                name = rejection.name,
                reason = rejection.reason,
                "a client rejected a resource"
            );
            if self.rejections.try_send(rejection).is_err() {
                debug!("nobody takes the rejections");
            }
        }
    }

    async fn respond(&mut self) -> Result<(), ()> {
        let Some(resources) = self.resources.borrow_and_update().clone() else {
            return Ok(());
        };
        let responses = self.slot.state().respond(&resources);
        for mut response in responses {
            if !self.is_private && S::withhold_secrets(&mut response) {
                warn!("secrets are not sent on a connection that others can read");
            }
            self.responses.send(Ok(response)).await.map_err(drop)?;
        }
        Ok(())
    }
}
