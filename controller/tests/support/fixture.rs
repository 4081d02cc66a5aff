//! Resources as the controller would serve them, and a client that takes them.

use std::sync::Arc;
use std::time::Duration;

use meltemi_controller::ads::{Published, Rejection, Resources, Server};
use meltemi_core::config::Snapshot;
use meltemi_core::xds;
use meltemi_policy::Mismatches;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as route;
use meltemi_proto::envoy::config::cluster::v3 as cluster;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::endpoint::v3 as endpoint;
use meltemi_proto::envoy::config::listener::v3 as listener;
use meltemi_proto::meltemi::config::v1 as own;
use meltemi_proto::{Any, EXTENSION_NAME, SELF_RESOURCE};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Longer than anything takes that happens at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const LISTENER: &str = "shop/edge/dubbo";
pub(crate) const GATEWAY: &str = "shop/edge";
pub(crate) const CLUSTER: &str = "outbound|20880||orders.shop";

/// One listener whose only route leads to [`CLUSTER`], with an endpoint on each port.
pub(crate) fn resources(ports: &[u16]) -> Resources {
    let mut resources = Resources::new();
    resources.insert(LISTENER, &listener());
    resources.insert(LISTENER, &service());
    resources.insert(LISTENER, &routes(CLUSTER));
    resources.insert(CLUSTER, &cluster(CLUSTER));
    resources.insert(CLUSTER, &endpoints(CLUSTER, ports));
    resources.insert(
        SELF_RESOURCE,
        &own::Self_ {
            locality: Some(locality()),
            labels: [("app".to_owned(), "edge".to_owned())].into(),
        },
    );
    resources
}

pub(crate) fn listener() -> listener::Listener {
    let filter = own::Listener {
        mode: Some(own::listener::Mode::Service(own::listener::FixedService {
            name: LISTENER.to_owned(),
        })),
        max_connections_per_source: 0,
        source: None,
    };
    listener::Listener {
        name: LISTENER.to_owned(),
        address: Some(address(0)),
        filter_chains: vec![listener::FilterChain {
            filters: vec![listener::Filter {
                name: EXTENSION_NAME.to_owned(),
                config_type: Some(listener::filter::ConfigType::TypedConfig(Any::pack(
                    &filter,
                ))),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn service() -> own::Service {
    own::Service {
        name: LISTENER.to_owned(),
        ports: vec![own::service::Port {
            protocol: "dubbo".to_owned(),
            route_config_name: LISTENER.to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn routes(cluster: &str) -> route::RouteConfiguration {
    route::RouteConfiguration {
        name: LISTENER.to_owned(),
        routes: vec![route::Route {
            route: Some(route::RouteAction {
                cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(
                    cluster.to_owned(),
                )),
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..route::RouteConfiguration::default()
    }
}

pub(crate) fn cluster(name: &str) -> cluster::Cluster {
    let policy = own::ClusterPolicy {
        locality: Some(own::LocalityRule::default()),
        ..Default::default()
    };
    cluster::Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(
            cluster::cluster::DiscoveryType::Eds.into(),
        )),
        eds_cluster_config: Some(cluster::cluster::EdsClusterConfig {
            eds_config: Some(core::ConfigSource {
                config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
                    core::AggregatedConfigSource {},
                )),
                resource_api_version: core::ApiVersion::V3.into(),
            }),
            service_name: String::new(),
        }),
        lb_policy: cluster::cluster::LbPolicy::LeastRequest.into(),
        outlier_detection: Some(cluster::OutlierDetection::default()),
        metadata: Some(metadata(&policy)),
        ..Default::default()
    }
}

pub(crate) fn endpoints(cluster: &str, ports: &[u16]) -> endpoint::ClusterLoadAssignment {
    let lb_endpoint = |port: &u16| endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(
            endpoint::Endpoint {
                address: Some(address(*port)),
                hostname: String::new(),
            },
        )),
        health_status: core::HealthStatus::Healthy.into(),
        load_balancing_weight: Some(1),
        metadata: Some(metadata(&own::EndpointMetadata {
            labels: [("version".to_owned(), "v1".to_owned())].into(),
        })),
    };
    endpoint::ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![endpoint::LocalityLbEndpoints {
            locality: Some(locality()),
            lb_endpoints: ports.iter().map(lb_endpoint).collect(),
            ..Default::default()
        }],
        policy: None,
    }
}

fn metadata<M: prost::Message + prost::Name>(message: &M) -> core::Metadata {
    core::Metadata {
        typed_filter_metadata: [(EXTENSION_NAME.to_owned(), Any::pack(message))].into(),
        ..Default::default()
    }
}

fn address(port: u16) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: "127.0.0.1".to_owned(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })),
    }
}

fn locality() -> core::Locality {
    core::Locality {
        region: "eu".to_owned(),
        zone: "eu-1".to_owned(),
        sub_zone: "rack-7".to_owned(),
    }
}

/// The control plane's side of a test: what it serves, and what it hears back.
pub(crate) struct ControlPlane {
    pub(crate) resources: watch::Sender<Option<Arc<Published>>>,
    pub(crate) rejections: mpsc::Receiver<Rejection>,
    pub(crate) server: Server,
}

impl ControlPlane {
    pub(crate) fn new(resources: Option<Resources>) -> Self {
        let (resources, served) = watch::channel(resources.map(|it| Arc::new(it.into())));
        let (sender, rejections) = mpsc::channel(64);
        Self {
            resources,
            rejections,
            server: Server::new(served, sender),
        }
    }

    pub(crate) fn set(&self, resources: Resources) {
        self.resources
            .send_replace(Some(Arc::new(resources.into())));
    }

    /// The same for proxies of the Gateway that [`LISTENER`] is of.
    pub(crate) fn set_of_gateway(&self, resources: Resources) {
        let gateway = GATEWAY.parse().expect("namespace and name");
        let published = Published::default().with_scope(gateway, resources);
        self.resources.send_replace(Some(Arc::new(published)));
    }
}

/// A data plane without its engine.
pub(crate) struct DataPlane {
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) stats: Arc<xds::Stats>,
    /// What it tells the control plane of its clients.
    pub(crate) mismatches: watch::Sender<Mismatches>,
    client: JoinHandle<()>,
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.client.abort();
    }
}

