//! The command that changes endpoints under load.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::pin::{Pin, pin};
use super::seconds;
use crate::updates::{self, Change, Outcome, Plan, Policy};
use crate::{contender, report};

/// Change the endpoints of a service while requests flow, and print what an update costs the proxy
/// and the requests.
///
/// `meltemi proxy` with one worker takes its configuration over ADS from a control plane in this
/// process. Its service has as many endpoints as --endpoints says, in nine localities, with weights
/// from 1 to 3, one in twenty unhealthy; all are real: addresses of 127.0.0.0/8 that lead to one
/// upstream. Requests come at a steady rate, whether the ones before are answered or not. Each
/// update follows a stretch as long without one.
///
/// CPU columns give the proxy's time for an update beyond that of the quiet stretch before: the
/// median and the most of all updates, and of that the medians of the worker and of all other
/// threads. Quantiles are of the latency of all requests of these stretches. `longest ms` is the
/// greatest latency in a stretch, which bounds every pause in it: the median, the 90th percentile
/// and the greatest of all stretches.
///
/// Every answer is checked. A row with a wrong or missing answer, or an update that did not come
/// into force, is void: it is listed and counts for nothing. Slow is no failure.
///
/// Exit status: 0, or 1 if anything was void.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    meltemi-bench updates\n  \
    meltemi-bench updates --policies least-request --outlier on --changes replace,one\n  \
    meltemi-bench updates --policies maglev,ring-hash --updates 5    # a quick look")]
pub(super) struct Updates {
    /// Endpoints of the service.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    endpoints: u32,
    /// How endpoints are chosen.
    #[arg(
        long,
        value_delimiter = ',',
        value_enum,
        default_value = "least-request,round-robin,maglev,ring-hash"
    )]
    policies: Vec<Policy>,
    /// Whether endpoints that fail are left out; with it the nearest of them come first, too.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "off,on")]
    outlier: Vec<Switch>,
    /// What updates do.
    #[arg(
        long,
        value_delimiter = ',',
        value_enum,
        default_value = "replace,one,weights,churn"
    )]
    changes: Vec<Change>,
    /// Updates of each kind.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    updates: u32,
    /// Seconds from an update to the next quiet stretch, and of each of these.
    #[arg(long, default_value = "0.25", value_parser = seconds)]
    window: Duration,
    /// Seconds between two requests.
    #[arg(long, default_value = "0.001", value_parser = seconds)]
    interval: Duration,
    /// Client connections, each from an address of its own.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..))]
    connections: u8,
    /// Requests before the first update of each kind, as fast as they are answered, so that endpoints
    /// have connections.
    #[arg(long, default_value_t = 10_000)]
    warm_up: u64,
    /// The CPU of the worker, the load generator and the upstream, with all other threads on the
    /// others, so that a pause is the worker's and not the scheduler's; or `off`. By default the
    /// last, if there are two.
    #[arg(long, value_parser = pin, default_value = "last")]
    pin: Pin,
    /// Print one JSON object with every update instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Switch {
    Off,
    On,
}

impl Updates {
    pub(super) fn run(self) -> Result<ExitCode> {
        let several = std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1);
        let outlier = self.outlier.iter();
        let plan = Plan {
            endpoints: self.endpoints,
            policies: self.policies,
            outlier: outlier.map(|it| matches!(it, Switch::On)).collect(),
            changes: self.changes,
            updates: self.updates,
            window: self.window,
            // A timer that never fires would be taken for a proxy that does not answer.
            interval: self.interval.max(Duration::from_micros(10)),
            connections: self.connections,
            warm_up: self.warm_up,
            pin: self.pin.cpu().filter(|_| several),
        };
        contender::build(&[contender::Kind::Meltemi])?;
        let dir = tempfile::tempdir().context("make a directory for logs")?;
        let outcome = updates::run(&plan, dir.path())?;
        print(&outcome, self.json)?;
        Ok(if outcome.void.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn print(outcome: &Outcome, json: bool) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut stdout, outcome)?;
        writeln!(stdout)?;
    } else {
        write!(stdout, "{}", report::updates::render(outcome))?;
    }
    Ok(())
}
