//! What the command can be asked.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use meltemi_controller::ads::NamespacedName;
use meltemi_core::access_log::Destination;
use meltemi_policy::{Locality, place::topology};

use crate::certificate_authority::Mesh;
use crate::control_plane::ControlPlane;
use crate::new_protocol::Name;

mod controllers;

pub(crate) use controllers::{Asked, Config, ConfigCommand, ControllerAddress, Dump, Status};

/// Routing, balancing and locality for RPC protocols, by the manifests of Aeraki and Istio.
#[derive(Debug, Parser)]
#[command(name = "meltemi", version, arg_required_else_help = true)]
#[command(
    after_help = "Try `meltemi demo`; then `meltemi check -f DIR` and `meltemi run -f DIR`. A protocol of your own: `meltemi new-protocol --help`."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Proxy and control plane in one process, from manifests in files.
    ///
    /// Reads MetaRouter, ApplicationProtocol, Gateway, ServiceEntry, WorkloadEntry,
    /// DestinationRule and other manifests, opens the servers of the Gateways and watches the files: a valid
    /// change applies within a second and cuts no connection, an invalid one is reported and
    /// changes nothing. Prints `admin ADDR` once and `listening NAMESPACE/GATEWAY/SERVER ADDR` for
    /// each open server. Ends with 0 after a drain (SIGTERM, SIGINT), with 1 if the first load has
    /// an error.
    Run(Run),
    /// The data plane alone, configured by a control plane over xDS.
    Proxy(Proxy),
    /// Says what is wrong with manifests, or the objects of a cluster, and what in them has no
    /// effect.
    ///
    /// Ends with 0 if they are valid, with 1 if they have errors.
    #[cfg_attr(
        feature = "cluster",
        command(after_help = "\
Examples:
  Are these manifests valid?
    meltemi check -f examples/dubbo
  What is wrong with what the cluster holds, of namespace shop?
    meltemi check --kubeconfig ~/.kube/config -n shop
  What would be, if these were applied to it?
    meltemi check --kubeconfig ~/.kube/config -f new-routes.yaml
  What does a service lose that is to ask for a waypoint, as it would in these manifests?
    meltemi check --plan --kubeconfig ~/.kube/config -f waypoint.yaml -f orders-with-its-label.yaml")
    )]
    Check(Check),
    /// Says which route a request would take, why not the ones before it, and which endpoints
    /// would get what share of it.
    ///
    /// Besides: what the route does with it (timeout, retries, hedging, limits, faults, copies,
    /// changes), how often it is sent at worst and how long that takes, and how its endpoints are
    /// dialled, bounded, checked and ejected. Where a hash decides, whose the request is.
    ///
    /// Ends with 0 if there is a route, with 3 if there is none.
    #[command(after_help = "\
Examples:
  Where would this call go?
    meltemi explain -f examples/dubbo --service greeter.default.svc.cluster.local \\
      --attr interface=org.example.Greeter --attr method=sayHello --locality eu/a
  And when the nearest endpoint has failed?
    ... --failed 127.0.0.1:20881

A running proxy answers the same for what it runs and the health of this moment:
  curl -s 127.0.0.1:15000/explain -d '{\"service\": \"greeter.default.svc.cluster.local\",
    \"attributes\": {\"interface\": \"org.example.Greeter\", \"method\": \"sayHello\"}}'")]
    Explain(Explain),
    /// The protocols that this command speaks, with the attributes of their messages, as YAML.
    ///
    /// It is what a controller, which has no protocol in it, is told by `--protocol` and the chart by its value `protocols`, so
    /// that the status of a rule says if it asks for what no request has.
    #[command(after_help = "\
