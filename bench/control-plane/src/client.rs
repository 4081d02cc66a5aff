//! Proxies as a control plane sees them: streams that ask for what concerns a Gateway, and take whatever comes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use meltemi_proto::meltemi::config::v1::Service;
use meltemi_proto::node_metadata::GATEWAYS;
use meltemi_proto::value::Kind;
use meltemi_proto::{ListValue, Struct, Value};
use prost::Name as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use crate::subject::Make;
use crate::world::GATEWAY;

/// Something arrived at a client.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) client: usize,
    pub(crate) at: Instant,
    pub(crate) response: DeltaDiscoveryResponse,
}

const MAX_RESPONSE: usize = 256 << 20;
const REQUESTS: usize = 64;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) make: Make,
    pub(crate) control_plane: SocketAddr,
    /// Whose Gateway it opens, and, to Istio, where it is; none: it wants everything.
    pub(crate) namespace: Option<String>,
}

/// Runs until the control plane or the listener of `arrivals` is gone.
pub(crate) async fn run(client: Client, arrivals: mpsc::UnboundedSender<Arrival>) -> Result<()> {
    let channel = Endpoint::from_shared(format!("http://{}", client.control_plane))?;
    let channel = channel.tcp_nodelay(true).connect().await?;
    let (requests, outgoing) = mpsc::channel(REQUESTS);
    for type_url in [Listener::type_url(), Cluster::type_url()] {
        let first = DeltaDiscoveryRequest {
            node: Some(client.node()),
            type_url,
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(first).await?;
    }
    let mut stub =
        AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE);
    let responses = stub.delta_aggregated_resources(ReceiverStream::new(outgoing));
    let mut responses = responses.await?.into_inner();
    let mut subscribed = BTreeSet::new();
    loop {
        let response = responses.message().await?;
        let response = response.context("the control plane closed the stream")?;
        let at = Instant::now();
        let taken = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(taken).await?;
        for request in client.subscriptions(&response, &mut subscribed) {
            requests.send(request).await?;
        }
        let arrival = Arrival {
            client: client.number,
            at,
            response,
        };
        if arrivals.send(arrival).is_err() {
            return Ok(());
        }
    }
}

impl Client {
    /// What a response leads to: the services and routes of listeners, the endpoints of clusters.
    fn subscriptions(
        &self,
        response: &DeltaDiscoveryResponse,
        subscribed: &mut BTreeSet<(String, String)>,
    ) -> Vec<DeltaDiscoveryRequest> {
        let follow = match &response.type_url {
            url if *url == Listener::type_url() && self.make == Make::Meltemi => {
                vec![Service::type_url(), RouteConfiguration::type_url()]
            }
            url if *url == Cluster::type_url() => vec![ClusterLoadAssignment::type_url()],
            _ => vec![],
        };
        let requests = follow.into_iter().map(|type_url| {
            let names = response.resources.iter().map(|it| it.name.clone());
            let fresh = names.filter(|name| subscribed.insert((type_url.clone(), name.clone())));
            DeltaDiscoveryRequest {
                resource_names_subscribe: fresh.collect(),
                type_url: type_url.clone(),
                ..DeltaDiscoveryRequest::default()
            }
        });
        let requests = requests.collect::<Vec<_>>().into_iter();
        requests
            .filter(|request| !request.resource_names_subscribe.is_empty())
            .collect()
    }

    fn node(&self) -> Node {
        let (number, namespace) = (self.number, self.namespace.as_deref());
        let own = namespace.unwrap_or("default");
        let pod = format!("bench-{number}.{own}");
        let (id, fields) = match self.make {
            Make::Meltemi => {
                let claim = namespace.map(|own| {
                    let list = ListValue {
                        values: vec![text(format!("{own}/{GATEWAY}"))],
                    };
                    (
                        GATEWAYS,
                        Value {
                            kind: Some(Kind::ListValue(list)),
                        },
                    )
                });
                (pod, claim.into_iter().collect())
            }
            Make::Istio => (
                format!("sidecar~10.9.0.1~{pod}~{own}.svc.cluster.local"),
                vec![
                    ("NAMESPACE", text(own.to_owned())),
                    ("CLUSTER_ID", text("Kubernetes".to_owned())),
                ],
            ),
        };
        let fields = fields.into_iter();
        Node {
            id,
            metadata: Some(Struct {
                fields: fields.map(|(name, it)| (name.to_owned(), it)).collect(),
            }),
            ..Node::default()
        }
    }
}

fn text(text: String) -> Value {
    Value {
        kind: Some(Kind::StringValue(text)),
    }
}
