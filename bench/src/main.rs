//! The `meltemi-bench` command.

use clap::Parser;
use meltemi_bench::cli::Cli;

fn main() -> anyhow::Result<std::process::ExitCode> {
    Cli::parse().run()
}