Examples:
  Install a controller for proxies with a protocol of your own:
    my-meltemi protocols > protocols.yaml
    helm upgrade --install meltemi charts/meltemi -f protocols.yaml")]
    Protocols,
    /// Which proxies are connected to the controllers, what each has, what it lacks, and what it does
    /// not take.
    ///
    /// Counts are of resources in their newest version; where a proxy has less than it was told of,
    /// what is missing stands beside them. Ends with 0 if every proxy has everything, with 1 if one
    /// lacks something or a controller does not answer.
    #[command(after_help = "\
Examples:
  Of every replica of the controller in a cluster:
    meltemi status --kubeconfig ~/.kube/config
  Of the one that listens on this machine:
    meltemi status
  In the cluster, of all replicas behind a headless Service:
    meltemi status --controller meltemi-controller-admin.meltemi-system:15014")]
    Status(Status),
    /// What a controller serves a proxy.
    Config(Config),
    /// Takes waypoints of an ambient mesh out, without a request that is lost, and with --uninstall the controller after them.
    ///
    /// First the Gateway loses its address, so that istiod leads new connections past it; its pods serve on for the time of
    /// --farewell, and then end: they send their clients elsewhere and answer what is under way. Then what the waypoint was
    /// made of goes. The Gateway stays, and so does every label: what is left is told. No controller need run for it; one
    /// that runs undoes nothing of it until the annotation meltemi.io/detach is taken away from the Gateway.
    ///
    /// Ends with 0 when all of it is done, with 1 otherwise; called again it goes on where it was.
    #[cfg(feature = "cluster")]
    #[command(after_help = "\
Examples:
  What would go, and what asks for it?
    meltemi detach --all --kubeconfig ~/.kube/config --dry-run
  Take the waypoint l7 of the namespace shop out:
    meltemi detach l7 -n shop --kubeconfig ~/.kube/config
  And attach it again:
    kubectl -n shop annotate gateway.gateway.networking.k8s.io l7 meltemi.io/detach-
  What `helm uninstall` does first, for an installation without helm:
    meltemi detach --all --uninstall --kubeconfig ~/.kube/config")]
    Detach(meltemi_controller::Detach),
    /// Shows on this machine what Meltemi does: providers in three localities and two versions, a
    /// proxy over the manifests of `examples/dubbo`, and consumers.
    ///
    /// Shifts a route's weights while calls flow, kills the nearest provider and starts it again,
    /// and says who answers which calls. The manifests that it applies and the logs stay where it
    /// says, to be looked at. Ends with 0 if everything was seen as claimed, with 1 otherwise.
    Demo(Demo),
    /// Writes a crate for a protocol of your own: a small complete codec with every hook explained
    /// where it stands, its tests, and a `meltemi` binary that has it.
    ///
    /// The crate stands alone, outside of Meltemi's workspace. In it, `cargo test` runs the
    /// conformance kit and sends a request through the proxy, `cargo run -- run -f manifests`
    /// proxies the protocol, `cargo bench` says what a message costs and `cargo +nightly fuzz run
    /// downstream` looks for inputs that break the codec.
    ///
    /// Which of the two templates: look at an answer of your protocol. If it carries a number that
    /// the request had, and servers answer in any order, it is --by-id. If the first answer is
    /// always that of the first request, it is --in-order.
    #[command(after_help = "\
Example:
  meltemi new-protocol telemetry --in-order
  cd telemetry
  cargo test
  cargo run -- run -f manifests

docs/writing-a-protocol.md leads from there to routed traffic.")]
    NewProtocol(NewProtocol),
}

#[derive(Debug, Args)]
pub(crate) struct NewProtocol {
    /// What the protocol is called: the crate, its ports (`tcp-NAME`) and the new directory.
    pub(crate) name: Name,
    /// Answers carry the id of their request, as Dubbo's do. This is the default.
    #[arg(long, conflicts_with = "in_order")]
    pub(crate) by_id: bool,
    /// Answers come in the order of the requests, as Redis' do.
    #[arg(long)]
    pub(crate) in_order: bool,
    /// Where to write it; a directory of the protocol's name unless told. It must not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// A checkout of Meltemi to depend on; unless told, the one that this binary was built from,
    /// or the repository where that is gone.
    #[arg(long, value_name = "PATH")]
    pub(crate) meltemi: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) manifests: Manifests,
    #[command(flatten)]
    pub(crate) process: Process,
}

