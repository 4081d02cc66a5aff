//! The objects of a cluster of any size: services with their endpoints and pods, spread over Gateways.

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// How much there is.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Size {
    #[arg(long, default_value_t = 300)]
    pub(crate) services: usize,
    /// Of each service; each is a pod.
    #[arg(long, default_value_t = 3)]
    pub(crate) endpoints: usize,
    #[arg(long, default_value_t = 100)]
    pub(crate) routers: usize,
    #[arg(long, default_value_t = 5)]
    pub(crate) gateways: usize,
    /// Bytes of a pod, about.
    #[arg(long, default_value_t = 8192)]
    pub(crate) pod_bytes: usize,
}

/// Of which the nodes are spread over three zones.
const NODES: usize = 100;

pub(crate) const GATEWAY: &str = "edge";

/// Where the control planes keep what is theirs.
const SYSTEM_NAMESPACES: [&str; 2] = ["meltemi-system", "istio-system"];

/// Milliseconds, more than anybody else's.
pub(crate) const FIRST_TIMEOUT: usize = 100_000;

/// The annotation that says how often an object was changed.
pub(crate) const VERSION: &str = "bench.example/version";

/// A kind as the API server calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    group: &'static str,
    version: &'static str,
    name: &'static str,
    plural: &'static str,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    name: &'static str,
    plural: &'static str,
) -> Kind {
    Kind {
        group,
        version,
        name,
        plural,
    }
}

const NAMESPACE: Kind = kind("", "v1", "Namespace", "namespaces");
const NODE: Kind = kind("", "v1", "Node", "nodes");
pub(crate) const POD: Kind = kind("", "v1", "Pod", "pods");
const SERVICE: Kind = kind("", "v1", "Service", "services");
pub(crate) const SLICE: Kind = kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
pub(crate) const ROUTER: Kind = kind(
    "metaprotocol.aeraki.io",
    "v1alpha1",
    "MetaRouter",
    "metarouters",
);
pub(crate) const RULE: Kind = kind(
    "networking.istio.io",
    "v1",
    "DestinationRule",
    "destinationrules",
);
const ISTIO_GATEWAY: Kind = kind("networking.istio.io", "v1", "Gateway", "gateways");
const SIDECAR: Kind = kind("networking.istio.io", "v1", "Sidecar", "sidecars");

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Kind {
    pub(crate) fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.name);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }

    fn object(self, namespace: &str, name: &str, rest: &Value) -> Value {
        let mut object = rest.clone();
        object["apiVersion"] = match self.group {
            "" => self.version.into(),
            group => format!("{group}/{}", self.version).into(),
        };
        object["kind"] = self.name.into();
        object["metadata"]["name"] = name.into();
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = namespace.into();
        }
        object
    }
}

impl Size {
    /// All objects, in the order in which they can be made.
    pub(crate) fn objects(self) -> Vec<(Kind, Vec<Value>)> {
        let gateways = 0..self.gateways;
        let namespaces = gateways.clone();
        let namespaces = namespaces.map(namespace);
        let namespaces = namespaces.chain(SYSTEM_NAMESPACES.map(str::to_owned));
        let namespaces = namespaces.map(|name| NAMESPACE.object("", &name, &json!({})));
        let edges = gateways.map(|g| {
            let port =
                json!({"number": 20880, "name": "tcp-metaprotocol-dubbo", "protocol": "TCP"});
            let spec =
                json!({"spec": {"servers": [{"name": "dubbo", "port": port, "hosts": ["*"]}]}});
            ISTIO_GATEWAY.object(&namespace(g), GATEWAY, &spec)
        });
        // So that a proxy of Istio has those of its namespace, as ours have those of their Gateway.
        let egress = json!({"spec": {"egress": [{"hosts": ["./*"]}]}});
        let sidecars = (0..self.gateways).map(|g| SIDECAR.object(&namespace(g), "own", &egress));
        let services = 0..self.services;
        let pods = services
            .clone()
            .flat_map(|n| (0..self.endpoints).map(move |e| (n, e)));
        vec![
            (NAMESPACE, namespaces.collect()),
            (NODE, (0..NODES).map(node).collect()),
            (SERVICE, services.clone().map(|n| self.service(n)).collect()),
            (POD, pods.map(|(n, e)| self.pod(n, e)).collect()),
            (SLICE, services.map(|n| self.slice(n, 0, true)).collect()),
            (ISTIO_GATEWAY, edges.collect()),
            (SIDECAR, sidecars.collect()),
            (RULE, (0..self.gateways).map(|g| self.rule(g, 0)).collect()),
            (
                ROUTER,
                (0..self.routers).map(|n| self.router(n, 0)).collect(),
            ),
        ]
    }

