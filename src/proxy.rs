//! `meltemi proxy`: the data plane against a remote control plane.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use meltemi_core::{
    config::{self, Snapshot},
    engine::Settings,
    protocols::Protocols,
    proxy::{self, Configuration, ProxyOptions},
    xds,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;

use crate::arguments::{Identity, Process, Proxy};

pub(crate) fn main(arguments: Proxy, protocols: Arc<Protocols>) -> anyhow::Result<ExitCode> {
    block_on(async {
        let control_plane = arguments.control_plane.dialled()?;
        let identity = identity(&arguments.identity);
        data_plane(control_plane, &identity, &arguments.process, protocols).await
    })
}

fn identity(said: &Identity) -> xds::Identity {
    let pod = said.pod.as_ref();
    xds::Identity {
        gateways: said.gateways.iter().map(ToString::to_string).collect(),
        pod: pod.map(|pod| xds::Pod {
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
        }),
    }
}

/// As Istio's tools write it, where there is a pod.
fn node_id(identity: &xds::Identity) -> String {
    match &identity.pod {
        Some(pod) => format!("{}.{}", pod.name, pod.namespace),
        None => format!("meltemi-{}", std::process::id()),
    }
}

/// Runs `work` to its end, on one thread: the workers have their own. Whatever still blocks then,
/// as a log does that nobody reads, is left behind.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// Raises the limit of open files to what the system allows: each client is one, and so is each
/// connection to a server that a client has for itself. A shell's 1,024 are soon used up.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = ?limit.current, "the limit of open files cannot be raised");
    }
}

/// Runs the data plane on what comes from `control_plane` until the process is told to end.
pub(crate) async fn data_plane(
    control_plane: xds::ControlPlane,
    identity: &xds::Identity,
    process: &Process,
    protocols: Arc<Protocols>,
) -> anyhow::Result<ExitCode> {
    raise_open_files();
    let shutdown = proxy::termination().context("signals cannot be received")?;
    let (publish, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let stats = Arc::new(xds::Stats::default());
    let own = config::Proxy {
        locality: process.place.locality.clone(),
        labels: process.place.labels(),
    };
    let node = identity.on(xds::node(node_id(identity), &own));
    let mismatches = watch::Sender::default();
    let client = xds::run(
        control_plane,
        node,
        (publish, mismatches.subscribe()),
        Arc::clone(&stats),
    );
    let client = tokio::spawn(client);
    let options = ProxyOptions {
        admin: Some(process.admin),
        status: process.status,
        workers: process.workers,
        pin_workers: process.pin_workers,
        access_log: process.access_log.clone(),
        access_log_percent: process.access_log_percent,
        dns_servers: process.dns_servers.clone(),
        settings: Settings {
            in_flight: process.max_requests.get(),
            handshakes: process.max_handshakes.get(),
            buffered: process.max_buffered.get(),
            ..Settings::default()
        },
        workload: process.mesh.workload()?,
        ..ProxyOptions::default()
    };
    let configuration = Configuration {
        snapshots,
        stats,
        mismatches,
    };
    let ended = proxy::run(options, protocols, configuration, shutdown).await;
    client.abort();
    ended?;
    Ok(ExitCode::SUCCESS)
}