impl DataPlane {
    pub(crate) fn start(control_plane: xds::ControlPlane) -> Self {
        Self::start_as(control_plane, &xds::Identity::default())
    }

    /// One that says what it is for.
    pub(crate) fn start_as(control_plane: xds::ControlPlane, identity: &xds::Identity) -> Self {
        let (publish, snapshots) = watch::channel(Arc::default());
        let stats = Arc::new(xds::Stats::default());
        let node = xds::node("test", &meltemi_core::config::Proxy::default());
        let node = identity.on(node);
        let (mismatches, told) = watch::channel(Mismatches::new());
        let client = xds::run(control_plane, node, (publish, told), Arc::clone(&stats));
        Self {
            snapshots,
            stats,
            mismatches,
            client: tokio::spawn(client),
        }
    }

    /// The next snapshot that differs from the one seen last.
    pub(crate) async fn next(&mut self) -> Arc<Snapshot> {
        tokio::time::timeout(PATIENCE, self.snapshots.changed())
            .await
            .expect("a snapshot is published")
            .expect("the client runs");
        Arc::clone(&self.snapshots.borrow_and_update())
    }

    /// The first snapshot, from the current one on, of which `condition` holds.
    pub(crate) async fn when(
        &mut self,
        condition: impl FnMut(&Arc<Snapshot>) -> bool,
    ) -> Arc<Snapshot> {
        let found = tokio::time::timeout(PATIENCE, self.snapshots.wait_for(condition))
            .await
            .expect("the snapshot is published");
        Arc::clone(&found.expect("the client runs"))
    }
}

pub(crate) fn ports(snapshot: &Snapshot, cluster: &str) -> Vec<u16> {
    let hosts = snapshot.clusters.get(cluster).map(|c| &c.endpoints.hosts);
    hosts
        .into_iter()
        .flatten()
        .filter_map(|host| match host.address {
            meltemi_core::config::Address::Tcp(address) => Some(address.port()),
            _ => None,
        })
        .collect()
}
