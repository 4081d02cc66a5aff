//! The streams of the ADS server on tonic.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use meltemi_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use prost::{Message, Name};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service as HttpService, http};
use tonic::server::NamedService;
use tonic::transport::server::Connected;
use tonic::{Request, Status, Streaming};
use tracing::{debug, info, warn};

use super::admission::{Admission, Admitted, admit};
use super::clients::{self, Clients, Slot};
use super::counts::{Counts, Reason};
use super::delta::DeltaStream;
use super::grpc;
use super::guests::Guests;
use super::identity::{Identity, Mismatch, may_be};
use super::node::{Node, mismatches};
use super::progress::{Ahead, Lags, Progress, Versions};
use super::published::{Published, View};
use super::rejection::Rejection;
use super::resources::Resources;
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

/// What both variants of the protocol have in common.
trait Protocol: clients::Stream + Default + 'static {
    type Request: Message + Default + 'static;
    type Response: Message + 'static;

    /// Who asks, where the request says it.
    fn node(request: &Self::Request) -> Option<&core::Node>;

    fn request(&mut self, request: Self::Request) -> Vec<Rejection>;

    fn respond(&mut self, resources: &Resources) -> Vec<Self::Response>;

    /// Makes a response with secrets one that says that there are none. False: it has none.
    fn withhold_secrets(response: &mut Self::Response) -> bool;

    /// Says in a response how far it was read, where a client says that again.
    fn say_read(_response: &mut Self::Response, _read: &str) {}
}

impl Protocol for DeltaStream {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn node(request: &DeltaDiscoveryRequest) -> Option<&core::Node> {
        request.node.as_ref()
    }

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

    fn say_read(response: &mut DeltaDiscoveryResponse, read: &str) {
        let identifier = read.to_owned();
        response.control_plane = (!read.is_empty()).then_some(core::ControlPlane { identifier });
    }
}

impl Protocol for SotwStream {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn node(request: &DiscoveryRequest) -> Option<&core::Node> {
        request.node.as_ref()
    }

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
    /// Who it has proven to be, where that is asked.
    identity: Option<Identity>,
    /// Who it says it is, by its first request.
    node: Option<Node>,
    /// What concerns it.
    view: View,
    resources: watch::Receiver<Option<Arc<Published>>>,
    rejections: mpsc::Sender<Rejection>,
    counts: Counts,
    progress: Progress,
    /// While it was served more than was read here it is told nothing.
    ahead: Option<Ahead>,
    /// What it was served by other replicas, as far as more was not read here since.
    before: Versions,
    ended: watch::Receiver<()>,
    is_private: bool,
    responses: mpsc::Sender<Result<Box<S::Response>, Status>>,
}

impl<S: Protocol> ClientStream<S> {
    async fn run(mut self, mut requests: Streaming<S::Request>) {
        info!("a client connected");
        loop {
            let mut was_asked = false;
            tokio::select! {
                request = requests.next() => match request {
                    Some(Ok(request)) => {
                        if let Err(mismatch) = self.identify(&request) {
                            let refused = Status::permission_denied(mismatch.to_string());
                            // It was sent nothing yet, so there is room.
                            let _ = self.responses.try_send(Err(refused));
                            return;
                        }
                        self.request(request);
                        was_asked = true;
                    }
                    Some(Err(error)) => return debug!(%error, "a client's stream failed"),
                    None => return debug!("a client left"),
                },
                changed = self.resources.changed() => {
                    if changed.is_err() {
                        return debug!("there will be no more resources");
                    }
                }
                met = met(&mut self.ahead) => {
                    if let Err(lags) = met {
                        warn!(reason = %lags, "a client has to find another replica");
                        let lags = Status::unavailable(lags.to_string());
                        let _ = self.responses.try_send(Err(lags));
                        return;
                    }
                    info!("what a client was served before is known here by now");
                    self.ahead = None;
                    was_asked = true;
                }
                _ = self.ended.changed() => return debug!("the server shuts down"),
                () = self.responses.closed() => return debug!("a client left"),
            }
            if self.respond(was_asked).await.is_err() {
                return debug!("a client left");
            }
        }
    }

    /// Takes note of who the first request says it is, if that may be.
    fn identify(&mut self, request: &S::Request) -> Result<(), Mismatch> {
        if self.node.is_some() {
            return Ok(());
        }
        let node = <S as Protocol>::node(request).map_or_else(Node::default, Node::of);
        if let Some(identity) = &self.identity {
            may_be(identity, &node).inspect_err(|reason| {
                self.counts.refuse(Reason::Claim);
                warn!(node = node.id, %identity, %reason, "a client is refused");
            })?;
        }
        self.before.clone_from(&node.served);
        self.ahead = self.progress.behind(&node.served);
        if self.ahead.is_some() {
            let served = &node.served;
            warn!(node = node.id, %served, "a client was served more than is known here, and is told nothing yet");
        }
        self.node = Some(node);
        Ok(())
    }

    fn request(&mut self, request: S::Request) {
        if let Some(node) = <S as Protocol>::node(&request) {
            let known = self.node.as_ref();
            let gateways = known.and_then(|known| known.gateways.as_ref());
            self.slot.told(mismatches(node, gateways));
        }
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

    /// Sends what is due. That is nothing where the client was not heard and what concerns it is as it was.
    async fn respond(&mut self, was_asked: bool) -> Result<(), ()> {
        if self.ahead.is_some() {
            return Ok(());
        }
        let made = {
            let published = self.resources.borrow_and_update();
            let (Some(published), Some(node)) = (&*published, &self.node) else {
                return Ok(());
            };
            if !self.view.update(published, node) && !was_asked {
                return Ok(());
            }
            published.made
        };
        let responses = self.slot.state().respond(self.view.resources());
        if responses.is_empty() {
            return Ok(());
        }
        let read = self.progress.told(&mut self.before);
        for mut response in responses {
            S::say_read(&mut response, &read);
            if !self.is_private && S::withhold_secrets(&mut response) {
                warn!("secrets are not sent on a connection that others can read");
            }
            let response = Ok(Box::new(response));
            self.responses.send(response).await.map_err(drop)?;
            // What a client asked for it may have asked for long after that was published.
            if !was_asked {
                self.counts.pushed(made.age());
            }
        }
        Ok(())
    }
}

/// Never completes of a client that is not ahead.
async fn met(ahead: &mut Option<Ahead>) -> Result<(), Lags> {
    match ahead {
        Some(ahead) => ahead.is_met().await,
        None => std::future::pending().await,
    }
}
