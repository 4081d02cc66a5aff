//! The two proxies over all cases: each case is a service with a server of its own.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use meltemi_controller::ads::{self, Resources, Server};
use meltemi_controller::{Controller, ProtocolSchema, Settings};
use meltemi_proto::Any;
use meltemi_proto::envoy::config::core::v3::address::Address as AnyAddress;
use meltemi_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use meltemi_proto::envoy::config::core::v3::{Address, HealthStatus, Locality, SocketAddress};
use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use meltemi_proto::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use meltemi_tests::{Envoy, Meltemi, Process, binary};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::TcpListenerStream;

use super::case::{Case, Health, OWN, OWN_LABELS};
use super::istio::{Group, Sent};

/// By the source address, and in turn.
pub(crate) const KINDS: &[(&str, &str)] = &[("hash", "MAGLEV"), ("turn", "ROUND_ROBIN")];

/// Envoy as a TCP proxy: `KIND-N` of each kind, with its balancer, for each case; the endpoints of all by
/// EDS.
pub(crate) fn envoy(
    binary: &Path,
    runtime: &Runtime,
    (cases, sent): (&[Case], &[Sent]),
    addresses: &[SocketAddr],
    kinds: &[(&str, &str)],
) -> Envoy {
    let mut assignments = Resources::new();
    let mut clusters = vec![];
    let mut listeners = vec![];
    for (number, (case, sent)) in cases.iter().zip(sent).enumerate() {
        let assignment = assignment(number, case, &sent.groups, addresses);
        assignments.insert(format!("c{number}"), &assignment);
        for (kind, policy) in kinds {
            let name = format!("{kind}-{number}");
            clusters.push(cluster(&name, number, policy, sent));
            listeners.push(listener(&name));
        }
    }
    clusters.push(control_plane(serve(
        runtime,
        unchanging(runtime, assignments),
    )));
    start(binary, &clusters, &listeners)
}

/// An Envoy that asks the one of its clusters that is named `control-plane`.
pub(crate) fn start(binary: &Path, clusters: &[Value], listeners: &[Value]) -> Envoy {
    let ads = json!({
        "api_type": "GRPC", "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "control-plane"}}],
    });
    let bootstrap = json!({
        "node": {"id": "envoy", "cluster": "test"},
        "dynamic_resources": {"ads_config": ads},
        "static_resources": {"clusters": clusters, "listeners": listeners},
    });
    Envoy::start(binary, bootstrap)
}

pub(crate) fn cluster(name: &str, number: usize, policy: &str, sent: &Sent) -> Value {
    let mut cluster = json!({
        "name": name, "type": "EDS", "lb_policy": policy, "common_lb_config": {},
        "eds_cluster_config": {
            "service_name": format!("c{number}"),
            "eds_config": {"ads": {}, "resource_api_version": "V3"},
        },
    });
    if policy == "MAGLEV" {
        cluster["maglev_lb_config"] = json!({"table_size": 1009});
    }
    let common = &mut cluster["common_lb_config"];
    if sent.weighted {
        common["locality_weighted_lb_config"] = json!({});
    }
    if let Some(percent) = sent.panic_threshold {
        common["healthy_panic_threshold"] = json!({"value": percent});
    }
    cluster
}

pub(crate) fn control_plane(address: SocketAddr) -> Value {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    json!({
        "name": "control-plane",
        "type": "STATIC",
        "typed_extension_protocol_options": {OPTIONS: {
            "@type": format!("type.googleapis.com/{OPTIONS}"),
            "explicit_http_config": {"http2_protocol_options": {}},
        }},
        "load_assignment": {
            "cluster_name": "control-plane",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {
                "address": address.ip().to_string(), "port_value": address.port()}}}}]}],
        },
    })
}

pub(crate) fn listener(cluster: &str) -> Value {
    json!({
        "name": cluster,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "it", "cluster": cluster, "max_connect_attempts": 1,
                "hash_policy": [{"source_ip": {}}],
            },
        }]}],
    })
}

pub(crate) fn redis_listener(cluster: &str) -> Value {
    const PROXY: &str = "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy";
    json!({
        "name": cluster,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.redis_proxy",
            "typed_config": {
                "@type": format!("type.googleapis.com/{PROXY}"),
                "stat_prefix": "it", "settings": {"op_timeout": "10s"},
                "prefix_routes": {"catch_all_route": {"cluster": cluster}},
            },
        }]}],
    })
}

