//! The same objects are served the same way, byte for byte, whether they come from files or from an API server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meltemi_controller::ads::{Published, Resource, Resources};
use meltemi_controller::reference::{SURROUNDINGS, meta_router_examples};
use meltemi_controller::{
    AttributeDef, Controller, Event, KubernetesController, ProtocolSchema, Settings, SourceFile,
    Update,
};
use meltemi_tests::PATIENCE;
use meltemi_tests::kubernetes::ApiServer;
use tokio::sync::{mpsc, watch};

mod guarded;

fn settings() -> Settings {
    let protocol = |id: &str, attributes: &[&str], service: Option<&str>| ProtocolSchema {
        id: id.to_owned(),
        attributes: attributes
            .iter()
            .map(|name| AttributeDef {
                name: (*name).to_owned(),
                description: String::new(),
            })
            .collect(),
        open: true,
        service_attribute: service.map(str::to_owned),
        lower_case: vec![],
    };
    Settings::new(vec![
        protocol("dubbo", &["interface", "method"], Some("interface")),
        protocol("thrift", &["service", "method"], Some("service")),
        protocol("redis", &["command", "key"], None),
    ])
}

/// What the controller of a cluster publishes.
struct Watched {
    runtime: tokio::runtime::Runtime,
    resources: watch::Receiver<Option<Arc<Published>>>,
    events: mpsc::Receiver<Event>,
    _rejections: mpsc::Sender<meltemi_controller::ads::Rejection>,
}

impl Watched {
    fn start(kubeconfig: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (publish, resources) = watch::channel(None);
        let (rejections, rejected) = mpsc::channel(1);
        let (tell, events) = mpsc::channel(1024);
        let controller =
            runtime.block_on(KubernetesController::watch(Some(kubeconfig), settings()));
        let controller = controller.expect("the kubeconfig is one");
        runtime.spawn(controller.run(publish, rejected, tell));
        Self {
            runtime,
            resources,
            events,
            _rejections: rejections,
        }
    }

    /// Waits until it publishes just this. Where it does not, the resources that differ are named.
    fn publishes(&mut self, what: &str, expected: &Published) {
        let publishes = self
            .resources
            .wait_for(|now| now.as_deref() == Some(expected));
        let publishes = async { tokio::time::timeout(PATIENCE, publishes).await.is_ok() };
        if self.runtime.block_on(publishes) {
            return;
        }
        let now = self
            .resources
            .borrow()
            .clone()
            .expect("something is published");
        let mut said = vec![];
        while let Ok(Event::Changed(report)) = self.events.try_recv() {
            said.push(report.to_string());
        }
        panic!(
            "{what}: other than from files:\n{}\n{}",
            differing(&now, expected).join("\n"),
            said.last().map_or("", String::as_str)
        );
    }
}