#[derive(Debug, Args)]
pub(crate) struct Proxy {
    #[command(flatten)]
    pub(crate) control_plane: ControlPlane,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) process: Process,
}

/// By what the control plane knows this proxy.
#[derive(Debug, Default, Args)]
pub(crate) struct Identity {
    /// The Gateway whose servers it opens: it is told what concerns these, and nothing else.
    /// Repeatable; without it the proxy opens whatever the control plane knows.
    #[arg(long = "gateway", value_name = "NAMESPACE/NAME")]
    pub(crate) gateways: Vec<NamespacedName>,
    /// The pod that it runs in: in a cluster its locality and its labels are those of the pod and
    /// of its node, as far as nothing else is said here.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub(crate) pod: Option<NamespacedName>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Lists besides, for each object of Aeraki's kinds, whether it means here what it means there, and
    /// what differs.
    #[arg(long)]
    pub(crate) from_aeraki: bool,
    /// Lists besides, for each service that asks for a waypoint of ours: each AuthorizationPolicy at its
    /// pods that will see the waypoint in the place of the client, each port whose HTTP rules end, and
    /// each way past the waypoint. And what sidecars would be told, so that they come to a Gateway.
    #[arg(long, conflicts_with = "from_aeraki")]
    pub(crate) plan: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// The service that is called: a host of a ServiceEntry, its port where it has several, and the
    /// namespace where several define it.
    #[arg(long, value_name = "[NS/]HOST[:PORT]")]
    pub(crate) service: String,
    /// The Gateway, and its server where it has several, that the request comes in through.
    #[arg(long, value_name = "[NS/]NAME[/SERVER]")]
    pub(crate) gateway: Option<String>,
    /// An attribute of the request; repeatable.
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = attribute)]
    pub(crate) attributes: Vec<(String, String)>,
    /// The IP address that the client's connection comes from, for routes that ask for its source.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) source: Option<IpAddr>,
    /// The identity that the client has proven by its certificate: a SPIFFE id, with or without
    /// spiffe://, a DNS name or a subject.
    #[arg(long, value_name = "IDENTITY")]
    pub(crate) principal: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// An endpoint that counts as failed, as it stands in the answer; repeatable. Shows where its
    /// requests would go.
    #[arg(long = "failed", value_name = "ADDRESS")]
    pub(crate) failed: Vec<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// One JSON object a line, for programs.
    #[arg(long)]
    pub(crate) json: bool,
    /// How long each of the four acts is shown at least.
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0)]
    pub(crate) act: f64,
    /// Where the manifests and logs go; a new directory among the system's temporary ones unless
    /// told.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Manifests {
    /// A file, a directory with all its subdirectories, or `-` for standard input; repeatable.
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The namespace whose rules count for every host.
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub(crate) root_namespace: String,
}

