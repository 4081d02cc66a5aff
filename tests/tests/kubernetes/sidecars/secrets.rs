//! What an agent of Istio gives the Envoy beside it: its certificate as `default`, the roots of the mesh as `ROOTCA`.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use meltemi_proto::Any;
use meltemi_proto::envoy::config::core::v3::DataSource;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use meltemi_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use meltemi_tests::certificates::Pair;
use prost::Name as _;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};

/// Serves them until it is dropped.
pub(super) struct Secrets {
    pub(super) address: SocketAddr,
    _runtime: Runtime,
}

#[derive(Clone)]
struct Held {
    certificate: String,
    key: String,
    roots: String,
}

impl Secrets {
    pub(super) fn serve(own: &Pair, roots: &str) -> Self {
        let held = Held {
            certificate: own.certificate.clone(),
            key: own.key.clone(),
            roots: roots.to_owned(),
        };
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let service = SecretDiscovery(AggregatedDiscoveryServiceServer::new(held));
        runtime.spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self {
            address,
            _runtime: runtime,
        }
    }
}

impl Held {
    fn secret(&self, name: &str) -> Secret {
        let inline = |text: &String| {
            Some(DataSource {
                specifier: Some(Specifier::InlineString(text.clone())),
            })
        };
        let kind = match name {
            "ROOTCA" => Type::ValidationContext(CertificateValidationContext {
                trusted_ca: inline(&self.roots),
                ..CertificateValidationContext::default()
            }),
            _ => Type::TlsCertificate(TlsCertificate {
                certificate_chain: inline(&self.certificate),
                private_key: inline(&self.key),
            }),
        };
        Secret {
            name: name.to_owned(),
            r#type: Some(kind),
        }
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Held {
    type StreamAggregatedResourcesStream = ReceiverStream<Result<DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (held, mut asked) = (self.clone(), request.into_inner());
        let (answers, answered) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok(Some(request)) = asked.message().await {
                // What has a nonce says that it was taken.
                if !request.response_nonce.is_empty() {
                    continue;
                }
                let names = request.resource_names.iter();
                let secrets = names.map(|name| Any::pack(&held.secret(name)));
                let answer = DiscoveryResponse {
                    version_info: "1".to_owned(),
                    nonce: "1".to_owned(),
                    type_url: Secret::type_url(),
                    resources: secrets.collect(),
                    ..DiscoveryResponse::default()
                };
                if answers.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answered)))
    }

    async fn delta_aggregated_resources(
        &self,
        _request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("istiod has sidecars ask for all"))
    }
}

/// The same messages by another name.
#[derive(Clone)]
struct SecretDiscovery(AggregatedDiscoveryServiceServer<Held>);

const STREAM: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

impl NamedService for SecretDiscovery {
    const NAME: &'static str = "envoy.service.secret.v3.SecretDiscoveryService";
}

impl Service<http::Request<Body>> for SecretDiscovery {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if request.uri().path().ends_with("/StreamSecrets") {
            *request.uri_mut() = http::Uri::from_static(STREAM);
        }
        self.0.call(request)
    }
}
