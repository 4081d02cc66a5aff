//! The control plane by itself: reads manifests or watches a cluster, and serves xDS over TCP.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::fmt::Display;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use meltemi_controller::admin::{self, Metrics, Sources, Watched};
use meltemi_controller::ads::{Clients, Published, Rejection, Server};
use meltemi_controller::check::Report;
use meltemi_controller::leader::{Candidate, Leadership, LeaseName};
use meltemi_controller::serving::{Kubernetes, Serving};
use meltemi_controller::{
    About, Controller, Detach, Event, KubernetesController, ProtocolSchema, Replica, Settings,
    WaypointSettings, detach,
};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tracing::level_filters::LevelFilter;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Serves the objects of a cluster, or the manifests of a directory, to Meltemi proxies.
///
/// Reads MetaRouter, ApplicationProtocol, RedisService, RedisDestination, Gateway, ServiceEntry,
/// WorkloadEntry, DestinationRule, Service and EndpointSlice objects, watches them for changes, and
/// serves what is valid of them over xDS. A proxy asks for it with `meltemi proxy --xds ADDR`: of a cluster's controller with
/// TLS and a token of its pod, `--xds https://HOST:PORT`.
///
/// Of a cluster nothing is served before everything was read once. Of a directory the first load
/// ends the process with 1 if it finds an error; after that, an invalid change is reported and
/// changes nothing.
#[derive(Debug, Parser)]
#[command(name = "meltemi-controller", version)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    source: Option<Source>,

    /// Where proxies connect; port 0 is the system's choice. The address is printed.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15010")]
    listen: SocketAddr,

    /// Where /ready, /metrics and the debug pages are served, which `meltemi status` reads; port 0 is
    /// the system's choice. The address is printed. No secret is shown there.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15014")]
    admin: SocketAddr,

    #[command(flatten)]
    serving: Serving,

    /// A protocol that the proxies speak, with the attribute that names a service within it; or one as `meltemi protocols`
    /// prints it, a YAML mapping: then a rule that asks for what no request of it has is warned of in its status.
    #[arg(
        long = "protocol",
        value_name = "ID[:SERVICE_ATTRIBUTE]|YAML",
        default_value = "dubbo:interface"
    )]
    protocols: Vec<ProtocolSchema>,

    /// The namespace whose rules count for every host.
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    root_namespace: String,

    /// Whose objects it serves, where there are several controllers: those with the label `istio.io/rev` of this name, or of
    /// a namespace with the label `meltemi.io/rev`; `default` has those without either.
    #[arg(long, value_name = "NAME", default_value = "default")]
    revision: String,

    /// The Lease, in the controller's own namespace, that the one of several replicas holds that writes.
    #[arg(long, value_name = "NAME", default_value = "meltemi-controller")]
    lease_name: String,

    /// What the proxies of waypoints have in common: a YAML document with `image`, `controller` (HOST:PORT) and more, as the
    /// chart's values `waypoint` have it. With it there is a GatewayClass `meltemi-waypoint`, and each Gateway of it is kept
    /// running.
    #[arg(long, value_name = "YAML")]
    waypoint: Option<WaypointSettings>,

    /// Leads the sidecars of an Istio mesh to the Gateways that services ask for by the label `meltemi.io/use-gateway`: writes a
    /// VirtualService for each of them and a DestinationRule for each Gateway, and takes them away again.
    #[arg(long)]
    sidecars: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Does what `meltemi detach` does, which says what that is: for the hook of the chart, which has this image.
    Detach(Detach),
}

/// Where objects come from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A file, a directory with all its subdirectories, or `-` for standard input; repeatable.
    #[arg(short, long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,

    /// The cluster of this kubeconfig's current context.
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,

    /// The cluster that this pod runs in, as its service account.
    #[arg(long)]
    in_cluster: bool,
}

impl Source {
    fn is_cluster(&self) -> bool {
        self.files.is_empty()
    }
}

impl Arguments {
    /// What is wrong with flags is told before anything is read.
    fn fit(&self, source: &Source) -> anyhow::Result<()> {
        self.serving.transport(self.listen, source.is_cluster())?;
        if self.waypoint.is_some() && self.serving.istio_ca.is_some() {
            bail!(
                "--istio-ca and --waypoint: the proxies of waypoints believe the controller's own authority alone; leave out \
                 one of the two"
            );
        }
        Ok(())
    }
}