    /// What a kubelet makes of each pod once it runs.
    pub(crate) fn statuses(self) -> Vec<Value> {
        let services = 0..self.services;
        let pods = services.flat_map(|n| (0..self.endpoints).map(move |e| (n, e)));
        pods.map(|(n, e)| self.status(n, e, true)).collect()
    }

    pub(crate) fn gateway_of(self, service: usize) -> usize {
        service % self.gateways
    }

    fn service(self, n: usize) -> Value {
        let port = json!({"name": "tcp-metaprotocol-dubbo", "port": 20880});
        SERVICE.object(
            &namespace(self.gateway_of(n)),
            &service(n),
            &json!({"spec": {"ports": [port]}}),
        )
    }

    /// Its first endpoint tells which version of it this is; the last may not be ready.
    pub(crate) fn slice(self, n: usize, version: usize, is_ready: bool) -> Value {
        let gateway = self.gateway_of(n);
        let last = self.endpoints - 1;
        let endpoints = (0..self.endpoints).map(|e| {
            let address = match (e, version) {
                (0, 1..) => marked(version),
                _ => address(n * self.endpoints + e),
            };
            json!({
                "addresses": [address],
                "conditions": {"ready": e != last || is_ready},
                "nodeName": node_name(n + e),
                "targetRef": {"kind": "Pod", "name": pod(n, e), "namespace": namespace(gateway)},
            })
        });
        let labels = json!({"kubernetes.io/service-name": service(n)});
        let rest = json!({
            "metadata": {"labels": labels, "annotations": {VERSION: version.to_string()}},
            "addressType": "IPv4",
            "ports": [{"name": "tcp-metaprotocol-dubbo", "port": 20880, "protocol": "TCP"}],
            "endpoints": endpoints.collect::<Vec<_>>(),
        });
        SLICE.object(&namespace(gateway), &service(n), &rest)
    }

    /// With labels as they are, and environment until it is large enough.
    fn pod(self, n: usize, e: usize) -> Value {
        let labels = json!({
            "app": service(n),
            "app.kubernetes.io/instance": service(n),
            "pod-template-hash": format!("{n:09x}"),
            "version": format!("v{}", e % 2 + 1),
        });
        let line = |i: usize| json!({"name": format!("VARIABLE_{i}"), "value": "a value that is about as long as such values are"});
        let count = self.pod_bytes.saturating_sub(1000) / 85;
        let container = json!({
            "name": "server",
            "image": "registry.example/shop/server:1.2.3",
            "env": (0..count).map(line).collect::<Vec<_>>(),
        });
        let rest = json!({
            "metadata": {"labels": labels},
            "spec": {"nodeName": node_name(n + e), "containers": [container]},
        });
        POD.object(&namespace(self.gateway_of(n)), &pod(n, e), &rest)
    }

