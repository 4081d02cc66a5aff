//! What istiod tells ztunnel: its discovery of workloads, as far as it is about waypoints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::value::Kind;
use meltemi_proto::{Struct, Value};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

const ADDRESS: &str = "type.googleapis.com/istio.workload.Address";

/// The fields of `pkg/workloadapi/workload.proto` that are looked at.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Address {
    #[prost(message, optional, tag = "1")]
    pub(crate) workload: Option<Workload>,
    #[prost(message, optional, tag = "2")]
    pub(crate) service: Option<Service>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Service {
    #[prost(message, optional, tag = "7")]
    pub(crate) waypoint: Option<GatewayAddress>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Workload {
    #[prost(message, optional, tag = "23")]
    pub(crate) application_tunnel: Option<ApplicationTunnel>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GatewayAddress {
    #[prost(message, optional, tag = "1")]
    pub(crate) hostname: Option<NamespacedHostname>,
    #[prost(uint32, tag = "3")]
    pub(crate) hbone_mtls_port: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NamespacedHostname {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
    #[prost(string, tag = "2")]
    pub(crate) hostname: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ApplicationTunnel {
    /// 1: PROXY.
    #[prost(int32, tag = "1")]
    pub(crate) protocol: i32,
    #[prost(uint32, tag = "2")]
    pub(crate) port: u32,
}

/// Everything that a ztunnel is told, by name and to the byte, as it is now.
#[derive(Clone)]
pub(crate) struct Workloads(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Workloads {
    /// Asks an istiod until the process ends.
    pub(crate) fn of(istiod: SocketAddr) -> Self {
        let told = Self(Arc::default());
        let keeper = told.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().expect("a runtime");
            // It is over when istiod is.
            let _ = runtime.block_on(keeper.listen(istiod));
        });
        told
    }

    async fn listen(&self, istiod: SocketAddr) -> Option<()> {
        let channel = Endpoint::from_shared(format!("http://{istiod}")).ok()?;
        let mut stub = AggregatedDiscoveryServiceClient::new(channel.connect().await.ok()?);
        let (requests, outgoing) = mpsc::channel(4);
        let first = DeltaDiscoveryRequest {
            node: Some(node()),
            type_url: ADDRESS.to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(first).await.ok()?;
        let responses = stub.delta_aggregated_resources(ReceiverStream::new(outgoing));
        let mut responses = responses.await.ok()?.into_inner();
        while let Some(response) = responses.message().await.ok()? {
            {
                let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                for resource in response.resources {
                    let body = resource.resource.map(|body| body.value.to_vec());
                    told.insert(resource.name, body.unwrap_or_default());
                }
                for name in response.removed_resources {
                    told.remove(&name);
                }
            }
            let taken = DeltaDiscoveryRequest {
                type_url: ADDRESS.to_owned(),
                response_nonce: response.nonce,
                ..DeltaDiscoveryRequest::default()
            };
            requests.send(taken).await.ok()?;
        }
        Some(())
    }

    /// As it stands, of those with these words in their name.
    pub(crate) fn raw(&self, words: &str) -> BTreeMap<String, Vec<u8>> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = told.iter().filter(|(name, _)| name.contains(words));
        named
            .map(|(name, body)| (name.clone(), body.clone()))
            .collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Address> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let body = told.get(name)?;
        Some(Address::decode(body.as_slice()).expect("an Address"))
    }
}

fn node() -> Node {
    let fields = [("NAMESPACE", "istio-system"), ("CLUSTER_ID", "Kubernetes")];
    let fields = fields.map(|(name, value)| {
        let kind = Some(Kind::StringValue(value.to_owned()));
        (name.to_owned(), Value { kind })
    });
    Node {
        id: "ztunnel~10.9.9.9~ztunnel.istio-system~istio-system.svc.cluster.local".to_owned(),
        metadata: Some(Struct {
            fields: fields.into_iter().collect(),
        }),
        ..Node::default()
    }
}
