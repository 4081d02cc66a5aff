//! The controller on a real API server, with as many objects and proxies as one asks for: how long a change takes from
//! its write, and from its watch event, to the last proxy that it concerns, and what it costs the controller.

mod client;
mod cluster;
mod news;
mod report;
mod run;
mod subject;
mod world;

use std::path::PathBuf;

use clap::Parser;

use crate::world::Size;

/// Fills an API server, starts a control plane and proxies, changes MetaRouters, DestinationRules and endpoints, and says how
/// long the news took and what the control plane used.
///
/// Everything runs on this machine: its figures compare with others of the same run.
#[derive(Debug, Parser)]
#[command(name = "meltemi-bench-control-plane", version)]
struct Arguments {
    #[command(flatten)]
    size: Size,
    /// Spread over the Gateways.
    #[arg(long, default_value_t = 50)]
    proxies: usize,
    /// Changes of each kind, one after the other.
    #[arg(long, default_value_t = 100)]
    changes: usize,
    /// Changes of each kind whose cost is counted, with the proxies of one Gateway.
    #[arg(long, default_value_t = 1000)]
    counted: usize,
    /// Changes a second where it is busy.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// The proxies claim no Gateway: each gets everything.
    #[arg(long)]
    everything: bool,
    /// The `meltemi-controller` to measure.
    #[arg(long)]
    controller: Option<PathBuf>,
    /// The `pilot-discovery` of Istio to measure after it, on the same API server: `scripts/install-k8s istiod` builds it.
    #[arg(long)]
    istiod: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(run::run(&arguments));
    runtime.shutdown_background();
    ended
}