fn differing(one: &Resources, other: &Resources) -> Vec<String> {
    let mut names = vec![];
    for url in one.type_urls().chain(other.type_urls()) {
        for (name, _) in one.of_type(url).chain(other.of_type(url)) {
            let [one, other] = [one, other].map(|of| of.get(url, name));
            if one != other {
                let [one, other] = [one, other].map(shown);
                names.push(format!("{url} {name}:\n  {one}\n  {other}"));
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

/// What can be read of an encoding.
fn shown(resource: Option<&Resource>) -> String {
    resource.map_or_else(
        || "absent".to_owned(),
        |it| it.body.value.escape_ascii().to_string(),
    )
}

fn from_files(files: &[(String, String)]) -> Arc<Published> {
    let update = loaded(files);
    assert!(update.report.is_valid(), "{}", update.report);
    update.resources
}

fn loaded(files: &[(String, String)]) -> Update {
    let files = files.iter().map(|(name, text)| SourceFile {
        name: name.clone(),
        text: text.clone(),
    });
    Controller::open(&[], settings()).load_files(files)
}

/// The files of a directory of examples.
fn example(name: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name);
    let entries = std::fs::read_dir(directory).expect("the examples");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let yaml = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "yaml"));
    yaml.map(|path| {
        let text = std::fs::read_to_string(path).expect("a manifest");
        (path.display().to_string(), text)
    })
    .collect()
}

const KINDS: &str = "metarouters,applicationprotocols,redisservices,redisdestinations,gateways.networking.istio.io,\
                     serviceentries,workloadentries,destinationrules,services,endpointslices,pods,nodes,\
                     configmaps,secrets,authorizationpolicies,dubboauthorizationpolicies";

/// Those that are not there from the start.
const KINDS_OF_GATEWAY_API: &str =
    "gateways.gateway.networking.k8s.io,gatewayclasses,referencegrants";

/// Takes away what an earlier case has left.
fn empty(cluster: &ApiServer) {
    for of_namespace in [
        "/apis/metaprotocol.aeraki.io/v1alpha1/namespaces/default/metarouters",
        "/apis/redis.aeraki.io/v1alpha1/namespaces/default/redisservices",
        "/apis/redis.aeraki.io/v1alpha1/namespaces/default/redisdestinations",
        "/apis/networking.istio.io/v1/namespaces/default/gateways",
        "/apis/networking.istio.io/v1/namespaces/default/serviceentries",
        "/apis/networking.istio.io/v1/namespaces/default/workloadentries",
        "/apis/networking.istio.io/v1/namespaces/default/destinationrules",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/namespaces/default/services",
        "/api/v1/namespaces/default/pods",
        "/apis/metaprotocol.aeraki.io/v1alpha1/applicationprotocols",
        "/api/v1/nodes",
    ] {
        cluster.delete_all(of_namespace);
    }
}

/// What of it the API server holds, as people export it.
fn exported(cluster: &ApiServer, kinds: &str) -> Vec<(String, String)> {
    let list = cluster.kubectl(&["get", kinds, "-A", "-o", "json"]);
    vec![("exported.json".to_owned(), list.stdout())]
}

const SERVICE: &str = "\
apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a}}
---
apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: default, annotations: {interface: org.demo.Greeter}}
spec: {ports: [{name: tcp-metaprotocol-dubbo, port: 20880, targetPort: 12345}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: greeter-1, namespace: default, labels: {kubernetes.io/service-name: greeter}}
addressType: IPv4
ports: [{name: tcp-metaprotocol-dubbo, port: 12345, protocol: TCP}]
endpoints:
- {addresses: [10.0.0.1], conditions: {ready: true}, nodeName: node-a, targetRef: {kind: Pod, name: a, namespace: default}}
- {addresses: [10.0.0.2], conditions: {ready: false}, nodeName: node-a}
- {addresses: [10.0.0.3], zone: eu-b}
---
apiVersion: v1
kind: Pod
metadata:
  name: a
  namespace: default
  # The API server itself gives a pod those of its node.
  labels: {version: v1, topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a}
spec: {nodeName: node-a, containers: [{name: c, image: i}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: greeter, namespace: default}
spec:
  host: greeter
  subsets: [{name: v1, labels: {version: v1}}]
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  servers:
  - {port: {number: 20880, name: tcp-metaprotocol-dubbo, protocol: TCP}, bind: 127.0.0.1, hosts: ['*']}
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: greeter, namespace: default}
spec:
  hosts: [greeter]
  gateways: [edge]
  routes:
  - match: {attributes: {method: {exact: sayHello}}}
    route: [{destination: {host: greeter, subset: v1}}]
  - route: [{destination: {host: greeter}}]
";

/// Beside a Gateway of Istio.
const GATEWAY_API: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: seventh}
spec: {controllerName: meltemi.io/controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: seven, namespace: default}
spec:
  gatewayClassName: seventh
  listeners:
  - {name: tcp-metaprotocol-dubbo, port: 20881, protocol: TCP}
  - {name: named, port: 20882, protocol: meltemi.io/dubbo, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: theirs, namespace: default}
spec:
  gatewayClassName: example
  listeners: [{name: web, port: 80, protocol: HTTP}]
---
";

/// Every kind of endpoint that Kubernetes knows, behind one router.
const ENDPOINTS: &str = "\
apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a}}
---
apiVersion: v1
kind: Service
metadata: {name: near, namespace: default}
spec:
  trafficDistribution: PreferSameZone
  ipFamilies: [IPv4]
  ports: [{name: tcp-redis, port: 6379, targetPort: redis}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: near-4, namespace: default, labels: {kubernetes.io/service-name: near}}
addressType: IPv4
ports: [{name: tcp-redis, port: 7000, protocol: TCP}]
endpoints:
- {addresses: [10.0.0.1], conditions: {ready: true}, nodeName: node-a, targetRef: {kind: Pod, name: a, namespace: default}}
- {addresses: [10.0.0.2], conditions: {ready: false}, nodeName: node-a, zone: eu-a}
- {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: near-6, namespace: default, labels: {kubernetes.io/service-name: near}}
addressType: IPv6
ports: [{name: tcp-redis, port: 7000, protocol: TCP}]
endpoints:
- {addresses: ['fd00::1'], conditions: {ready: true}, nodeName: node-a, targetRef: {kind: Pod, name: a, namespace: default}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: near-later, namespace: default, labels: {kubernetes.io/service-name: near}}
addressType: IPv4
ports: [{name: tcp-redis, port: 7001, protocol: TCP}]
endpoints:
- {addresses: [10.0.0.4], conditions: {ready: true}, zone: eu-b}
---
apiVersion: v1
kind: Service
metadata: {name: away, namespace: default}
spec:
  type: ExternalName
  externalName: redis.example.com
  ports: [{name: tcp-redis, port: 6379}]
---
apiVersion: v1
kind: Service
metadata: {name: also-near, namespace: default}
spec:
  type: ExternalName
  externalName: near.default.svc.cluster.local
  ports: [{name: tcp-redis, port: 6379}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: picked, namespace: default}
