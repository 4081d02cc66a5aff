//! The `meltemi` command, for a binary that names its protocols.
//!
//! A binary with a protocol of its own beside those that come with Meltemi:
//!
//! ```no_run
//! # use std::{process::ExitCode, sync::Arc};
//! # use meltemi_codec::kit::sample::ById as Mine;
//! fn main() -> ExitCode {
//!     let mut protocols = meltemi::builtin();
//!     protocols.push(Arc::new(Mine));
//!     meltemi::main(protocols)
//! }
//! ```
//!
//! `meltemi new-protocol` writes one, with a codec to start from.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod builtin;
mod certificate_authority;
mod check;
#[cfg(feature = "cluster")]
mod cluster;
mod config;
mod control_plane;
mod controllers;
mod demo;
#[cfg(feature = "cluster")]
mod detach;
mod explain;
mod new_protocol;
mod output;
mod proxy;
mod run;
mod schemas;
mod status;

use std::{io::IsTerminal, process::ExitCode, sync::Arc};

use arguments::{Arguments, Command};
pub use builtin::builtin;
use clap::Parser;
use meltemi_codec::Protocol;
use meltemi_core::protocols::Protocols;
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::EnvFilter;

/// Runs the command that the process was called with. Each protocol's id must be its own.
#[must_use]
pub fn main(protocols: Vec<Arc<dyn Protocol>>) -> ExitCode {
    let arguments = Arguments::parse();
    let protocols = Arc::new(Protocols::new(protocols));
    let (log, _written) = output::log();
    let result = match arguments.command {
        Command::Run(run) => logged(&run.process.log, log).and_then(|()| run::main(run, protocols)),
        Command::Proxy(proxy) => {
            logged(&proxy.process.log, log).and_then(|()| proxy::main(proxy, protocols))
        }
        Command::Check(check) => check::main(&check, &protocols),
        Command::Explain(explain) => explain::main(&explain, &protocols),
        Command::Protocols => schemas::main(&protocols),
        Command::Status(status) => status::main(&status),
        Command::Config(config) => config::main(&config),
        #[cfg(feature = "cluster")]
        Command::Detach(asked) => detach::main(&asked),
        Command::Demo(demo) => demo::main(&demo, &protocols),
        Command::NewProtocol(new) => new_protocol::main(&new),
    };
    result.unwrap_or_else(|error| {
        output::tell(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Logs go to standard error; standard output is for what scripts read.
fn logged(filter: &str, log: NonBlocking) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        anyhow::anyhow!("--log {filter}: {error}; try `info`, or `warn,meltemi_core=debug`")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false)
        .init();
    Ok(())
}
