//! The command that lets a proxy run for long.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::seconds;
use crate::soak::{self, Plan};
use crate::wire::Protocol;
use crate::{contender, report};

/// Let Meltemi serve while connections, endpoints and routes come and go, and watch its memory.
///
/// Requests come at a steady rate on connections that stay, and others on connections that come, call
/// once and go. Every two seconds the manifest that the controller watches has other endpoints and
/// other routes. Every answer is checked. Memory is flat where the median of the last third of the
/// samples, one a second, is at most 5 % or 1 MB above that of the third before.
///
/// Exit status: 0, or 1 if memory grows, an answer is wrong or missing, or the last change did not
/// come into force.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    meltemi-bench soak\n  \
    meltemi-bench soak --minutes 1 --protocol thrift    # a quick look")]
pub(super) struct Soak {
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    #[arg(long, value_enum, default_value = "dubbo")]
    protocol: Protocol,
    /// Requests a second on connections that stay.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Connections a second that come and go.
    #[arg(long, default_value_t = 100)]
    churn: u32,
    /// Seconds between two changes of endpoints and routes.
    #[arg(long, default_value = "2", value_parser = seconds)]
    change: Duration,
    /// Print one JSON object with every sample instead of a table.
    #[arg(long)]
    json: bool,
}

impl Soak {
    pub(super) fn run(self) -> Result<ExitCode> {
        let plan = Plan {
            protocol: self.protocol,
            time: Duration::try_from_secs_f64(self.minutes * 60.0).context("--minutes")?,
            rate: self.rate,
            churn: self.churn,
            change: self.change,
        };
        contender::build(&[contender::Kind::Meltemi])?;
        let dir = tempfile::tempdir().context("make a directory for configuration and logs")?;
        let outcome = soak::run(&plan, dir.path())?;
        match self.json {
            true => println!("{}", serde_json::to_string(&outcome)?),
            false => print!("{}", report::soak(&outcome)),
        }
        Ok(match outcome.growth.is_flat() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}
