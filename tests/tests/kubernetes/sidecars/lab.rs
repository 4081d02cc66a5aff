//! A mesh of one node: pods are addresses of a network that this process has for itself.

use std::env;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use meltemi_tests::dubbo::wire::{Echo, Frame};
use meltemi_tests::dubbo::{Generation, Peers, Provider};
use meltemi_tests::kubernetes::{ApiServer, Controller, Istiod, Pods, controller_binary};
use meltemi_tests::{Envoy, Meltemi, Process, connect_from, until};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::load::Load;
use super::secrets::Secrets;
use crate::mesh_identity::issued::issued;

pub(super) const GATEWAY: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/mesh";
pub(super) const SERVICE: &str = "/api/v1/namespaces/shop/services/greeter";
pub(super) const HOST: &str = "greeter.shop.svc.cluster.local";
/// Of the Service of the provider.
pub(super) const VIRTUAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 50);
const PROXY: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 9);
const PROVIDER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 20);
/// Of the only pod of a headless Service.
const POD: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 21);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 30);
const PORT: u16 = 15089;

/// Whether this process is the one that has a network for itself; the other has started it, and waited for it.
pub(super) fn has_own_network(test: &str) -> bool {
    const INSIDE: &str = "MELTEMI_TEST_OWN_NETWORK";
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    if !Pods::are_permitted() {
        return false;
    }
    let addresses = [PROXY, PROVIDER, POD, CLIENT, VIRTUAL_ADDRESS];
    let addresses = addresses.map(|it| format!("ip address add {it}/32 dev lo; "));
    let redirect = format!(
        "table ip sidecar {{\nchain output {{\ntype nat hook output priority -100\n\
         ip daddr {VIRTUAL_ADDRESS} tcp dport 20880 redirect to :15001\n\
         ip saddr {CLIENT} ip daddr {POD} tcp dport 20880 redirect to :15001\n}}\n}}"
    );
    let lines = format!(
        "set -e; ip link set lo up; {} echo '{redirect}' | nft -f -; exec \"$0\" \"$@\"",
        addresses.concat()
    );
    let status = Command::new("unshare")
        .args(["--net", "sh", "-c", &lines])
        .arg(env::current_exe().expect("this program has a path"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("unshare starts").success(), "{test} fails");
    false
}

pub(super) struct Lab {
    envoy: Option<Envoy>,
    _secrets: Secrets,
    pub(super) proxy: Meltemi,
    controller: Controller,
    _istiod: Istiod,
    pub(super) cluster: ApiServer,
    provider: Provider,
    _echo: Echo,
    files: TempDir,
}

impl Lab {
    /// None where something of it is not installed, which is said.
    pub(super) fn start() -> Option<Self> {
        let (peers, envoy) = (Peers::find()?, Envoy::binary()?);
        let cluster = ApiServer::with_definitions()?;
        if !Istiod::is_installed(cluster.programs()) {
            return None;
        }
        for crd in cluster.programs().gateway_api_crds() {
            cluster.install_crds(&crd);
        }
        cluster.create_namespaces(&["istio-system", "meltemi-system", "shop"]);
        // What only Istio's own Envoy has.
        let environment = [
            ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
            ("PILOT_ENABLE_SENDING_HBONE", "false"),
        ];
        let program = Istiod::program(cluster.programs());
        let istiod = Istiod::start(&program, &cluster.kubeconfig(), &environment);
        let files = TempDir::with_prefix("meltemi-sidecars-").expect("a temporary directory");
        let roots = roots(&cluster);
        fs::write(files.path().join("roots.pem"), &roots).expect("it can be written");
        let host = PROVIDER.to_string();
        let arguments = ["--host", &host, "--offer", "plain"];
        let provider = peers.provider_with(Generation::V3_3_6, "one", &arguments);
        let objects = objects(provider.port());
        objects.iter().for_each(|it| cluster.apply(&it.to_string()));
        pods().iter().for_each(|it| {
            cluster.apply(&it.to_string());
            cluster.apply_status(&it.to_string());
        });
        let path = files.path().join("roots.pem");
        let ca = (&*istiod.authority(), &*path);
        let client = issued(ca, &token(&cluster, "client"));
        let secrets = Secrets::serve(&client, &roots);
        let token = token(&cluster, "gateway");
        fs::write(files.path().join("token"), token).expect("it can be written");
        let arguments = ["--sidecars", "--protocol", "dubbo:interface"];
        let controller = Controller::start_with(&cluster.kubeconfig(), &arguments);
        let proxy = proxy(&controller, &istiod, &files);
        let bootstrap = bootstrap(istiod.address(), secrets.address);
        let envoy = Envoy::start(&envoy, bootstrap);
        Some(Self {
            envoy: Some(envoy),
            _secrets: secrets,
            proxy,
            controller,
            _istiod: istiod,
            cluster,
            provider,
            _echo: Echo::start_at(SocketAddr::from((POD, 20880))),
            files,
        })
    }

    pub(super) fn envoy(&self) -> &Envoy {
        self.envoy.as_ref().expect("it runs")
    }

    pub(super) fn gateway(&self) -> SocketAddr {
        SocketAddr::from((PROXY, PORT))
    }

    pub(super) fn label(&self, label: &str) {
        self.label_service("greeter", label);
    }

    pub(super) fn label_service(&self, service: &str, label: &str) {
        let label = ["label", "service", service, "-n", "shop", label];
        self.cluster
            .kubectl(&label)
            .expect_success("it is labelled");
    }

    /// The condition of the Gateway; none: not there.
    pub(super) fn says(&self) -> Option<String> {
        assert!(!self.controller.process().has_ended());
        let gateway = self.cluster.get(GATEWAY)?;
        let mut conditions = gateway["status"]["conditions"].as_array()?.iter();
        let own = conditions.find(|it| it["type"] == "meltemi.io/SidecarsLed")?;
        let text = |field: &str| own[field].as_str().unwrap_or_default().to_owned();
        Some(format!("{}/{}", text("status"), text("reason")))
    }

    /// Whether a call to the pod of the headless Service is answered.
    pub(super) fn calls_pod(&self) -> bool {
        assert!(!self.controller.process().has_ended());
        let Ok(mut stream) = connect_from(CLIENT.into(), SocketAddr::from((POD, 20880))) else {
            return false;
        };
        let asked = Frame::question(7, "meltemi.peer.Probe", "who");
        let is_written = stream.write_all(&asked.bytes()).is_ok();
        is_written && Frame::read(&mut stream).is_ok_and(|answer| answer.id == 7)
    }

    /// Where the pod of the Service listens.
    pub(super) fn provider_port(&self) -> u16 {
        self.provider.port()
    }

    /// How many calls came through the gateway.
    pub(super) fn passed(&self) -> u64 {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().filter(|line| line.contains(HOST)).count() as u64
    }

    pub(super) fn has_logged(&self, words: &str) -> bool {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.contains(words)
    }

    fn log(&self) -> PathBuf {
        self.files.path().join("access.log")
    }

    /// Waits for a line of the access log with these words.
    pub(super) fn logged(&self, words: &str) -> Value {
        until("the access log has it", || {
            let log = fs::read_to_string(self.log()).ok()?;
            let line = log.lines().find(|line| line.contains(words))?;
            serde_json::from_str(line).ok()
        })
    }

    pub(super) fn detach(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(controller_binary());
        command.args(["detach", "--kubeconfig"]);
        command.arg(self.cluster.kubeconfig()).args(arguments);
        let mut process = Process::spawn("meltemi detach", &mut command);
        let is_success = process.wait().success();
        let told = process.lines().join("\n");
        assert!(is_success, "{told}\n{}", process.said());
        told
    }

    /// Calls without pause, each on a connection of its own.
    pub(super) fn load(&self) -> Load {
        assert!(!self.provider.process().has_ended() && !self.proxy.process().has_ended());
        Load::start()
    }
}

fn roots(cluster: &ApiServer) -> String {
    until("istiod tells the roots of its mesh", || {
        let path = "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert";
        let roots = cluster.get(path)?["data"]["root-cert.pem"].take();
        roots.as_str().map(str::to_owned)
    })
}

/// As it would be mounted into pods of a new service account.
fn token(cluster: &ApiServer, account: &str) -> String {
    let create = ["create", "serviceaccount", account, "-n", "shop"];
    cluster.kubectl(&create).expect_success("a service account");
    let create = [
        "create",
        "token",
        account,
        "-n",
        "shop",
        "--audience",
        "istio-ca",
    ];
    let created = cluster.kubectl(&create);
    created.expect_success("a token");
    created.stdout().trim().to_owned()
}

fn proxy(controller: &Controller, istiod: &Istiod, files: &TempDir) -> Meltemi {
    let path = |name: &str| files.path().join(name).display().to_string();
    let (roots, token, log) = (path("roots.pem"), path("token"), path("access.log"));
    let authority = istiod.authority();
    let of_mesh = ["--ca-address", &authority, "--ca-root", &roots];
    let more = ["--ca-token", &token, "--access-log", &log];
    let claims = ["--gateway", "shop/mesh"];
    controller.proxy_with(&[&claims[..], &of_mesh, &more].concat())
}

/// The Gateway and its Service, and the Service of the provider that listens at this port.
fn objects(provider: u16) -> Vec<Value> {
    let metadata = |name: &str| json!({"name": name, "namespace": "shop"});
    let service = |name: &str, address: Ipv4Addr, (port, number): (&str, u16)| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata(name),
            "spec": {"clusterIP": address.to_string(), "ports": [{"name": port, "port": number}]},
        })
    };
    let slice = |name: &str, address: Ipv4Addr, (port, number): (&str, u16)| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": format!("{name}-1"), "namespace": "shop", "labels": {"kubernetes.io/service-name": name},
            },
            "ports": [{"name": port, "port": number}],
            "endpoints": [{
                "addresses": [address.to_string()], "nodeName": "node", "conditions": {"ready": true},
                "targetRef": {"kind": "Pod", "name": format!("{name}-1"), "namespace": "shop"},
            }],
        })
    };
    let terminated = json!({"gateway.istio.io/tls-terminate-mode": "ISTIO_MUTUAL"});
    vec![
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": metadata("mesh"),
            "spec": {
                "gatewayClassName": "meltemi",
                "addresses": [{"value": PROXY.to_string()}],
                "listeners": [{
                    "name": "sidecars", "port": PORT, "protocol": "istio.io/PROXY",
                    "tls": {"options": terminated},
                }],
            },
        }),
        service("mesh", Ipv4Addr::new(10, 96, 0, 9), ("tcp-sidecars", PORT)),
        slice("mesh", PROXY, ("tcp-sidecars", PORT)),
        service("greeter", VIRTUAL_ADDRESS, ("tcp-dubbo", 20880)),
        slice("greeter", PROVIDER, ("tcp-dubbo", provider)),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata("pods"),
            "spec": {"clusterIP": "None", "ports": [{"name": "tcp-dubbo", "port": 20880}]},
        }),
        slice("pods", POD, ("tcp-dubbo", 20880)),
    ]
}