/// What is looked at: files, a cluster, or files as if they were applied to the cluster.
#[derive(Debug, Args)]
pub(crate) struct Subject {
    /// A file, a directory with all its subdirectories, or `-` for standard input; repeatable.
    #[arg(short, long = "file", value_name = "PATH")]
    #[cfg_attr(feature = "cluster", arg(required_unless_present = "kubeconfig"))]
    #[cfg_attr(not(feature = "cluster"), arg(required = true))]
    pub(crate) files: Vec<PathBuf>,
    /// The objects of the cluster that this kubeconfig leads to; files beside it count as if they were applied to it.
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; the current one unless named.
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    pub(crate) context: Option<String>,
    /// The namespace of the cluster that is asked about.
    #[cfg(feature = "cluster")]
    #[arg(short, long, value_name = "NAMESPACE", requires = "kubeconfig")]
    pub(crate) namespace: Option<String>,
    /// The namespace whose rules count for every host.
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub(crate) root_namespace: String,
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Process {
    /// Where /ready, /metrics and the other admin pages are served; port 0 is the system's choice.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,
    /// Where /ready and /metrics alone are served, beside the admin pages: for whoever asks from other machines.
    #[arg(long, value_name = "ADDR")]
    pub(crate) status: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// A DNS server that endpoints' names are asked of, in the place of those of /etc/resolv.conf;
    /// repeatable.
    #[arg(long = "dns-server", value_name = "IP[:PORT]", value_parser = dns_server)]
    pub(crate) dns_servers: Vec<SocketAddr>,
    /// Worker threads; one for each processor unless told.
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Keeps each worker on one CPU: the first on the first of those that the process may run on, and so on.
    /// For machines, or containers, that have these CPUs for the proxy alone.
    #[arg(long)]
    pub(crate) pin_workers: bool,
    /// Requests that a worker has unanswered before it refuses new ones, in their protocol's words.
    #[arg(long, value_name = "N", default_value = "65536")]
    pub(crate) max_requests: NonZeroUsize,
    /// Clients of a worker that may be in the midst of a handshake; where there are more, those that are so for the longest
    /// are refused.
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(crate) max_handshakes: NonZeroUsize,
    /// Bytes that a worker buffers before it refuses new requests.
    #[arg(long, value_name = "BYTES", default_value = "67108864")]
    pub(crate) max_buffered: NonZeroUsize,
    /// What is logged to standard error: a level, or `target=level` pairs.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,
    /// One JSON line for each exchange: a file, `-` for standard output, or `off`.
    #[arg(long, value_name = "PATH", default_value = "off")]
    pub(crate) access_log: Destination,
    /// How many percent of the exchanges have a line there, drawn by chance: 0 to 100.
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = percent)]
    pub(crate) access_log_percent: f64,
    #[command(flatten)]
    pub(crate) mesh: Mesh,
}

fn percent(text: &str) -> Result<f64, &'static str> {
    let percent = text.parse().ok();
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or("expected a number from 0 to 100")
}

/// Where the proxy runs; a control plane may know it too, and what is said here wins.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Where the proxy runs: endpoints near it are preferred.
    #[arg(long, value_name = "REGION/ZONE/SUBZONE", default_value = "")]
    pub(crate) locality: Locality,
    /// The labels of the proxy's workload, which `failoverPriority` compares with those of the
    /// endpoints; its network is `topology.istio.io/network`. Repeatable.
    #[arg(long, value_name = "NAME=VALUE,…", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,
    /// The node that the proxy runs on, as in the endpoints' label `kubernetes.io/hostname`:
    /// `PreferSameNode` and a `failoverPriority` of that label ask for it.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

impl Place {
    /// What the proxy is called where it runs.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let node = self.node.iter();
        let node = node.map(|name| (topology::HOSTNAME.to_owned(), name.clone()));
        self.labels.iter().cloned().chain(node).collect()
    }
}

fn dns_server(text: &str) -> Result<SocketAddr, String> {
    let at_port = |ip| SocketAddr::new(ip, 53);
    let server = text.parse().or_else(|_| text.parse().map(at_port));
    server.map_err(|_| "write it as IP or IP:PORT, for instance 10.96.0.10".to_owned())
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE, for instance version=v1".to_owned()),
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE, for instance method=sayHello".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_server_is_an_address() {
        for (text, server) in [
            ("10.96.0.10", "10.96.0.10:53"),
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(dns_server(text), Ok(server.parse().unwrap()));
        }
        for text in ["", "dns.example", "10.0.0.1:", "10.0.0.1:99999"] {
            assert!(dns_server(text).unwrap_err().contains("IP:PORT"), "{text}");
        }
    }
}