spec:
  hosts: [picked.example]
  ports: [{number: 6379, targetPort: 7000, name: tcp-redis, protocol: TCP}]
  resolution: STATIC
  workloadSelector: {labels: {app: cache}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: default}
spec: {address: 10.0.0.9, labels: {app: cache}, locality: eu/eu-b}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  servers:
  - {port: {number: 6379, name: tcp-redis, protocol: TCP}, bind: 127.0.0.1, hosts: ['*']}
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: cache, namespace: default}
spec:
  host: [near]
  gateways: [edge]
  redis:
  - match: {key: {prefix: away}}
    route: {host: away}
  - match: {key: {prefix: also}}
    route: {host: also-near}
  - match: {key: {prefix: picked}}
    route: {host: picked.example}
  - route: {host: near}
---
";

/// As a kubelet leaves them; the zone of its Node the API server itself writes into a Pod.
const PODS: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: a
  namespace: default
  labels: {app: cache, topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a}
spec: {nodeName: node-a, containers: [{name: c, image: i}]}
status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}], phase: Running, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: b
  namespace: default
  labels: {app: cache, topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a}
spec: {nodeName: node-a, containers: [{name: c, image: i}]}
status: {podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}], phase: Running, conditions: [{type: Ready, status: 'False'}]}
";

/// Istio's schema wants what ours does not need.
fn surroundings() -> String {
    SURROUNDINGS
        .replace(
            "name: tcp-metaprotocol-dubbo}, bind",
            "name: tcp-metaprotocol-dubbo, protocol: TCP}, hosts: ['*'], bind",
        )
        .replace(
            "name: tcp-metaprotocol-dubbo}]",
            "name: tcp-metaprotocol-dubbo, protocol: TCP}]",
        )
}

#[test]
fn files_and_a_cluster_are_served_the_same() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    let mut watched = Watched::start(&cluster.kubeconfig());
    let own = |text: &str| vec![("own.yaml".to_owned(), text.to_owned())];
    let mut cases = vec![("a Service".to_owned(), own(SERVICE))];
    for name in ["dubbo", "thrift", "redis", "redis-cluster"] {
        cases.push((name.to_owned(), example(name)));
    }
    for (name, files) in cases {
        empty(&cluster);
        for (_, text) in &files {
            cluster.apply(text);
        }
        watched.publishes(&name, &from_files(&files));
        watched.publishes(
            &format!("{name}, exported"),
            &from_files(&exported(&cluster, KINDS)),
        );
    }
    empty(&cluster);
    let endpoints = format!("{ENDPOINTS}{PODS}");
    cluster.apply(&endpoints);
    cluster.apply_status(PODS);
    watched.publishes("endpoints", &from_files(&own(&endpoints)));
    empty(&cluster);
    for crd in cluster.programs().gateway_api_crds() {
        cluster.install_crds(&crd);
    }
    let gateways =
        format!("{GATEWAY_API}{SERVICE}").replace("gateways: [edge]", "gateways: [edge, seven]");
    cluster.apply(&gateways);
    watched.publishes("Gateway API", &from_files(&own(&gateways)));
    cluster.delete_all("/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways");
    // Each field of a MetaRouter, at each place where it can be.
    empty(&cluster);
    let surroundings = surroundings();
    cluster.apply(&surroundings);
    for example in meta_router_examples() {
        cluster.apply(&example.manifest);
        let files = [
            ("surroundings", &surroundings),
            ("example", &example.manifest),
        ];
        let files = files.map(|(name, text)| (name.to_owned(), text.clone()));
        watched.publishes(&example.path, &from_files(&files));
    }
    empty(&cluster);
    who_may_use_what_is_the_same(&cluster, &mut watched);
    watched.runtime.shutdown_timeout(Duration::from_secs(1));
}

/// Policies, the mesh's settings, a Secret of another namespace and its grant, at a Gateway and at a waypoint.
fn who_may_use_what_is_the_same(cluster: &ApiServer, watched: &mut Watched) {
    cluster.create_namespaces(&["istio-system", "shop", "certs"]);
    let objects = guarded::objects();
    let of = |objects: &[String]| vec![("own.yaml".to_owned(), objects.join("\n---\n"))];
    let expected = from_files(&of(&objects));
    for at in 0..objects.len() {
        let mut others = objects.clone();
        let without = others.remove(at);
        let missed = differing(&loaded(&of(&others)).resources, &expected);
        assert!(!missed.is_empty(), "nobody would miss {without}");
    }
    for object in &objects {
        cluster.apply(object);
    }
    watched.publishes("policies, mesh config, grant, secret", &expected);
    let kinds = format!("{KINDS},{KINDS_OF_GATEWAY_API}");
    let exported = exported(cluster, &kinds);
    watched.publishes("the same, exported", &from_files(&exported));
}
