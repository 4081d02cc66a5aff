//! What istiod tells ztunnel: its discovery of workloads, as far as it is about waypoints.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
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
pub struct Address {
    #[prost(message, optional, tag = "1")]
    pub workload: Option<Workload>,
    #[prost(message, optional, tag = "2")]
    pub service: Option<Service>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Service {
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(string, tag = "3")]
    pub hostname: String,
    #[prost(message, repeated, tag = "4")]
    pub addresses: Vec<NetworkAddress>,
    #[prost(message, optional, tag = "7")]
    pub waypoint: Option<GatewayAddress>,
    #[prost(message, optional, tag = "8")]
    pub load_balancing: Option<LoadBalancing>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Workload {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub addresses: Vec<Vec<u8>>,
    #[prost(string, tag = "9")]
    pub node: String,
    /// 1: unhealthy.
    #[prost(int32, tag = "17")]
    pub status: i32,
    /// Ports, by the services that it is an endpoint of.
    #[prost(map = "string, message", tag = "22")]
    pub services: HashMap<String, PortList>,
    #[prost(message, optional, tag = "23")]
    pub application_tunnel: Option<ApplicationTunnel>,
    #[prost(message, optional, tag = "24")]
    pub locality: Option<Locality>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NetworkAddress {
    #[prost(bytes = "vec", tag = "2")]
    pub address: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LoadBalancing {
    /// What endpoints should have in common with the client, most important first.
    #[prost(int32, repeated, tag = "1")]
    pub routing_preference: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Locality {
    #[prost(string, tag = "1")]
    pub region: String,
    #[prost(string, tag = "2")]
    pub zone: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct PortList {
    #[prost(message, repeated, tag = "1")]
    pub ports: Vec<Port>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Port {
    #[prost(uint32, tag = "1")]
    pub service_port: u32,
    #[prost(uint32, tag = "2")]
    pub target_port: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct GatewayAddress {
    #[prost(message, optional, tag = "1")]
    pub hostname: Option<NamespacedHostname>,
    #[prost(uint32, tag = "3")]
    pub hbone_mtls_port: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamespacedHostname {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub hostname: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ApplicationTunnel {
    /// 1: PROXY.
    #[prost(int32, tag = "1")]
    pub protocol: i32,
    #[prost(uint32, tag = "2")]
    pub port: u32,
}

/// Everything that a ztunnel is told, by name and to the byte, as it is now.
#[derive(Clone)]
pub struct Workloads(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Workloads {
    /// Asks an istiod until the process ends.
    #[must_use]
    pub fn of(istiod: SocketAddr) -> Self {
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
    #[must_use]
    pub fn raw(&self, words: &str) -> BTreeMap<String, Vec<u8>> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = told.iter().filter(|(name, _)| name.contains(words));
        named
            .map(|(name, body)| (name.clone(), body.clone()))
            .collect()
    }

    /// One of them.
    ///
    /// # Panics
    /// When it is no Address.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Address> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let body = told.get(name)?;
        Some(Address::decode(body.as_slice()).expect("an Address"))
    }

    /// The service that has an address.
    #[must_use]
    pub fn service_at(&self, address: Ipv4Addr) -> Option<Service> {
        let has = |service: &Service| {
            let mut addresses = service.addresses.iter();
            addresses.any(|it| it.address == address.octets())
        };
        self.all().find_map(|it| it.service.filter(has))
    }

    /// The healthy endpoints of a service, by its name.
    #[must_use]
    pub fn endpoints(&self, service: &str) -> Vec<Workload> {
        let workloads = self.all().filter_map(|it| it.workload);
        workloads
            .filter(|it| it.status == 0 && it.services.contains_key(service))
            .collect()
    }

    fn all(&self) -> impl Iterator<Item = Address> {
        let told = self.raw("");
        told.into_values()
            .filter_map(|body| Address::decode(body.as_slice()).ok())
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