/// A proxy that rejects much at once is not heard out: what is dropped is in the log.
const REJECTIONS: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    // By `RUST_LOG`; what of it cannot be read is left out.
    let levels = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(levels)
        .with_writer(|| Log(io::stderr()))
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .init();
    let mut arguments = Arguments::parse();
    if let Some(Command::Detach(asked)) = &arguments.command {
        let is_done = detach(asked, &mut |line| drop(writeln!(io::stdout(), "{line}"))).await?;
        return Ok(ExitCode::from(u8::from(!is_done)));
    }
    let source = arguments.source.take();
    let source =
        source.context("name where objects come from: --in-cluster, --kubeconfig or -f")?;
    serve(arguments, source).await?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(arguments: Arguments, source: Source) -> anyhow::Result<()> {
    arguments.fit(&source)?;
    let serving = arguments.serving;
    let lease = serving.lease(arguments.lease_name);
    let (cluster, candidate) = match source.is_cluster() {
        true => Some(Kubernetes::standing(source.kubeconfig.as_deref(), &lease).await?),
        false => None,
    }
    .unzip();
    let settings = Settings {
        protocols_are_told: true,
        root_namespace: arguments.root_namespace,
        leads_sidecars: arguments.sidecars && source.is_cluster(),
        revision: source.is_cluster().then_some(arguments.revision),
        ..Settings::new(arguments.protocols)
    };
    let (resources, served) = watch::channel(None);
    let (rejected, rejections) = mpsc::channel(REJECTIONS);
    let (events, log) = mpsc::channel(1);
    let channels = (resources, rejections, events);
    let server = Server::new(served.clone(), rejected);
    let leadership = candidate.as_ref().map(Candidate::leadership);
    let pages = listen("--admin", arguments.admin)?;
    let about = About {
        host: machine(),
        admin: pages.local_addr()?,
    };
    let leading = leadership.clone().map(|leadership| Leading {
        clients: server.clients(),
        leadership,
        lease: (&lease, about),
        waypoint: arguments.waypoint,
    });
    let (first, watched) = run(source, settings, channels, leading).await?;
    let (watched, replica) = watched.unzip();
    let server = match &watched {
        Some(watched) => server.having_read(watched.progress.clone()),
        None => server,
    };
    let listener = listen("--listen", arguments.listen)?;
    // Scripts and tests read the address from here. That nobody reads it is no reason to end.
    let _ = writeln!(io::stdout(), "xds {}", listener.local_addr()?);

    let metrics = Metrics::new(server.counts());
    let sources = Sources {
        name: machine(),
        clients: server.clients().clone(),
        resources: served.clone(),
        metrics: metrics.clone(),
        leadership,
        watched,
        expiry: serving.expiry.clone(),
    };
    show(pages, sources)?;
    tokio::spawn(report(first, log, metrics));
    serving
        .serve((server, served), listener, cluster, terminated())
        .await?;
    leave(candidate, replica).await;
    Ok(())
}

/// Others need not wait for it to be missed.
async fn leave(candidate: Option<Candidate>, replica: Option<Replica>) {
    if let Some(candidate) = candidate {
        candidate.resign().await;
    }
    if let Some(replica) = replica {
        replica.leave().await;
    }
}

/// What a controller publishes, hears and says.
type Channels = (
    watch::Sender<Option<Arc<Published>>>,
    mpsc::Receiver<Rejection>,
    mpsc::Sender<Event>,
);

/// Who writes to a cluster, and what of.
struct Leading<'a> {
    clients: &'a Clients,
    leadership: Leadership,
    lease: (&'a LeaseName, About),
    waypoint: Option<WaypointSettings>,
}

/// Starts the controller. What its first load found has been told. Of a cluster there is a leadership.
async fn run(
    source: Source,
    settings: Settings,
    (resources, rejections, events): Channels,
    leading: Option<Leading<'_>>,
) -> anyhow::Result<(Report, Option<(Watched, Replica)>)> {
    if let Some(leading) = leading {
        let kubeconfig = source.kubeconfig.as_deref();
        let controller = KubernetesController::watch(kubeconfig, settings).await?;
        let Leading {
            clients,
            leadership,
            lease,
            waypoint,
        } = leading;
        let replica = controller.write_status(clients, leadership, lease, waypoint);
        let watched = Watched {
            contacts: controller.contacts(),
            queue: controller.queue(),
            definitions: controller.definitions(),
            progress: controller.progress(),
        };
        tokio::spawn(controller.run(resources, rejections, events));
        return Ok((Report::default(), Some((watched, replica))));
    }
    let mut controller = Controller::open(&source.files, settings);
    let first = controller.load();
    if !first.report.diagnostics.is_empty() {
        tell(&first.report);
    }
    if !first.report.is_valid() {
        bail!("the manifests have errors");
    }
    resources.send_replace(Some(first.resources));
    tokio::spawn(controller.run(resources, rejections, events));
    Ok((first.report, None))
}

/// Serves the pages, for as long as the process lives.
fn show(listener: TcpListener, sources: Sources) -> io::Result<()> {
    let _ = writeln!(io::stdout(), "admin {}", listener.local_addr()?);
    tokio::spawn(async {
        if let Err(error) = admin::serve(listener, sources).await {
            error!(%error, "the admin pages are not served any more");
        }
    });
    Ok(())
}

/// The name of the machine, which is that of a pod in one.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Says what is new, of what a controller has to say.
async fn report(mut last: Report, mut log: mpsc::Receiver<Event>, metrics: Metrics) {
    metrics.changed(&last);
    while let Some(event) = log.recv().await {
        match event {
            Event::Changed(report) => {
                metrics.changed(&report);
                report
                    .since(&last)
                    .into_iter()
                    .for_each(|d| tell(format_args!("{d}\n")));
                info!(
                    objects = report.objects,
                    errors = report.errors(),
                    "objects changed"
                );
                last = report;
            }
            Event::Rejected(diagnostic) => error!("{diagnostic}"),
        }
    }
}

/// Tells people on standard error, if they listen.
fn tell(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Standard error as the log sees it: it takes every line, also where nobody reads it any more or
/// the disk is full.
struct Log(io::Stderr);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All proxies may come at once, while the cluster is read: those that find no room are reset by Linux, with its cookies.
const BACKLOG: u32 = 4096;

fn listen(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listening = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listening().with_context(|| format!("{flag} {address}: it cannot be listened on"))
}

async fn terminated() {
    if let Err(error) = signalled().await {
        error!(%error, "signals cannot be received");
    }
}

async fn signalled() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