/// As kubelets have them.
fn pods() -> Vec<Value> {
    let pods = [
        ("mesh-1", "gateway", PROXY),
        ("greeter-1", "default", PROVIDER),
        ("pods-1", "default", POD),
        ("client", "client", CLIENT),
    ];
    let pods = pods.map(|(name, account, address)| {
        let address = address.to_string();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
            "spec": {
                "serviceAccountName": account, "nodeName": "node",
                "containers": [{"name": "c", "image": "i"}],
            },
            "status": {
                "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    });
    pods.into_iter().collect()
}

/// What Istio's agent writes for the Envoy beside a client.
fn bootstrap(istiod: SocketAddr, secrets: SocketAddr) -> Value {
    let http2 = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }});
    let cluster = |name: &str, address: SocketAddr| {
        let (ip, port) = (address.ip().to_string(), address.port());
        let address = json!({"socket_address": {"address": ip, "port_value": port}});
        json!({
            "name": name, "type": "STATIC", "connect_timeout": "5s",
            "typed_extension_protocol_options": http2,
            "load_assignment": {"cluster_name": name, "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address}}]}]},
        })
    };
    let from_ads = json!({"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"});
    json!({
        "node": {
            "id": format!("sidecar~{CLIENT}~client.shop~shop.svc.cluster.local"),
            "cluster": "client.shop",
            "metadata": {
                "NAMESPACE": "shop", "CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.31.0",
                "INTERCEPTION_MODE": "REDIRECT", "MESH_ID": "m", "LABELS": {"app": "client"},
                "INSTANCE_IPS": CLIENT.to_string(), "PROXY_CONFIG": {},
            },
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
            "cds_config": from_ads, "lds_config": from_ads,
        },
        "static_resources": {"clusters": [cluster("xds-grpc", istiod), cluster("sds-grpc", secrets)]},
    })
}