pub(crate) fn assignment(
    number: usize,
    case: &Case,
    groups: &[Group],
    addresses: &[SocketAddr],
) -> ClusterLoadAssignment {
    let endpoint = |&index: &usize| {
        let endpoint = Endpoint {
            address: Some(address(addresses[index])),
            hostname: case.endpoints[index].hostname(),
        };
        LbEndpoint {
            host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
            health_status: health(case.endpoints[index].health).into(),
            load_balancing_weight: Some(case.endpoints[index].weight),
            metadata: None,
        }
    };
    let groups = groups.iter().filter(|group| !group.endpoints.is_empty());
    let groups = groups.map(|group| {
        let [region, zone, sub_zone] = group.locality.clone();
        LocalityLbEndpoints {
            locality: Some(Locality {
                region,
                zone,
                sub_zone,
            }),
            priority: u32::try_from(group.priority).expect("few"),
            load_balancing_weight: Some(u32::try_from(group.weight).expect("small")),
            lb_endpoints: group.endpoints.iter().map(endpoint).collect(),
        }
    });
    ClusterLoadAssignment {
        cluster_name: format!("c{number}"),
        endpoints: groups.collect(),
        policy: None,
    }
}

fn address(address: SocketAddr) -> Address {
    let port = PortSpecifier::PortValue(address.port().into());
    let socket = SocketAddress {
        address: address.ip().to_string(),
        port_specifier: Some(port),
        ..SocketAddress::default()
    };
    Address {
        address: Some(AnyAddress::SocketAddress(socket)),
    }
}

fn health(health: Health) -> HealthStatus {
    match health {
        Health::Healthy => HealthStatus::Healthy,
        Health::Degraded => HealthStatus::Degraded,
        Health::Unhealthy => HealthStatus::Unhealthy,
    }
}

/// The data plane against our control plane over manifests.
pub(crate) fn meltemi(runtime: &Runtime, cases: &[Case], addresses: &[SocketAddr]) -> Meltemi {
    let resources = resources(cases, addresses);
    run(serve(runtime, unchanging(runtime, resources)))
}

/// The translation of the manifests, to which the health of the endpoints is added.
pub(crate) fn resources(cases: &[Case], addresses: &[SocketAddr]) -> Resources {
    let mut resources = translated(cases, addresses);
    for (number, case) in cases.iter().enumerate() {
        let name = format!("outbound|6379||c{number}.test");
        let mut assignment = endpoints_of(&resources, &name);
        let groups = assignment.endpoints.iter_mut();
        for endpoint in groups.flat_map(|group| &mut group.lb_endpoints) {
            let is_at = |at: &SocketAddr| match &endpoint.host_identifier {
                Some(HostIdentifier::Endpoint(it)) => it.address == Some(address(*at)),
                None => false,
            };
            let index = addresses.iter().position(is_at).expect("one of ours");
            endpoint.set_health_status(health(case.endpoints[index].health));
        }
        resources.insert(name, &assignment);
    }
    resources
}

/// The data plane of a control plane.
pub(crate) fn run(control: SocketAddr) -> Meltemi {
    let labels: Vec<_> = OWN_LABELS.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mut command = Command::new(binary());
    command
        .args(["proxy", "--admin", "127.0.0.1:0", "--workers", "1"])
        .args(["--xds", &control.to_string()])
        .args(["--locality", &OWN.join("/"), "--labels", &labels.join(",")]);
    Meltemi::of(Process::spawn("meltemi", &mut command))
}

fn translated(cases: &[Case], addresses: &[SocketAddr]) -> Resources {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (number, case) in cases.iter().enumerate() {
        let address = |index: usize| (addresses[index].ip().to_string(), addresses[index].port());
        let path = directory.path().join(format!("c{number}.yaml"));
        std::fs::write(path, case.manifests(number, address)).expect("it can be written");
    }
    let settings = Settings::new(vec![ProtocolSchema {
        id: "redis".to_owned(),
        attributes: vec![],
        open: true,
        service_attribute: None,
        lower_case: vec![],
    }]);
    let update = Controller::open(&[directory.path().to_owned()], settings).load();
    assert!(update.report.is_valid(), "{}", update.report);
    Resources::clone(&update.resources)
}

fn endpoints_of(resources: &Resources, name: &str) -> ClusterLoadAssignment {
    const TYPE: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    let resource = resources
        .get(TYPE, name)
        .expect("each cluster has endpoints");
    let body: &Any = &resource.body;
    body.unpack().expect("our own encoding")
}

pub(crate) fn published(resources: Resources) -> Option<Arc<ads::Published>> {
    Some(Arc::new(resources.into()))
}

/// What ends the channel would end the service.
fn unchanging(runtime: &Runtime, resources: Resources) -> Published {
    let (published, served) = watch::channel(published(resources));
    runtime.spawn(async move {
        std::future::pending::<()>().await;
        drop(published);
    });
    served
}

pub(crate) type Published = watch::Receiver<Option<Arc<ads::Published>>>;

pub(crate) fn serve(runtime: &Runtime, served: Published) -> SocketAddr {
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (rejected, mut rejections) = mpsc::channel(64);
    runtime.spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        Server::new(served, rejected)
            .serve::<tokio::net::TcpStream>(incoming, std::future::pending::<()>())
            .await
    });
    runtime.spawn(async move {
        while let Some(rejection) = rejections.recv().await {
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("{rejection:?}\n"));
        }
    });
    address
}
