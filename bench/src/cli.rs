//! The command line.

mod compare;
mod instructions;
mod part;
mod pin;
mod row;
mod soak;
mod syscalls;
mod updates;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use self::compare::{Dubbo, Redis, Thrift};
use self::instructions::Instructions;
use self::part::{Echo, LoadArgs, Relay, Serve};
use self::soak::Soak;
use self::syscalls::Syscalls;
use self::updates::Updates;

/// Measures Meltemi beside a bare relay and other proxies, in one run.
///
/// Every contender stands between the same load generator and the same upstream. Figures of one
/// run compare with each other; figures of two machines, or two days, do not.
#[derive(Debug, Parser)]
#[command(name = "meltemi-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    call: Call,
}

#[derive(Debug, Subcommand)]
enum Call {
    Dubbo(Dubbo),
    Redis(Redis),
    Thrift(Thrift),
    Instructions(Instructions),
    Syscalls(Syscalls),
    Updates(Updates),
    Soak(Soak),
    Serve(Serve),
    Load(LoadArgs),
    Echo(Echo),
    Relay(Relay),
}

impl Cli {
    /// Does what the arguments say.
    pub fn run(self) -> Result<ExitCode> {
        match self.call {
            Call::Dubbo(arguments) => return arguments.run(),
            Call::Redis(arguments) => return arguments.run(),
            Call::Thrift(arguments) => return arguments.run(),
            Call::Instructions(arguments) => return arguments.run(),
            Call::Syscalls(arguments) => arguments.run()?,
            Call::Soak(arguments) => return arguments.run(),
            Call::Updates(arguments) => return arguments.run(),
            Call::Serve(arguments) => arguments.run()?,
            Call::Load(arguments) => arguments.run()?,
            Call::Echo(arguments) => arguments.run()?,
            Call::Relay(arguments) => arguments.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Bytes of an argument: a stamp must fit in, and the frame into what the loops take.
const LEAST_BODY: u32 = 24;
const MOST_BODY: u32 = 2 * 1024 * 1024;

fn body() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(LEAST_BODY)..=i64::from(MOST_BODY))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}