    /// Of a pod, as far as a kubelet writes it.
    pub(crate) fn status(self, n: usize, e: usize, is_ready: bool) -> Value {
        let since = "2026-01-31T23:59:59Z";
        let ready = if is_ready { "True" } else { "False" };
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": since});
        let ip = address(n * self.endpoints + e);
        let container = json!({
            "name": "server",
            "image": "registry.example/shop/server:1.2.3",
            "imageID": format!("registry.example/shop/server@sha256:{n:064x}"),
            "containerID": format!("containerd://{n:064x}"),
            "ready": is_ready,
            "started": true,
            "restartCount": 0,
            "state": {"running": {"startedAt": since}},
        });
        let status = json!({
            "phase": "Running",
            "hostIP": "192.168.0.1",
            "podIP": &ip,
            "podIPs": [{"ip": &ip}],
            "startTime": since,
            "qosClass": "BestEffort",
            "containerStatuses": [container],
            "conditions": [
                condition("PodReadyToStartContainers", "True"),
                condition("Initialized", "True"),
                condition("Ready", ready),
                condition("ContainersReady", ready),
                condition("PodScheduled", "True"),
            ],
        });
        POD.object(
            &namespace(self.gateway_of(n)),
            &pod(n, e),
            &json!({"status": status}),
        )
    }

    /// The policy of the first service of a Gateway, whose connect timeout tells which version of it this is.
    pub(crate) fn rule(self, gateway: usize, version: usize) -> Value {
        let timeout = format!("{}ms", FIRST_TIMEOUT + version);
        let rest = json!({
            "metadata": {"annotations": {VERSION: version.to_string()}},
            "spec": {
                "host": service(gateway),
                "trafficPolicy": {"connectionPool": {"tcp": {"connectTimeout": timeout}}},
            },
        });
        RULE.object(&namespace(gateway), &service(gateway), &rest)
    }

    /// The services that a MetaRouter leads to: those of its Gateway, in turn.
    pub(crate) fn of_router(self, n: usize) -> Vec<usize> {
        let gateway = n % self.gateways;
        let of_gateway = (gateway..self.services).step_by(self.gateways);
        let (own, routers) = (n / self.gateways, self.routers.div_ceil(self.gateways));
        of_gateway.skip(own).step_by(routers.max(1)).collect()
    }

    /// The names of its routes tell which version of it this is.
    pub(crate) fn router(self, n: usize, version: usize) -> Value {
        let routes = self.of_router(n).into_iter().map(|n| {
            json!({
                "name": format!("to-{}{}", service(n), mark(version)),
                "match": {"attributes": {"interface": {"exact": format!("com.example.{}", service(n))}}},
                "route": [{"destination": {"host": service(n)}}],
            })
        });
        let host = self.of_router(n).first().copied().unwrap_or_default();
        let rest = json!({
            "metadata": {"annotations": {VERSION: version.to_string()}},
            "spec": {
                "hosts": [service(host)],
                "gateways": [GATEWAY],
                "routes": routes.collect::<Vec<_>>(),
            },
        });
        ROUTER.object(&namespace(n % self.gateways), &format!("router-{n}"), &rest)
    }
}

pub(crate) fn namespace(gateway: usize) -> String {
    format!("team-{gateway}")
}

fn service(n: usize) -> String {
    format!("service-{n}")
}

fn pod(service: usize, e: usize) -> String {
    format!("service-{service}-{e}")
}

fn node_name(n: usize) -> String {
    format!("node-{}", n % NODES)
}

fn node(n: usize) -> Value {
    let labels = json!({
        "topology.kubernetes.io/region": "eu",
        "topology.kubernetes.io/zone": format!("eu-{}", n % 3),
    });
    NODE.object("", &node_name(n), &json!({"metadata": {"labels": labels}}))
}

fn address(n: usize) -> String {
    format!("10.{}.{}.{}", n >> 16 & 63, n >> 8 & 255, n & 255)
}

/// What the names of a MetaRouter's routes end in.
pub(crate) fn mark(version: usize) -> String {
    format!("-version-{version}-")
}

/// An address that no endpoint has at first.
pub(crate) fn marked(version: usize) -> String {
    format!(
        "10.{}.{}.{}",
        64 + (version >> 16 & 63),
        version >> 8 & 255,
        version & 255
    )
}
